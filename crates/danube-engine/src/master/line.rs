//! One job, from its turn to its end: its files are read and copied, its plan is written, then its task runs. A task
//! that fails is begun again just as after a restart. When an attempt has ended and the job has not, there is another
//! attempt: the rows alone say so, so it is the same whoever finds them. The job keeps its place among those that run.

use std::collections::BTreeMap;
use std::time::Duration;

use danube_core::id::{AttemptId, JobId};
use danube_core::job::{FailureKind, FailureReason, JobStatus, Verdict};
use danube_core::runtime::Runtime;
use danube_store::jobs::{self, JobRow, Source};
use danube_store::{attempts, pipelines, steps};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::intake::given_params;
use super::{Given, Master, Prepared, Refused};
use crate::EngineError;
use crate::failpoint::failpoint;
use crate::job::progress::Observer;
use crate::job::{self, Order, Plan, Services};
use crate::records;

/// So often is a job's task begun again before the job is given up.
const AGAIN: u32 = 3;
/// How long to wait before that.
const PAUSE: Duration = Duration::from_secs(1);

/// What a job's row says of how it is made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Spec {
    /// Its turn has not come.
    Waits {
        /// What was asked for.
        given: Given,
    },
    /// It was prepared.
    Planned(Box<Plan>),
}

