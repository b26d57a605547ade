//! One `step.run`: its row is written, its container found or made, the shim told to start it, its output followed, its
//! end written, the danubefile answered. Delivered again after a restart it goes on where the rows say it was.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use danube_core::id::{ContainerName, StepId};
use danube_core::job::oom_words;
use danube_core::machine::Event;
use danube_core::runtime::{OomRecord, Runtime};
use danube_core::step::StepKind;
use danube_proto::limits::SCRIPT_BYTES;
use danube_proto::mailbox::{CallError, ErrorCode, StepAnswer, StepCause, StepRun};
use danube_proto::v1::signal_request::What;
use danube_proto::v1::{End, InfoRequest, PutFileHeader, PutTarget, StartRequest};
use danube_store::steps::StepRow;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Code;

use super::container;
use super::request::{self, Program};
use super::{infra, invalid, refused};
use crate::EngineError;
use crate::failpoint::failpoint;
use crate::job::effects::signal;
use crate::job::progress::{Progress, StepEnded, StepStarted};
use crate::job::shared::Shared;
use crate::records::{self, NewStep, StepRecord};
use crate::shim::follow::{FollowError, follow};
use crate::shim::link::{CallFailed, Gone, Link};
use crate::shim::transfer::{self, TransferError};

/// Runs a step to its end and says how it ended.
pub async fn run<R>(shared: &Arc<Shared<R>>, id: StepId, run: StepRun) -> Result<StepAnswer, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let program = request::check(&run)?;
    let image = run.image.clone().unwrap_or_else(|| shared.plan.default_image.clone());
    let (container, link) = container::of_image(shared, &image).await?;
    if let Some(closed) = shared.closed() {
        return Err(refused(closed));
    }
    let start = prepared(shared, &link, id, &run, program).await?;
    if shared.wants_stop(id) {
        return Ok(never_started());
    }
    let step = NewStep::of(id, &start.spec_hash, &run, &image, container);
    let record = records::begin_step(shared, step).await.map_err(|error| failed(shared, error))?;
    started(shared, &run, &image, &record);
    shared.step_runs(id, link.clone());
    let ended = carry_out(shared, &link, id, start, record).await;
    shared.step_ended(id);
    ended
}

fn started<R: Runtime>(shared: &Shared<R>, run: &StepRun, image: &str, record: &StepRecord) {
    if record.is_new {
        let _ = shared.events.send(Event::StepStarted);
    }
    if record.is_final {
        return;
    }
    let step = StepStarted {
        number: record.number,
        kind: StepKind::Step,
        name: shared.mask(&run.name),
        group: run.group.iter().map(|group| shared.mask(group)).collect(),
        image: image.to_owned(),
        attempt: (run.attempt, run.attempts),
    };
    shared.observer.tell(Progress::StepStarted(step, record.log.tail()));
}

/// Stops a step from before a restart whose caller is gone, and follows it to its end.
pub async fn adopt<R: Runtime>(shared: &Shared<R>, row: &StepRow) -> Result<(), EngineError> {
    let mut record = records::reopen_step(shared, row).await?;
    shared.observer.tell(Progress::StepStarted(StepStarted::again(row), record.log.tail()));
    let found = match row.container.parse() {
        Ok(name) => shared.link_when_there(&name).await.zip(row.step_id.parse().ok()),
        Err(_) => None,
    };
    let Some((link, id)) = found else { return records::lose_step(shared, record, "its container is gone").await };
    signal(link.clone(), id, What::Stop(true)).await?;
    match follow(&link, id, &mut record.log, &shared.room).await {
        Err(FollowError::Refused(status)) if status.code() == Code::NotFound => {
            records::lose_step(shared, record, "it was never started").await
        }
        // Its caller is gone: nobody waits for the answer.
        Err(error) => lost(shared, record, error).await.map(drop).or(Ok(())),
        Ok(end) => ended(shared, &link, id, record, end).await.map(drop).or(Ok(())),
    }
}

