//! The job's task: events in, effects out, in order. There is one per job, and it is the only thing that decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use danube_core::job::Verdict;
use danube_core::machine::{Effect, Event, Machine};
use danube_core::retry::Tried;
use danube_core::runtime::Runtime;
use danube_store::artifacts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::effects::Effects;
use super::plan::Plan;
use super::progress::{Observer, Progress, StepEnded, StepStarted};
use super::shared::{Services, Shared};
use crate::EngineError;
use crate::coordinator::{report, summary};
use crate::failpoint::failpoint;
use crate::records;

/// What somebody wants of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop it; cleanup code may run.
    Cancel,
    /// Stop it now.
    Kill,
}

/// Runs an attempt of a job to its end, or goes on with one that another engine began: nothing is done twice. The group
/// is deleted and the verdict durable when this returns; the job is over, unless its rows say that it is tried again.
///
/// # Errors
/// When the database or the log cannot be written, a secret cannot be hidden, or another engine has taken over. The job
/// is then not ended, and its group not touched.
pub async fn run<R>(
    services: Services<R>,
    plan: Plan,
    secrets: BTreeMap<String, String>,
    observer: Observer,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<Verdict, EngineError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let (sender, mut events) = mpsc::unbounded_channel();
    let (shared, keepers) = Shared::new(services, plan, secrets, observer, sender)?;
    let shared = Arc::new(shared);
    let before = records::resume(&shared).await?;
    tell_again(&shared).await?;
    if let Some(verdict) = before.verdict {
        shared.observer.tell(Progress::Finished(verdict.clone()));
        return remove(&shared, verdict).await;
    }
    let machine = Machine::new(before.steps);
    let mut effects = Effects::new(shared.clone(), before, keepers);
    match decide(machine, &mut effects, &mut events, orders).await {
        Ok(verdict) => finish(&shared, effects, verdict).await,
        Err(error) => {
            // Whoever reads the error may go on with the job at once: nothing of this engine may still be at work.
            effects.end().await;
            Err(error)
        }
    }
}

/// Feeds the machine and performs what it asks for, until it has a verdict.
async fn decide<R>(
    mut machine: Machine,
    effects: &mut Effects<R>,
    events: &mut mpsc::UnboundedReceiver<Event>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<Verdict, EngineError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let mut event = Event::Begin;
    loop {
        for effect in machine.on(event) {
            if let Effect::Finish(verdict) = effect {
                return Ok(verdict);
            }
            effects.perform(effect, machine.interrupt()).await?;
        }
        event = tokio::select! {
            Some(event) = events.recv() => event,
            Some(order) = orders.recv() => Event::Cancel { force: order == Order::Kill },
            event = effects.next() => event?,
        };
        // What can no longer be written must not be done, least of all a kill: the next engine goes on with the job.
        if let Some(error) = effects.broken() {
            return Err(error);
        }
    }
}

/// Writes the verdict; then nothing of the attempt is left to do.
async fn finish<R>(shared: &Shared<R>, effects: Effects<R>, mut verdict: Verdict) -> Result<Verdict, EngineError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Some(reason) = &mut verdict.reason {
        reason.message = shared.mask(&reason.message);
    }
    let again = records::finish(shared, &verdict, goes_on(shared, &verdict)).await?;
    if !again {
        shared.observer.tell(Progress::Finished(verdict.clone()));
    }
    // Nothing may still be made while it is removed: a cancel can come before the containers stand.
    effects.end().await;
    remove(shared, verdict).await
}

/// Whether the job shall be tried again after such an end.
fn goes_on<R: Runtime>(shared: &Shared<R>, verdict: &Verdict) -> bool {
    let Some(reason) = &verdict.reason else { return false };
    let plan = &shared.plan;
    plan.retries.go_on_after(Tried {
        number: plan.group.attempt.number,
        kind: reason.kind,
        any_step: shared.any_step(),
        same_inputs: plan.is_of_a_commit(),
    })
}

/// Removes every trace of the containers.
async fn remove<R: Runtime>(shared: &Shared<R>, verdict: Verdict) -> Result<Verdict, EngineError> {
    shared.services.runtime.delete(&shared.plan.group.attempt).await?;
    failpoint("group-deleted");
    Ok(verdict)
}

/// Tells of what came to its end before a restart, so that whoever looks sees the whole job.
async fn tell_again<R: Runtime>(shared: &Shared<R>) -> Result<(), EngineError> {
    for known in shared.known_steps().into_iter().filter(|known| known.row.finished_ms.is_some()) {
        let log = shared.services.logs.tail(&shared.plan.group.attempt, known.row.number);
        shared.observer.tell(Progress::StepStarted(StepStarted::again(&known.row), log));
        shared.observer.tell(Progress::StepEnded(StepEnded::again(&known.row)));
    }
    let kept = artifacts::list(shared.services.store.read(), &shared.plan.group.attempt).await?;
    kept.into_iter().for_each(|row| shared.observer.tell(Progress::Artifact(row)));
    report::tell_again(shared).await?;
    summary::tell_again(shared).await
}
