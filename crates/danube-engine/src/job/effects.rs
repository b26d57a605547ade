//! Performing what the machine asks for. Whatever takes time runs in a task of the job's own set and reports by event,
//! so the job's task stays ready for a cancel.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use danube_core::id::{ContainerName, StepId};
use danube_core::job::{Interrupt, JobStatus};
use danube_core::machine::{Effect, Event, Timer};
use danube_core::runtime::{ContainerState, GroupEvent, Role, Runtime, RuntimeError};
use danube_proto::mailbox::runner_signal;
use danube_proto::v1::signal_request::What;
use danube_proto::v1::{ShutdownRequest, SignalRequest};
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::progress::Progress;
use super::runner;
use super::shared::services::Wish;
use super::shared::{Closed, Keeper, Shared};
use crate::EngineError;
use crate::coordinator::{self, service};
use crate::failpoint::failpoint;
use crate::records::{self, Before};
use crate::shim::link::Link;

/// What runner and containers have to end in after they were told to.
const EXIT: Duration = Duration::from_secs(30);

/// Performs the effects of one job.
pub struct Effects<R> {
    shared: Arc<Shared<R>>,
    before: Before,
    tasks: JoinSet<Result<(), EngineError>>,
    keepers: mpsc::UnboundedReceiver<Keeper>,
    timers: HashMap<Timer, Instant>,
}

