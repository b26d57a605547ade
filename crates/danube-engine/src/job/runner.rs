//! The SDK's runner: a step of the coordinator like any other, with number 0. It is started once, its calls are served,
//! and its end, once durable, is what the verdict is computed from.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use danube_core::id::ContainerName;
use danube_core::job::RunnerEnd;
use danube_core::machine::Event;
use danube_core::runtime::{GroupFailure, Runtime};
use danube_core::step::StepKind;
use danube_proto::mailbox::runner_env;
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{Argv, EndCause, PutFileHeader, PutTarget, StartRequest};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};

use super::effects::{raises, signal};
use super::progress::{Progress, StepStarted};
use super::shared::Shared;
use super::{delivery, isolation};
use crate::EngineError;
use crate::coordinator::{Coordinator, mailbox};
use crate::failpoint::failpoint;
use crate::records::{self, Ended, NewStep};
use crate::shim::follow::FollowError;
use crate::shim::link::{Gone, Link};
use crate::shim::transfer;

/// The runner's own deadline is a second line behind the job's timer, for when the master is away.
const SECOND_LINE: std::time::Duration = std::time::Duration::from_secs(60);
/// The runner's name in lists.
const NAME: &str = "danubefile";

/// Starts the runner, or finds it started, and stays until its end is durable.
pub async fn run<R>(shared: Arc<Shared<R>>) -> Result<(), EngineError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let Some(link) = shared.link(&ContainerName::coordinator()) else {
        let _ = shared.events.send(Event::Distrust("the group has no coordinator".to_owned()));
        return Ok(());
    };
    let serving = mailbox::serve(link.clone(), Coordinator(shared.clone()));
    tokio::pin!(serving);
    tokio::select! {
        ended = follow(&shared, &link) => report(&shared, ended?),
        gone = &mut serving => {
            report(&shared, Err(gone?.into()));
            return Ok(());
        }
    }
    // Steps that the danubefile left behind are stopped, and followed to their end.
    serving.await.map(drop)
}

fn report<R: Runtime>(shared: &Shared<R>, ended: Result<RunnerEnd, FollowError>) {
    let event = match ended {
        Ok(end) => Event::RunnerEnded(end),
        // The runtime tells of the container's end; the verdict follows from its missing record.
        Err(FollowError::Gone(Gone::Ended)) => return,
        // Without a coordinator that can be believed there is nobody to wait for.
        Err(error) => Event::GroupFailed(GroupFailure::Infra, format!("the coordinator: {error}")),
    };
    let _ = shared.events.send(event);
}

async fn follow<R: Runtime>(shared: &Shared<R>, link: &Link) -> Result<Result<RunnerEnd, FollowError>, EngineError> {
    let request = start_request(shared);
    let step = NewStep::runner(shared.plan.runner.step_id, &request.spec_hash, NAME);
    let mut record = records::begin_step(shared, step).await?;
    let (name, group, image) = (NAME.to_owned(), Vec::new(), String::new());
    let step = StepStarted { number: record.number, kind: StepKind::Step, name, group, image, attempt: (1, 1) };
    shared.observer.tell(Progress::StepStarted(step, record.log.tail()));
    if let Some(end) = record.ended {
        return Ok(Ok(end_of(shared, end)));
    }
    tokio::select! {
        ready = ready(shared, link) => match ready {
            Ok(Ok(())) => {}
            Ok(Err(event)) => {
                let _ = shared.events.send(event);
                return Ok(Err(Gone::Ended.into()));
            }
            Err(error) => return Ok(Err(error)),
        },
        // Nothing was begun that could be cleaned up. One from before a restart may have been.
        () = shared.interrupted(), if record.is_new => {
            let message = "the job was interrupted before the danubefile began".to_owned();
            let _ = shared.events.send(Event::GroupFailed(GroupFailure::Infra, message));
            return Ok(Err(Gone::Ended.into()));
        }
    }
    if let Err(error) = started(shared, link, request).await {
        return Ok(Err(error));
    }
    failpoint("runner-started");
    let end = match crate::shim::follow::follow(link, shared.plan.runner.step_id, &mut record.log, &shared.room).await {
        Ok(end) => end,
        Err(error) => {
            records::lose_step(shared, record, &error.to_string()).await?;
            return Ok(Err(error));
        }
    };
    records::end_step(shared, record, &end, None).await?;
    if end.cause() == EndCause::TimedOut {
        let _ = shared.events.send(Event::Deadline(danube_core::machine::Timer::Job));
    }
    let signal = (end.signal != 0).then_some(end.signal);
    let evicted = end.cause() == EndCause::Evicted;
    Ok(Ok(end_of(shared, Ended { exit_code: end.exit_code, signal, oom: end.oom, evicted })))
}

