//! The job's task: events in, effects out, in order. There is one per job, and it is the only thing that decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use danube_core::job::Verdict;
use danube_core::machine::{Effect, Event, Machine};
use danube_core::runtime::Runtime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::effects::Effects;
use super::plan::Plan;
use super::progress::{Observer, Progress};
use super::shared::{Services, Shared};
use crate::EngineError;
use crate::records;

/// What somebody wants of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop it; cleanup code may run.
    Cancel,
    /// Stop it now.
    Kill,
}

/// Runs a job to its end, or goes on with one that another engine began: nothing is done twice. The group is deleted
/// and the verdict durable when this returns.
///
/// # Errors
/// When the database or the log cannot be written, or a secret cannot be hidden. The job is then not ended.
pub async fn run<R>(
    services: Services<R>,
    plan: Plan,
    secrets: BTreeMap<String, String>,
    observer: Observer,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> Result<Verdict, EngineError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let (sender, mut events) = mpsc::unbounded_channel();
    let (shared, keepers) = Shared::new(services, plan, secrets, observer, sender)?;
    let shared = Arc::new(shared);
    let before = records::resume(&shared).await?;
    let mut machine = Machine::new(before.steps);
    let mut effects = Effects::new(shared.clone(), before, keepers);
    let mut event = Event::Begin;
    loop {
        for effect in machine.on(event) {
            if let Effect::Finish(verdict) = effect {
                return finish(&shared, effects, verdict).await;
            }
            effects.perform(effect, machine.interrupt()).await?;
        }
        event = tokio::select! {
            Some(event) = events.recv() => event,
            Some(order) = orders.recv() => Event::Cancel { force: order == Order::Kill },
            event = effects.next() => event?,
        };
    }
}

/// Writes the verdict, tells of it, and removes every trace of the containers.
async fn finish<R>(shared: &Shared<R>, effects: Effects<R>, mut verdict: Verdict) -> Result<Verdict, EngineError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Some(reason) = &mut verdict.reason {
        reason.message = shared.mask(&reason.message);
    }
    records::finish(shared, &verdict).await?;
    shared.observer.tell(Progress::Finished(verdict.clone()));
    shared.services.runtime.delete(&shared.plan.group.attempt).await?;
    effects.end().await;
    Ok(verdict)
}