/// Starts the step at its shim, unless its rows say that it ended, and follows it.
async fn carry_out<R: Runtime>(
    shared: &Arc<Shared<R>>,
    link: &Link,
    id: StepId,
    start: StartRequest,
    mut record: StepRecord,
) -> Result<StepAnswer, CallError> {
    if record.is_final && record.ended.is_none() {
        return lost(shared, record, Gone::Ended.into()).await;
    }
    let call = |mut client: crate::shim::link::Client| {
        let start = start.clone();
        async move { client.start(start).await }
    };
    match link.call(call).await {
        Ok(_) => {}
        Err(CallFailed::Refused(status)) if status.code() == Code::AlreadyExists => {
            return Err(CallError {
                code: ErrorCode::StepConflict,
                message: "the same step id was used before with other parameters".to_owned(),
            });
        }
        Err(error) => return lost(shared, record, error.into()).await,
    }
    failpoint("step-started");
    // Whoever wanted it stopped before the shim knew it could not tell the shim.
    if shared.wants_stop(id) {
        let _ = signal(link.clone(), id, What::Stop(true)).await;
    }
    match follow(link, id, &mut record.log, &shared.room).await {
        Ok(end) => ended(shared, link, id, record, end).await,
        Err(error) => lost(shared, record, error).await,
    }
}

async fn ended<R: Runtime>(
    shared: &Shared<R>,
    link: &Link,
    id: StepId,
    record: StepRecord,
    end: End,
) -> Result<StepAnswer, CallError> {
    let (number, check, was_told) = (record.number, record.check, record.is_final);
    let out_of_memory = end.oom.then(|| note_oom(shared, &record, &end));
    let message = out_of_memory.or_else(|| words(&end)).map(|words| shared.mask(&words));
    records::end_step(shared, record, &end, message.as_deref()).await.map_err(|error| failed(shared, error))?;
    shared.keep_unreleased(id, link.clone(), end.bytes);
    if !was_told {
        shared.observer.tell(Progress::StepEnded(StepEnded {
            number,
            cause: cause(&end),
            exit_code: end.exit_code,
            message: message.clone(),
            duration_ms: end.duration_ms,
            check,
            sha256: end.sha256[..].try_into().unwrap_or_default(),
            bytes: end.bytes,
        }));
    }
    Ok(answer(number, &end, message))
}

/// The step's container is gone or cannot be believed. What was received stays, and the log says that more may be lost.
async fn lost<R: Runtime>(shared: &Shared<R>, record: StepRecord, error: FollowError) -> Result<StepAnswer, CallError> {
    let (number, check, was_told) = (record.number, record.check, record.is_final);
    let message = shared.mask(&format!("the step was lost: {error}"));
    if !matches!(error, FollowError::Gone(Gone::Ended)) {
        let _ = shared.events.send(Event::Distrust(format!("step {number}: {error}")));
    }
    records::lose_step(shared, record, &message).await.map_err(|error| failed(shared, error))?;
    let lost = StepEnded {
        number,
        cause: StepCause::Lost,
        exit_code: -1,
        message: Some(message.clone()),
        duration_ms: 0,
        check,
        sha256: [0; 32],
        bytes: 0,
    };
    if !was_told {
        shared.observer.tell(Progress::StepEnded(lost));
    }
    Ok(StepAnswer {
        number,
        exit_code: -1,
        cause: StepCause::Lost,
        duration_ms: 0,
        stdout: None,
        stderr: None,
        capture_truncated: false,
        message: Some(message),
    })
}

/// The answer for a step that was cancelled before it had a row.
fn never_started() -> StepAnswer {
    StepAnswer {
        number: 0,
        exit_code: -1,
        cause: StepCause::Stopped,
        duration_ms: 0,
        stdout: None,
        stderr: None,
        capture_truncated: false,
        message: Some("it was cancelled before it started".to_owned()),
    }
}

fn answer(number: u32, end: &End, message: Option<String>) -> StepAnswer {
    StepAnswer {
        number,
        exit_code: end.exit_code,
        cause: cause(end),
        duration_ms: end.duration_ms,
        stdout: Some(STANDARD.encode(&end.stdout)),
        stderr: Some(STANDARD.encode(&end.stderr)),
        capture_truncated: end.stdout_truncated || end.stderr_truncated,
        message,
    }
}

pub(super) fn cause(end: &End) -> StepCause {
    use danube_proto::v1::EndCause as Cause;
    match end.cause() {
        Cause::Exited => StepCause::Exited,
        Cause::TimedOut => StepCause::TimedOut,
        Cause::NotStarted => StepCause::NotStarted,
        Cause::Stopped => StepCause::Stopped,
        Cause::Orphaned | Cause::MasterAway | Cause::Evicted | Cause::Unspecified => StepCause::Lost,
    }
}