impl<R> Effects<R>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    pub fn new(shared: Arc<Shared<R>>, before: Before, keepers: mpsc::UnboundedReceiver<Keeper>) -> Self {
        Self { shared, before, tasks: JoinSet::new(), keepers, timers: HashMap::new() }
    }

    /// The next event of a timer; a task's error ends the job's task.
    pub async fn next(&mut self) -> Result<Event, EngineError> {
        loop {
            let first = self.timers.iter().min_by_key(|(_, at)| **at).map(|(timer, at)| (*timer, *at));
            let at = first.map_or_else(Instant::now, |(_, at)| at);
            tokio::select! {
                () = sleep_until(at), if first.is_some() => {
                    let Some((timer, _)) = first else { continue };
                    self.timers.remove(&timer);
                    return Ok(Event::Deadline(timer));
                }
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(result) => result?,
                    Err(error) => return Err(EngineError::TaskDied(error.to_string())),
                },
                Some(keeper) = self.keepers.recv() => {
                    self.tasks.spawn(async move { Ok(keeper.await?) });
                }
            }
        }
    }

    /// Whether nothing can be written any more.
    pub fn broken(&self) -> Option<EngineError> {
        self.shared.services.store.broken_now().map(EngineError::from)
    }

    /// Performs one effect.
    pub async fn perform(&mut self, effect: Effect, interrupt: Option<Interrupt>) -> Result<(), EngineError> {
        match effect {
            Effect::Persist(status) => self.persist(status).await?,
            Effect::CreateGroup => self.create_group(),
            Effect::StartRunner => self.spawn(runner::run),
            Effect::Interrupt(interrupt) => self.interrupt(interrupt),
            Effect::StopRunner => self.stop_runner(interrupt),
            Effect::KillAll => self.kill_all(),
            Effect::SettleSteps => self.settle(),
            Effect::Shutdown { exit_code } => self.shutdown(exit_code),
            Effect::Arm(timer) => self.arm(timer),
            Effect::Finish(_) => {}
        }
        Ok(())
    }

    /// Ends every task of the job.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
    }

    fn spawn<F, T>(&mut self, task: T)
    where
        T: FnOnce(Arc<Shared<R>>) -> F,
        F: Future<Output = Result<(), EngineError>> + Send + 'static,
    {
        self.tasks.spawn(task(self.shared.clone()));
    }

    async fn persist(&mut self, status: JobStatus) -> Result<(), EngineError> {
        records::set_status(&self.shared, status).await?;
        self.shared.observer.tell(Progress::Status(status));
        Ok(())
    }

    /// Makes the group, or finds the one made before; then follows it and links its containers.
    fn create_group(&mut self) {
        let (ran, runner) = (self.before.ran, self.before.runner);
        self.spawn(move |shared| async move {
            if let Err(event) = created(&shared, ran).await {
                let _ = shared.events.send(event);
                return Ok(());
            }
            failpoint("group-created");
            shared.plan.group.containers.iter().for_each(|spec| link(&shared, spec.name.clone()));
            for (image, spec) in shared.added_containers() {
                let adopting = coordinator::adopt_container(shared.clone(), image, spec);
                shared.keep(Box::pin(async move {
                    adopting.await;
                    Ok(())
                }));
            }
            for spec in shared.added_service_containers() {
                let adopting = coordinator::adopt_for_service(shared.clone(), spec);
                shared.keep(Box::pin(async move {
                    adopting.await;
                    Ok(())
                }));
            }
            service::resume(&shared).await?;
            let _ = shared.events.send(Event::GroupReady);
            service::tell_died_again(&shared);
            // Before the runtime tells of a container that ended: after this record its end is the expected one.
            if let Some(end) = runner {
                let _ = shared.events.send(Event::RunnerEnded(runner::end_of(&shared, end)));
            }
            watch(&shared).await;
            Ok(())
        });
    }

    /// Raises in the danubefile and stops the steps that run; cleanup code may start others.
    fn interrupt(&mut self, interrupt: Interrupt) {
        self.shared.interrupt(interrupt);
        self.signal_runner(raises(interrupt));
        self.signal_steps(&What::Stop(true));
    }

    fn stop_runner(&mut self, interrupt: Option<Interrupt>) {
        self.shared.close(match interrupt {
            Some(Interrupt::Timeout) => Closed::Timeout,
            Some(Interrupt::Service) => Closed::Service,
            Some(Interrupt::Cancel) | None => Closed::Cancelled,
        });
        self.signal_runner(What::Stop(true));
        self.signal_steps(&What::Stop(true));
    }

    fn kill_all(&mut self) {
        self.shared.close(Closed::Cancelled);
        self.signal_runner(What::Kill(true));
        self.signal_steps(&What::Kill(true));
        self.spawn(|shared| async move {
            for running in shared.live_services() {
                service::end(&running, Wish::Stop, What::Kill(true)).await;
            }
            Ok(())
        });
    }

    fn settle(&mut self) {
        self.shared.close(Closed::Ended);
        self.signal_steps(&What::Stop(true));
        self.spawn(|shared| async move {
            coordinator::adopt_orphans(&shared).await?;
            shared.settled().await;
            service::stop_all(&shared).await?;
            let _ = shared.events.send(Event::StepsSettled);
            Ok(())
        });
    }

    fn shutdown(&mut self, exit_code: i32) {
        for (name, link) in self.shared.links() {
            let exit_code = if name == ContainerName::coordinator() { exit_code } else { 0 };
            self.tasks.spawn(async move {
                // A shim that exits at once takes its answer with it; the runtime tells of its end.
                let told =
                    link.call(|mut client| async move { client.shutdown(ShutdownRequest { exit_code }).await }).await;
                if told.is_ok() {
                    // Nothing is left to say: no new stream is tried while the cluster finds out that it ended.
                    link.ended();
                }
                Ok(())
            });
        }
    }

    fn arm(&mut self, timer: Timer) {
        let after = match timer {
            Timer::Job => self.before.remaining,
            Timer::Cleanup => self.shared.plan.cleanup_timeout,
            Timer::Exit => EXIT,
        };
        self.timers.insert(timer, Instant::now() + after);
    }

    fn signal_runner(&mut self, what: What) {
        if let Some(link) = self.shared.link(&ContainerName::coordinator()) {
            self.tasks.spawn(signal(link, self.shared.plan.runner.step_id, what));
        }
    }

    fn signal_steps(&mut self, what: &What) {
        for (id, link) in self.shared.running() {
            self.shared.want_stop(id);
            self.tasks.spawn(signal(link, id, *what));
        }
    }
}

