//! One job, from its turn to its end: its files are read and copied, its plan is written, then its task runs. A task
//! that fails is begun again just as after a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use danube_core::id::{AttemptId, JobId};
use danube_core::job::{FailureKind, FailureReason, JobStatus, Verdict};
use danube_core::runtime::Runtime;
use danube_store::jobs::{self, JobRow};
use danube_store::pipelines;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Given, Master, Refused};
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

/// Runs a job to its end, whatever an earlier master did of it.
pub async fn run<R>(master: Master, services: Services<R>, job: JobId, mut orders: mpsc::UnboundedReceiver<Order>)
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let mut deaths = 0;
    while let Err(error) = once(&master, &services, &job, &mut orders).await {
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
        tokio::time::sleep(PAUSE).await;
    }
    master.live().touch(&job);
}

async fn once<R>(
    master: &Master,
    services: &Services<R>,
    job: &JobId,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<(), EngineError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let Some(row) = jobs::get(master.store().read(), job).await? else { return Ok(()) };
    let ready = match ready(master, &row, job).await {
        Ok(ready) => ready,
        Err(NotReady::Engine(error)) => return Err(error),
        Err(NotReady::Refused(refused)) => return end(master, job, refused.into()).await,
    };
    let attempt = ready.plan.group.attempt.clone();
    let (observer, progress) = Observer::new();
    let mut relay = JoinSet::new();
    relay.spawn(master.live().clone().relay(job.clone(), progress));
    job::run(services.clone(), ready.plan, ready.secrets, observer, orders).await?;
    discard(master, attempt).await;
    Ok(())
}

/// The job's plan: the one that was written, or a new one.
async fn ready(master: &Master, row: &JobRow, job: &JobId) -> Result<Ready, NotReady> {
    let spec = serde_json::from_str(&row.spec).map_err(|source| EngineError::Plan { job: row.id.clone(), source })?;
    match spec {
        Spec::Planned(plan) => {
            let workshop = master.0.workshop.clone();
            let secrets = workshop.secrets(&plan).map_err(NotReady::Refused)?;
            Ok(Ready { plan: *plan, secrets })
        }
        Spec::Waits { given } => prepare(master, row, job, given).await,
    }
}

async fn prepare(master: &Master, row: &JobRow, job: &JobId, given: Given) -> Result<Ready, NotReady> {
    let unknown = || Refused {
        kind: FailureKind::Config,
        message: format!("the pipeline `{}` is not known any more", row.pipeline),
    };
    let pipeline = pipelines::get(master.store().read(), &row.pipeline).await?;
    let pipeline = pipeline.ok_or_else(unknown).map_err(NotReady::Refused)?;
    let (workshop, attempt) = (master.0.workshop.clone(), AttemptId { job: job.clone(), number: 1 });
    let claimed = row.clone();
    let preparing = move || workshop.prepare(&pipeline, &claimed, &given, &attempt);
    let prepared = tokio::task::spawn_blocking(preparing).await;
    let prepared = prepared.map_err(|died| EngineError::TaskDied(died.to_string()))?.map_err(NotReady::Refused)?;
    failpoint("job-prepared");
    let (id, source, plan) = (job.clone(), prepared.source, prepared.plan);
    let params = serde_json::to_string(&plan.context.params).unwrap_or_default();
    let spec = Spec::Planned(Box::new(plan.clone())).to_json();
    let write =
        master.store().write(move |tx| Box::pin(async move { jobs::prepared(tx, &id, &source, &params, &spec).await }));
    write.await?;
    failpoint("plan-written");
    master.live().touch(job);
    Ok(Ready { plan, secrets: prepared.secrets })
}

/// Ends a job that has no containers.
pub async fn end(master: &Master, job: &JobId, reason: FailureReason) -> Result<(), EngineError> {
    let status = match reason.kind {
        FailureKind::Cancelled => JobStatus::Cancelled,
        FailureKind::Timeout => JobStatus::Timeout,
        _ => JobStatus::Failure,
    };
    records::finish_job(master.store(), job, &Verdict { status, reason: Some(reason) }).await?;
    discard(master, AttemptId { job: job.clone(), number: 1 }).await;
    master.live().touch(job);
    Ok(())
}

/// A job that fails Danube again and again ends, with the error as its reason.
async fn give_up<R: Runtime>(master: &Master, services: &Services<R>, job: &JobId, error: &EngineError) {
    let attempt = AttemptId { job: job.clone(), number: 1 };
    if let Err(error) = services.runtime.delete(&attempt).await {
        tracing::error!(%job, %error, "its containers were not removed");
    }
    lose(master, job, error).await;
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