/// Tells the job's machine of a step that ran out of memory, and says so with the limit and the peak.
fn note_oom<R: Runtime>(shared: &Shared<R>, record: &StepRecord, end: &End) -> String {
    let container = record.container.to_string();
    let limit = shared.resources(&record.container).memory_bytes;
    let Some(limit_bytes) = limit else {
        return format!(
            "the machine ran out of memory while `{container}`, which has no limit, used it: set memory=, or use less"
        );
    };
    let oom = OomRecord { limit_bytes, peak_bytes: Some(end.max_rss_bytes).filter(|peak| *peak > 0) };
    let words = format!("{}: raise memory= in @pipeline or step.run, or use less", oom_words(&container, &oom));
    let _ = shared.events.send(Event::OutOfMemory { container, oom });
    words
}

/// What the exit code does not say.
fn words(end: &End) -> Option<String> {
    use danube_proto::v1::EndCause as Cause;
    match end.cause() {
        _ if !end.message.is_empty() => Some(end.message.clone()),
        Cause::Exited if end.signal != 0 => Some(format!("ended by signal {}", signal_name(end.signal))),
        Cause::Orphaned => Some("stopped: no engine asked for it for too long".to_owned()),
        Cause::MasterAway => {
            Some("its time passed while nobody took its output: this is not the step's fault".to_owned())
        }
        Cause::Evicted => Some("stopped: the machine needed its place".to_owned()),
        _ => None,
    }
}

pub(super) fn signal_name(signal: i32) -> String {
    const NAMES: [(i32, &str); 10] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
    ];
    let name = NAMES.iter().find(|(number, _)| *number == signal);
    name.map_or_else(|| signal.to_string(), |(number, name)| format!("{number} ({name})"))
}

/// Everything that must be known before the row is written.
async fn prepared<R: Runtime>(
    shared: &Shared<R>,
    link: &Link,
    id: StepId,
    run: &StepRun,
    program: Program,
) -> Result<StartRequest, CallError> {
    let program = match program {
        Program::Script(_) => {
            let info = link.call(|mut client| async move { client.info(InfoRequest {}).await });
            let info = info.await.map_err(|error| unreachable_worker(shared, error))?;
            request::without_shell(program, run.shell, &info.shells)?
        }
        other => other,
    };
    let transfer_id = format!("script-{id}");
    if let Program::ScriptFile(path) = &program {
        move_script(shared, link, path, &transfer_id).await?;
    }
    request::start(shared, id, run, request::command(run, program, &transfer_id))
}

/// A large script goes by file, from the coordinator's outbox to the worker's shim.
async fn move_script<R: Runtime>(
    shared: &Shared<R>,
    worker: &Link,
    path: &str,
    transfer_id: &str,
) -> Result<(), CallError> {
    let coordinator = shared.link(&ContainerName::coordinator()).ok_or_else(|| infra("the coordinator is gone"))?;
    let file = shared.services.logs.unnamed_file().map_err(infra)?;
    let failed = |error: TransferError| match error {
        TransferError::Call(CallFailed::Gone(_)) | TransferError::Disk(_) => infra(error),
        other => invalid(format!("script_file: {other}")),
    };
    let fetched = transfer::fetch(&coordinator, path, SCRIPT_BYTES, &file).await.map_err(failed)?;
    let header = PutFileHeader {
        transfer_id: transfer_id.to_owned(),
        target: PutTarget::Script.into(),
        path: String::new(),
        size: fetched.size,
        sha256: Bytes::copy_from_slice(&fetched.sha256),
        mode: 0o500,
    };
    transfer::put(worker, header, &file).await.map_err(failed)
}

/// This engine failed, not the step: the verdict will know, whatever the danubefile makes of it.
pub(super) fn failed<R: Runtime>(shared: &Shared<R>, error: EngineError) -> CallError {
    let _ = shared.events.send(Event::Distrust(error.to_string()));
    infra(error)
}

fn unreachable_worker<R: Runtime>(shared: &Shared<R>, error: CallFailed) -> CallError {
    if let CallFailed::Gone(stranger @ Gone::Stranger(_)) = &error {
        let _ = shared.events.send(Event::Distrust(stranger.to_string()));
    }
    infra(format!("the step's container cannot be reached: {error}"))
}