/// What the verdict is computed from.
pub fn end_of<R: Runtime>(shared: &Shared<R>, end: Ended) -> RunnerEnd {
    let left = shared.abandoned() + shared.orphans().len();
    let abandoned = u32::try_from(left).unwrap_or(u32::MAX);
    RunnerEnd { exit_code: end.exit_code, signal: end.signal, oom: end.oom, evicted: end.evicted, abandoned }
}

async fn started<R: Runtime>(shared: &Shared<R>, link: &Link, request: StartRequest) -> Result<(), FollowError> {
    link.call(|mut client| {
        let request = request.clone();
        async move { client.start(request).await }
    })
    .await?;
    // Whoever interrupted the job before the shim knew the runner could not tell it.
    if let Some(interrupt) = shared.interruption() {
        let _ = signal(link.clone(), shared.plan.runner.step_id, raises(interrupt)).await;
    }
    Ok(())
}

/// Every container answers, is isolated as it must be, and has its files; else the inner error ends the job.
async fn ready<R: Runtime>(shared: &Shared<R>, link: &Link) -> Result<Result<(), Event>, FollowError> {
    if let Err(event) = isolation::of_group(shared).await {
        return Ok(Err(event));
    }
    let undelivered = |error| FollowError::Untrue(format!("the job's files did not reach its containers: {error}"));
    let files = async { delivery::deliver(shared).await.map_err(undelivered) };
    tokio::try_join!(files, put_context(shared, link)).map(|_| Ok(()))
}

async fn put_context<R: Runtime>(shared: &Shared<R>, link: &Link) -> Result<(), FollowError> {
    let disk =
        |error: std::io::Error| FollowError::Untrue(format!("cannot keep the job's context in transit: {error}"));
    let context = serde_json::to_vec(&shared.plan.context).map_err(|error| disk(error.into()))?;
    let mut file = shared.services.logs.unnamed_file().map_err(disk)?;
    file.write_all(&context).map_err(disk)?;
    let header = PutFileHeader {
        transfer_id: "context".to_owned(),
        target: PutTarget::File.into(),
        path: shared.plan.runner.context.clone(),
        size: context.len() as u64,
        sha256: Bytes::copy_from_slice(&Sha256::digest(&context)),
        mode: 0o444,
    };
    transfer::put(link, header, &file).await.map_err(|error| match error {
        transfer::TransferError::Call(failed) => failed.into(),
        other => FollowError::Untrue(other.to_string()),
    })
}

fn start_request<R: Runtime>(shared: &Shared<R>) -> StartRequest {
    let plan = &shared.plan;
    let second_line = plan.timeout + plan.cleanup_timeout + SECOND_LINE;
    let request = StartRequest {
        step_id: Bytes::copy_from_slice(plan.runner.step_id.as_bytes()),
        command: Some(Command::Argv(Argv { args: plan.runner.argv.clone() })),
        env: [(runner_env::CONTEXT.to_owned(), plan.runner.context.clone())].into(),
        timeout_ms: u64::try_from(second_line.as_millis()).unwrap_or(u64::MAX),
        ..StartRequest::default()
    };
    crate::shim::with_hash(request)
}
