//! Services: programs that run in containers of their own beside the steps. One is started, becomes ready ([`super::ready`]),
//! and is followed to its end, which is either wished for or fails the job. Its row and its log are those of a step.

use std::sync::Arc;

use bytes::Bytes;
use danube_core::id::{ContainerName, StepId};
use danube_core::machine::Event;
use danube_core::runtime::Runtime;
use danube_core::step::StepKind;
use danube_proto::mailbox::{Answer, CallError, ErrorCode, ServiceStart, StepCause};
use danube_proto::v1::signal_request::What;
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{End, Image, StartRequest};
use danube_store::steps::StepRow;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Code;

use super::step::{cause, failed};
use super::{container, infra, last_words, ready, refused};
use crate::EngineError;
use crate::failpoint::failpoint;
use crate::job::effects::signal;
use crate::job::progress::{Progress, StepEnded, StepStarted};
use crate::job::shared::services::{Ending, Service, State, Wish};
use crate::job::shared::{Closed, Shared};
use crate::records::{self, NewStep, StepRecord};
use crate::shim::follow::{FollowError, follow, release};
use crate::shim::link::{CallFailed, Link};
use crate::shim::with_hash;

/// All containers of a job share its loopback.
const HOST: &str = "127.0.0.1";

/// Starts a service, or finds it started, and waits until it is ready.
pub async fn start<R>(shared: &Arc<Shared<R>>, id: StepId, start: ServiceStart) -> Result<Answer, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    ready::check(&start)?;
    let service = match shared.service(id) {
        Some(service) => service,
        None => begun(shared, id, &start).await?,
    };
    ready::wait(shared, &service, &start).await?;
    Ok(Answer::Service { number: service.number, host: HOST.to_owned() })
}

/// Ends a service and waits for its end. One that is over, or never was, needs nothing.
pub async fn stop<R>(shared: &Shared<R>, id: StepId)
where
    R: Runtime,
{
    if let Some(service) = shared.service(id) {
        end(&service, Wish::Stop, What::Stop(true)).await;
        service.ended().await;
    }
}

/// Its caller vanished before it was ready: nobody has it.
pub async fn gone<R: Runtime>(shared: &Shared<R>, id: StepId) {
    shared.want_stop(id);
    if let Some(service) = shared.service(id).filter(|service| service.state() != State::Ready) {
        end(&service, Wish::Stop, What::Stop(true)).await;
    }
}

/// Asks a service to end.
pub async fn end(service: &Service, wish: Wish, how: What) {
    service.wish(wish);
    let _ = signal(service.link.clone(), service.id, how).await;
}

/// Ends every service when no step is left, those from before a restart too whose callers are gone. Returns when none runs.
pub async fn stop_all<R>(shared: &Arc<Shared<R>>) -> Result<(), EngineError>
where
    R: Runtime,
{
    for row in shared.known_services().into_iter().filter(|row| row.finished_ms.is_none()) {
        adopt(shared, &row).await?;
    }
    let services = shared.live_services();
    for service in &services {
        end(service, Wish::Stop, What::Stop(true)).await;
    }
    for service in &services {
        service.ended().await;
    }
    Ok(())
}

/// Goes on with the services that an earlier engine started and that were ready. Those that were not are gone on with when
/// their calls are delivered again.
pub async fn resume<R: Runtime>(shared: &Arc<Shared<R>>) -> Result<(), EngineError> {
    let open = |row: &StepRow| row.finished_ms.is_none() && row.ready_ms.is_some();
    for row in shared.known_services().into_iter().filter(open) {
        adopt(shared, &row).await?;
    }
    Ok(())
}

/// Tells again of services that had died when an earlier engine ended, while the danubefile still ran.
pub fn tell_died_again<R: Runtime>(shared: &Shared<R>) {
    let runner_ended = shared.runner_ended_ms();
    let counts = |row: &StepRow| {
        let at = row.finished_ms.filter(|_| has_died(row));
        at.is_some_and(|at| runner_ended.is_none_or(|ended| at < ended))
    };
    for row in shared.known_services().into_iter().filter(counts) {
        let message = last_words::of(shared, row.number, &died_words(&row));
        let _ = shared.events.send(Event::ServiceDied { message, was_ready: row.ready_ms.is_some() });
    }
}

fn has_died(row: &StepRow) -> bool {
    matches!(row.status.as_str(), "failure" | "infra")
}

fn died_words(row: &StepRow) -> String {
    let how = row.message.clone().unwrap_or_else(|| "ended".to_owned());
    format!("the service `{}` {how}", row.name)
}

async fn begun<R>(shared: &Arc<Shared<R>>, id: StepId, start: &ServiceStart) -> Result<Arc<Service>, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Some(closed) = shared.closed() {
        return Err(refused(closed));
    }
    if !shared.take_up(id) {
        return Err(refused(Closed::Ended));
    }
    if let Err(why) = shared.claim_service(id, &start.name, ready::port(start)) {
        shared.release_service(id);
        return Err(super::invalid(why));
    }
    let service = launched(shared, id, start).await;
    if service.is_err() {
        shared.release_service(id);
    }
    service
}