/// What raises in the danubefile.
pub const fn raises(interrupt: Interrupt) -> What {
    match interrupt {
        Interrupt::Cancel => What::Signal(runner_signal::CANCELLED),
        Interrupt::Timeout => What::Signal(runner_signal::TIMEOUT),
        Interrupt::Service => What::Signal(runner_signal::SERVICE),
    }
}

/// Signals a step. A step that ended meanwhile, or whose container is gone, needs no signal.
pub async fn signal(link: Link, id: StepId, what: What) -> Result<(), EngineError> {
    let request = SignalRequest { step_id: Bytes::copy_from_slice(id.as_bytes()), what: Some(what) };
    let sent = link
        .call(|mut client| {
            let request = request.clone();
            async move { client.signal(request).await }
        })
        .await;
    if let Err(error) = sent {
        tracing::debug!(step = %id, %error, "not signalled");
    }
    Ok(())
}

/// Makes the group. A job that already ran must find its group: making another would run steps twice.
async fn created<R: Runtime>(shared: &Shared<R>, ran: bool) -> Result<(), Event> {
    let runtime = &shared.services.runtime;
    let refused = |error| match error {
        RuntimeError::Refused { kind, message } => Event::GroupFailed(kind, message),
        other => Event::GroupFailed(danube_core::runtime::GroupFailure::Infra, other.to_string()),
    };
    if ran {
        let groups = runtime.list().await.map_err(refused)?;
        if !groups.iter().any(|group| group.attempt == shared.plan.group.attempt) {
            let message = "its containers vanished while no engine ran".to_owned();
            return Err(Event::GroupFailed(danube_core::runtime::GroupFailure::Lost, message));
        }
        return Ok(());
    }
    runtime.create(&shared.plan.group).await.map_err(refused)
}

/// Links a container.
pub fn link<R>(shared: &Shared<R>, container: ContainerName)
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let (link, keeper) = Link::open(shared.services.runtime.clone(), shared.peer(&container));
    shared.keep_link(container, link, Box::pin(keeper));
}

/// Follows the group until nothing of it is left.
async fn watch<R: Runtime>(shared: &Shared<R>) {
    let mut seen = shared.services.runtime.watch(&shared.plan.group.attempt);
    let mut egress = 0;
    while let Some(event) = std::future::poll_fn(|context| Pin::new(&mut seen).poll_next(context)).await {
        match event {
            GroupEvent::State { container, state } => observed(shared, container, state),
            GroupEvent::Egress(event) => {
                egress += 1;
                if let Err(error) = records::egress(shared, egress, &event).await {
                    tracing::warn!(%error, "an egress event was not written");
                }
                shared.observer.tell(Progress::Egress(event));
            }
            GroupEvent::Failed { kind, message } => {
                shared.links().iter().for_each(|(_, link)| link.ended());
                let _ = shared.events.send(Event::GroupFailed(kind, message));
            }
            GroupEvent::Gone => break,
        }
    }
    shared.links().iter().for_each(|(_, link)| link.ended());
}

fn observed<R: Runtime>(shared: &Shared<R>, container: ContainerName, state: ContainerState) {
    if let ContainerState::Terminated { exit_code, oom, .. } = &state {
        if let Some(link) = shared.link(&container) {
            link.ended();
        }
        // A service's container is its own matter; its end is told by whoever follows the service.
        if container.service_number().is_some() {
            shared.observer.tell(Progress::Container(container, state));
            return;
        }
        let containers = &shared.plan.group.containers;
        let coordinator = containers.iter().any(|c| c.name == container && c.role == Role::Coordinator);
        let (exit_code, oom, name) = (*exit_code, oom.clone(), container.to_string());
        let _ = shared.events.send(Event::Terminated { coordinator, container: name, exit_code, oom });
    }
    shared.observer.tell(Progress::Container(container, state));
}