impl Spec {
    /// As stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A job that can be run.
struct Ready {
    plan: Plan,
    secrets: BTreeMap<String, String>,
}

/// Why a job does not become ready.
enum NotReady {
    Refused(Refused),
    Engine(EngineError),
}

impl<E: Into<EngineError>> From<E> for NotReady {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

/// How far a job is.
enum Stands {
    /// It has ended.
    Over,
    /// Its attempt has ended, and there is another one.
    Again,
}

/// Runs a job to its end, whatever an earlier master did of it.
pub async fn run<R>(master: Master, services: Services<R>, job: JobId, mut orders: mpsc::UnboundedReceiver<Order>)
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let mut deaths = 0;
    loop {
        match once(&master, &services, &job, &mut orders).await {
            Ok(Stands::Over) => break,
            Ok(Stands::Again) => {
                deaths = 0;
                tokio::select! {
                    // Whoever asks for the job's end need not wait for the next attempt.
                    Some(_) = orders.recv() => return cancel(&master, &job).await,
                    () = tokio::time::sleep(PAUSE) => continue,
                }
            }
            Err(error) => {
                tracing::error!(%job, %error, "the job's task failed");
                match error {
                    // The containers are left to whoever has taken them over.
                    EngineError::Fenced(_) => return lose(&master, &job, &error).await,
                    error if error.is_full() => {}
                    // This process ends soon; the next one takes the job up, whose containers must still be there.
                    error if error.is_broken() => return std::future::pending().await,
                    error if deaths == AGAIN => return give_up(&master, &services, &job, &error).await,
                    _ => deaths += 1,
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    master.live().touch(&job);
}

async fn once<R>(
    master: &Master,
    services: &Services<R>,
    job: &JobId,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<Stands, EngineError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let Some(row) = jobs::get(master.store().read(), job).await? else { return Ok(Stands::Over) };
    let ready = match ready(master, services, &row, job).await {
        Ok(ready) => ready,
        Err(NotReady::Engine(error)) => return Err(error),
        Err(NotReady::Refused(refused)) => return end(master, job, refused.into()).await.map(|()| Stands::Over),
    };
    let attempt = ready.plan.group.attempt.clone();
    let (observer, progress) = Observer::new();
    let mut relay = JoinSet::new();
    relay.spawn(master.live().clone().relay(job.clone(), progress));
    job::run(services.clone(), ready.plan, ready.secrets, observer, orders).await?;
    discard(master, attempt).await;
    let over = jobs::get(master.store().read(), job).await?.is_none_or(|row| row.finished_ms.is_some());
    Ok(if over { Stands::Over } else { Stands::Again })
}

/// The job's plan: the one that was written, or a new one.
async fn ready<R: Runtime>(
    master: &Master,
    services: &Services<R>,
    row: &JobRow,
    job: &JobId,
) -> Result<Ready, NotReady> {
    match spec(row)? {
        Spec::Planned(plan) if is_tried(master, row, job, &plan).await? => next(master, services, row, *plan).await,
        Spec::Planned(plan) if plan.is_of_a_commit() && is_left(master, services, &plan).await? => {
            let attempt = plan.group.attempt.clone();
            anew(master, services, row, *plan, attempt).await
        }
        Spec::Planned(plan) => {
            let workshop = master.0.workshop.clone();
            let secrets = workshop.secrets(&plan).map_err(NotReady::Refused)?;
            Ok(Ready { plan: *plan, secrets })
        }
        Spec::Waits { given } => first(master, row, AttemptId { job: job.clone(), number: 1 }, given).await,
    }
}

fn spec(row: &JobRow) -> Result<Spec, EngineError> {
    serde_json::from_str(&row.spec).map_err(|source| EngineError::Plan { job: row.id.clone(), source })
}

/// Whether the planned attempt has ended and the job has not.
async fn is_tried(master: &Master, row: &JobRow, job: &JobId, plan: &Plan) -> Result<bool, EngineError> {
    let newest = attempts::latest(master.store().read(), job).await?;
    let ended = newest.filter(|attempt| attempt.finished_ms.is_some()).map(|attempt| attempt.number);
    Ok(row.finished_ms.is_none() && ended == Some(plan.group.attempt.number))
}

/// Whether nothing of the planned attempt was started, and no containers live that could go on with it.
async fn is_left<R: Runtime>(master: &Master, services: &Services<R>, plan: &Plan) -> Result<bool, EngineError> {
    let attempt = &plan.group.attempt;
    if !steps::list(master.store().read(), attempt).await?.is_empty() {
        return Ok(false);
    }
    let groups = services.runtime.list().await?;
    Ok(!groups.iter().any(|group| group.running && group.attempt == *attempt))
}

/// The plan of the first attempt.
async fn first(master: &Master, row: &JobRow, attempt: AttemptId, given: Given) -> Result<Ready, NotReady> {
    let prepared = prepare(master, row, &attempt, given).await?;
    failpoint("job-prepared");
    write_plan(master, &attempt.job, prepared.source, &prepared.plan).await?;
    failpoint("plan-written");
    Ok(Ready { plan: prepared.plan, secrets: prepared.secrets })
}

/// The plan of the attempt after this one, with the same inputs. What the one before left is removed first.
async fn next<R: Runtime>(
    master: &Master,
    services: &Services<R>,
    row: &JobRow,
    before: Plan,
) -> Result<Ready, NotReady> {
    let AttemptId { job, number } = before.group.attempt.clone();
    if row.cancel_ms.is_some() {
        clear(master, services, &before).await?;
        let message = format!("it was cancelled after its attempt {number}");
        return Err(NotReady::Refused(Refused { kind: FailureKind::Cancelled, message }));
    }
    anew(master, services, row, before, AttemptId { job, number: number + 1 }).await
}

/// Removes what was made for a plan.
async fn clear<R: Runtime>(master: &Master, services: &Services<R>, plan: &Plan) -> Result<(), EngineError> {
    services.runtime.delete(&plan.group.attempt).await?;
    discard(master, plan.group.attempt.clone()).await;
    failpoint("attempt-removed");
    Ok(())
}

/// An attempt with the inputs of the plan before, from the commit: also in place of one that an earlier master prepared
/// and of which nothing ran, because a power cut can have torn its files.
async fn anew<R: Runtime>(
    master: &Master,
    services: &Services<R>,
    row: &JobRow,
    before: Plan,
    attempt: AttemptId,
) -> Result<Ready, NotReady> {
    clear(master, services, &before).await?;
    let given = Given { params: given_params(&row.params), reference: row.source_sha.clone(), inputs_of: None };
    let mut prepared = prepare(master, row, &attempt, given).await?;
    failpoint("again-prepared");
    // The danubefile sees what it saw before: the branch, not only the commit.
    let made = std::mem::replace(&mut prepared.plan.context, before.context);
    prepared.plan.context.attempt = made.attempt;
    prepared.plan.context.workspace = made.workspace;
    write_plan(master, &attempt.job, source_of(row), &prepared.plan).await?;
    failpoint("again-planned");
    Ok(Ready { plan: prepared.plan, secrets: prepared.secrets })
}

/// What a job runs on, by its row.
fn source_of(row: &JobRow) -> Source {
    Source {
        dir: row.source_dir.clone(),
        reference: row.source_ref.clone(),
        sha: row.source_sha.clone(),
        dirty: row.source_dirty,
        title: row.source_title.clone(),
    }
}

async fn prepare(master: &Master, row: &JobRow, attempt: &AttemptId, given: Given) -> Result<Prepared, NotReady> {
    let unknown = || Refused {
        kind: FailureKind::Config,
        message: format!("the pipeline `{}` is not known any more", row.pipeline),
    };
    let pipeline = pipelines::get(master.store().read(), &row.pipeline).await?;
    let pipeline = pipeline.ok_or_else(unknown).map_err(NotReady::Refused)?;
    let (workshop, attempt, claimed) = (master.0.workshop.clone(), attempt.clone(), row.clone());
    let preparing = move || workshop.prepare(&pipeline, &claimed, &given, &attempt);
    let prepared = tokio::task::spawn_blocking(preparing).await;
    prepared.map_err(|died| EngineError::TaskDied(died.to_string()))?.map_err(NotReady::Refused)
}

async fn write_plan(master: &Master, job: &JobId, source: Source, plan: &Plan) -> Result<(), EngineError> {
    let id = job.clone();
    let params = serde_json::to_string(&plan.context.params).unwrap_or_default();
    let spec = Spec::Planned(Box::new(plan.clone())).to_json();
    let write =
        master.store().write(move |tx| Box::pin(async move { jobs::prepared(tx, &id, &source, &params, &spec).await }));
    write.await?;
    master.live().touch(job);
    Ok(())
}

/// The attempt that a job's row speaks of.
pub async fn current(master: &Master, job: &JobId) -> Result<AttemptId, EngineError> {
    let row = jobs::get(master.store().read(), job).await?;
    // A job whose plan cannot be read has no attempt but the newest that was begun.
    let planned = row.as_ref().and_then(|row| spec(row).ok()).and_then(|spec| match spec {
        Spec::Planned(plan) => Some(plan.group.attempt.number),
        Spec::Waits { .. } => None,
    });
    let number = planned.or(row.map(|row| row.attempt)).unwrap_or(0).max(1);
    Ok(AttemptId { job: job.clone(), number })
}

/// Ends a job that has no containers.
pub async fn end(master: &Master, job: &JobId, reason: FailureReason) -> Result<(), EngineError> {
    let status = match reason.kind {
        FailureKind::Cancelled => JobStatus::Cancelled,
        FailureKind::Timeout => JobStatus::Timeout,
        _ => JobStatus::Failure,
    };
    let attempt = current(master, job).await?;
    records::finish_job(master.store(), &attempt, &Verdict { status, reason: Some(reason) }).await?;
    discard(master, attempt).await;
    master.live().touch(job);
    Ok(())
}

/// A job that fails Danube again and again ends, with the error as its reason.
async fn give_up<R: Runtime>(master: &Master, services: &Services<R>, job: &JobId, error: &EngineError) {
    let removed = match current(master, job).await {
        Ok(attempt) => services.runtime.delete(&attempt).await.map_err(EngineError::from),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        tracing::error!(%job, %error, "its containers were not removed");
    }
    lose(master, job, error).await;
}

/// Ends a job between two attempts.
async fn cancel(master: &Master, job: &JobId) {
    let message = "it was cancelled before its next attempt".to_owned();
    if let Err(error) = end(master, job, FailureReason { kind: FailureKind::Cancelled, message }).await {
        tracing::error!(%job, %error, "its end was not written; the next start of Danube takes it up again");
    }
}

async fn lose(master: &Master, job: &JobId, error: &EngineError) {
    let reason = FailureReason { kind: FailureKind::Infra, message: error.to_string() };
    if let Err(error) = end(master, job, reason).await {
        tracing::error!(%job, %error, "its end was not written; the next start of Danube takes it up again");
    }
}

/// Removes what was made for an attempt.
pub async fn discard(master: &Master, attempt: AttemptId) {
    let workshop = master.0.workshop.clone();
    // It has been removed, or is removed with the job.
    let _ = tokio::task::spawn_blocking(move || workshop.discard(&attempt)).await;
}