async fn launched<R>(shared: &Arc<Shared<R>>, id: StepId, start: &ServiceStart) -> Result<Arc<Service>, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let (container, link) = match shared.known(id) {
        Some(row) => again(shared, &row).await?,
        None => free_container(shared, start).await?,
    };
    let request = request(id, start);
    let step = NewStep::service(id, &request.spec_hash, start, container);
    let record = records::begin_step(shared, step).await.map_err(|error| failed(shared, error))?;
    if record.is_final {
        return Err(over(shared, id, record.number));
    }
    tell(shared, start, &record);
    let service = shared.add_service(Service::new(id, start.name.clone(), record.number, link));
    keep(shared, service.clone(), record, Some(request));
    // Whoever wanted it stopped before it was known could not say so.
    if shared.wants_stop(id) || shared.closed().is_some() {
        end(&service, Wish::Stop, What::Stop(true)).await;
    }
    Ok(service)
}

/// The container of a service from before a restart.
async fn again<R: Runtime>(shared: &Shared<R>, row: &StepRow) -> Result<(ContainerName, Link), CallError> {
    let name: ContainerName = row.container.parse().map_err(infra)?;
    let link = shared.link_when_there(&name).await.ok_or_else(|| infra("the service's container is gone"))?;
    Ok((name, link))
}

/// A container in which nothing has run, when the service's port is free.
async fn free_container<R>(shared: &Arc<Shared<R>>, start: &ServiceStart) -> Result<(ContainerName, Link), CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let (name, link) = container::of_service(shared, &start.image, start.memory_bytes).await?;
    if let Err(error) = ready::port_is_free(&link, start).await {
        shared.give_back(&name);
        return Err(error);
    }
    Ok((name, link))
}

/// The image's own program, in the image's own environment.
fn request(id: StepId, start: &ServiceStart) -> StartRequest {
    with_hash(StartRequest {
        step_id: Bytes::copy_from_slice(id.as_bytes()),
        command: Some(Command::Image(Image { args: start.command.clone().unwrap_or_default() })),
        env: start.env.clone().into_iter().collect(),
        ..StartRequest::default()
    })
}

/// The end of a service that its row tells, in words for its caller.
fn over<R: Runtime>(shared: &Shared<R>, id: StepId, number: u32) -> CallError {
    let row = shared.known(id);
    let words = row.as_ref().map_or_else(|| "the service ended".to_owned(), died_words);
    let in_time = row.is_none_or(|row| row.status != "timeout");
    let code = if in_time { ErrorCode::ServiceDied } else { ErrorCode::ServiceNotReady };
    CallError { code, message: last_words::of(shared, number, &words) }
}

fn tell<R: Runtime>(shared: &Shared<R>, start: &ServiceStart, record: &StepRecord) {
    let step = StepStarted {
        number: record.number,
        kind: StepKind::Service,
        name: shared.mask(&start.name),
        group: start.group.iter().map(|group| shared.mask(group)).collect(),
        image: start.image.clone(),
        attempt: (1, 1),
    };
    shared.observer.tell(Progress::StepStarted(step, record.log.tail()));
}

/// Follows a service that an earlier engine started.
async fn adopt<R: Runtime>(shared: &Arc<Shared<R>>, row: &StepRow) -> Result<(), EngineError> {
    if !row.step_id.parse().is_ok_and(|id| shared.take_up(id)) {
        return Ok(());
    }
    let record = records::reopen_step(shared, row).await?;
    shared.observer.tell(Progress::StepStarted(StepStarted::again(row), record.log.tail()));
    let found = match row.container.parse() {
        Ok(name) => shared.link_when_there(&name).await.zip(row.step_id.parse().ok()),
        Err(_) => None,
    };
    let Some((link, id)) = found else {
        return records::lose_step(shared, record, "its container is gone").await;
    };
    let service = shared.add_service(Service::new(id, row.name.clone(), row.number, link));
    // The name is its own; what it listens on is found out when somebody else wants it.
    let _ = shared.claim_service(id, &row.name, None);
    if row.ready_ms.is_some() {
        service.is_ready_now();
    }
    keep(shared, service, record, None);
    Ok(())
}

/// Lives through a service in a task of the job.
fn keep<R: Runtime>(shared: &Arc<Shared<R>>, service: Arc<Service>, record: StepRecord, request: Option<StartRequest>) {
    let of = shared.clone();
    shared.keep(Box::pin(async move {
        if let Err(error) = live(&of, &service, record, request).await {
            failed(&of, error);
            of.release_service(service.id);
            service.over(Ending::Died(format!("the service `{}` was lost", service.name)));
        }
        Ok(())
    }));
}

