//! What the rows say of a job, read once for all who look at it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use danube_core::id::{AttemptId, JobId};
use danube_core::job::JobStatus;
use danube_engine::logs::{LogDir, LogError};
use danube_store::artifacts::{self, ArtifactRow};
use danube_store::steps::{self, StepKey, StepRow};

use super::cursor::{Artifacts, short_hash};
use super::event::json;
use super::pieces::Pieces;
use crate::answer::blocking;
use crate::api::jobs::load;
use crate::api::logs::open;
use crate::context::Ctx;
use crate::model::{Artifact, Step};
use crate::problem::Problem;

/// What the rows say of a job.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The job as JSON.
    pub job: String,
    /// Its hash.
    pub state: u64,
    /// Nothing will change any more.
    pub is_final: bool,
    pub attempt: AttemptId,
    /// By number.
    pub steps: Vec<Step>,
    /// Bytes that the logs of the steps that run had, by the steps' numbers.
    pub written: BTreeMap<u32, u64>,
    /// In the order in which they came.
    pub artifacts: Vec<Artifact>,
    /// What was told after none of them, one, two, …
    pub orders: Vec<Artifacts>,
}

/// The jobs that somebody looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Boards(Arc<Mutex<HashMap<JobId, Weak<Board>>>>);

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// How many times reading was begun.
    begun: AtomicU64,
    /// What was read last, and which time that was.
    last: tokio::sync::Mutex<Option<(u64, Arc<Facts>)>>,
    /// What was read of logs that still grow.
    pub(super) pieces: Pieces,
}

impl Boards {
    /// The board of a job. It is forgotten when nobody holds it.
    pub(crate) fn of(&self, job: &JobId) -> Arc<Board> {
        let mut boards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(board) = boards.get(job).and_then(Weak::upgrade) {
            return board;
        }
        boards.retain(|_, board| board.strong_count() > 0);
        let board = Arc::<Board>::default();
        boards.insert(job.clone(), Arc::downgrade(&board));
        board
    }
}

impl Board {
    /// What the rows say now. Of those who ask while somebody reads, one reads next, for all of them.
    pub(crate) async fn facts(&self, ctx: &Ctx, job: &JobId) -> Result<Arc<Facts>, Problem> {
        let asked = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some((_, facts)) = last.as_ref().filter(|(time, _)| *time > asked) {
            return Ok(facts.clone());
        }
        let time = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let facts = Arc::new(read(ctx, job).await?);
        *last = Some((time, facts.clone()));
        Ok(facts)
    }
}

async fn read(ctx: &Ctx, id: &JobId) -> Result<Facts, Problem> {
    // The job first: when it has ended, everything of it is in the rows that are read after it.
    let job = load(ctx, id).await?;
    let attempt = AttemptId { job: id.clone(), number: job.attempt };
    let steps = steps::list(ctx.store().read(), &attempt).await?;
    let mut artifacts = artifacts::list(ctx.store().read(), &attempt).await?;
    artifacts.sort_by(|a, b| (a.created_ms, &a.name).cmp(&(b.created_ms, &b.name)));
    let is_final = job.status.parse::<JobStatus>().is_ok_and(JobStatus::is_final);
    let (job, logs, of) = (json(&job), ctx.master.logs().clone(), attempt.clone());
    let running: Vec<u32> = steps.iter().filter(|step| step.finished_ms.is_none()).map(|step| step.number).collect();
    let written = blocking(move || lengths(&logs, &of, running)).await??;
    Ok(Facts {
        state: short_hash(job.as_bytes()),
        job,
        is_final,
        attempt,
        written,
        orders: orders(&artifacts),
        steps: steps.into_iter().map(|row: StepRow| row.into()).collect(),
        artifacts: artifacts.into_iter().map(Into::into).collect(),
    })
}

/// How long the logs of these steps are.
fn lengths(logs: &LogDir, attempt: &AttemptId, steps: Vec<u32>) -> Result<BTreeMap<u32, u64>, LogError> {
    let length = |number| {
        let log = open(logs, &StepKey { attempt: attempt.clone(), number })?;
        Ok((number, log.map_or(0, |log| log.len())))
    };
    steps.into_iter().map(length).collect()
}

fn orders(artifacts: &[ArtifactRow]) -> Vec<Artifacts> {
    let mut told = Artifacts::default();
    let after = artifacts.iter().map(|artifact| {
        told.add(&artifact.name);
        told
    });
    std::iter::once(Artifacts::default()).chain(after).collect()
}