/// Starts its process, unless that was done, and follows it to its end.
async fn live<R: Runtime>(
    shared: &Shared<R>,
    service: &Service,
    mut record: StepRecord,
    request: Option<StartRequest>,
) -> Result<(), EngineError> {
    match carry_out(shared, service, &mut record, request).await {
        Ok(end) => ended(shared, service, record, end).await,
        Err(error) => lost(shared, service, record, error).await,
    }
}

async fn carry_out<R: Runtime>(
    shared: &Shared<R>,
    service: &Service,
    record: &mut StepRecord,
    request: Option<StartRequest>,
) -> Result<End, FollowError> {
    if let Some(request) = request {
        let started = service.link.call(|mut client| {
            let request = request.clone();
            async move { client.start(request).await }
        });
        started.await?;
        failpoint("service-started");
    }
    service.runs();
    // A wish may have come before the shim knew the service.
    if service.wished().is_some() {
        let _ = signal(service.link.clone(), service.id, What::Stop(true)).await;
    }
    follow(&service.link, service.id, &mut record.log, &shared.room).await
}

/// What is written of its end. Whoever was asked to end has ended well, however it took that.
async fn ended<R: Runtime>(
    shared: &Shared<R>,
    service: &Service,
    record: StepRecord,
    end: End,
) -> Result<(), EngineError> {
    let number = record.number;
    let (status, told, message) = match service.wished() {
        Some(Wish::NotReady(words)) => ("timeout", StepCause::TimedOut, Some(words.clone())),
        Some(Wish::Stop) => ("success", StepCause::Stopped, None),
        // By an engine that is no more.
        None if cause(&end) == StepCause::Stopped => ("success", StepCause::Stopped, None),
        None => ("failure", cause(&end), Some(shared.mask(&last_words::how(&end)))),
    };
    let word = match told {
        StepCause::Stopped => "stopped".to_owned(),
        StepCause::TimedOut => "timed_out".to_owned(),
        _ if end.oom => "oom".to_owned(),
        _ => end.cause().as_str_name().to_ascii_lowercase(),
    };
    records::end_as(shared, record, &end, (status, word, message.as_deref())).await?;
    release(&service.link, service.id, end.bytes).await;
    shared.observer.tell(Progress::StepEnded(StepEnded {
        number,
        cause: told,
        exit_code: end.exit_code,
        message: message.clone(),
        duration_ms: end.duration_ms,
        check: true,
        sha256: end.sha256[..].try_into().unwrap_or_default(),
        bytes: end.bytes,
    }));
    conclude(shared, service, status != "failure", message);
    Ok(())
}

/// Its container is gone or cannot be believed.
async fn lost<R: Runtime>(
    shared: &Shared<R>,
    service: &Service,
    record: StepRecord,
    error: FollowError,
) -> Result<(), EngineError> {
    let number = record.number;
    let never_started = matches!(&error, FollowError::Refused(status) if status.code() == Code::NotFound);
    if !never_started && !matches!(error, FollowError::Gone(crate::shim::link::Gone::Ended)) {
        let _ = shared.events.send(Event::Distrust(format!("the service `{}`: {error}", service.name)));
    }
    let message = shared.mask(&format!("was lost: {error}"));
    records::lose_step(shared, record, &message).await?;
    shared.observer.tell(Progress::StepEnded(StepEnded {
        number,
        cause: StepCause::Lost,
        exit_code: -1,
        message: Some(message.clone()),
        duration_ms: 0,
        check: true,
        sha256: [0; 32],
        bytes: 0,
    }));
    conclude(shared, service, service.wished().is_some(), Some(message));
    Ok(())
}

/// Tells who waits for it, and the job's machine when nobody had wished for it.
fn conclude<R: Runtime>(shared: &Shared<R>, service: &Service, was_wished: bool, message: Option<String>) {
    let words = format!("the service `{}` {}", shared.mask(&service.name), message.unwrap_or_default());
    let words = last_words::of(shared, service.number, &words);
    shared.release_service(service.id);
    if was_wished {
        let late = matches!(service.wished(), Some(Wish::NotReady(_)));
        service.over(if late { Ending::NotReady(words) } else { Ending::Stopped });
        return;
    }
    let was_ready = service.over(Ending::Died(words.clone()));
    let _ = shared.events.send(Event::ServiceDied { message: words, was_ready });
}

impl From<&Ending> for CallError {
    fn from(ending: &Ending) -> Self {
        let (code, message) = match ending {
            Ending::NotReady(words) => (ErrorCode::ServiceNotReady, words.clone()),
            Ending::Died(words) => (ErrorCode::ServiceDied, words.clone()),
            Ending::Stopped => (ErrorCode::ServiceNotReady, "the service was stopped before it was ready".to_owned()),
        };
        Self { code, message }
    }
}

impl From<CallFailed> for CallError {
    fn from(failed: CallFailed) -> Self {
        infra(format!("the service's container cannot be reached: {failed}"))
    }
}
