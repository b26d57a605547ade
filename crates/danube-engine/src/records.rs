//! The rows of one job, in the engine's words: each is written before the effect that it announces, and each function
//! may be called again after a restart.

use std::collections::HashMap;
use std::time::Duration;

use danube_core::egress::EgressEvent;
use danube_core::id::{AttemptId, ContainerName, StepId};
use danube_core::job::{FailureKind, FailureReason, JobStatus, Verdict};
use danube_core::runtime::{ContainerSpec, Runtime};
use danube_core::step::StepKind;
use danube_proto::mailbox::{ServiceStart, StepRun};
use danube_proto::v1::{End, EndCause};
use danube_store::steps::{StepEnd, StepKey, StepRow};
use danube_store::{Store, StoreError, Tx, WriteFuture, attempts, containers, egress as egress_rows, jobs, steps};

use crate::EngineError;
use crate::clock;
pub use crate::clock::now_ms;
use crate::failpoint::failpoint;
use crate::job::shared::Shared;
use crate::logs::StepLog;

/// What the rows say of a job when an engine takes it up.
#[derive(Debug, Default)]
pub struct Before {
    /// Steps of the danubefile that were started.
    pub steps: u32,
    /// The danubefile was started.
    pub ran: bool,
    /// How the danubefile ended.
    pub runner: Option<Ended>,
    /// What is left of the job's time.
    pub remaining: Duration,
    /// The verdict was written: only traces are left to remove.
    pub verdict: Option<Verdict>,
}

/// A step that is about to be started, or was.
#[derive(Clone, Debug)]
pub struct NewStep {
    kind: StepKind,
    id: StepId,
    spec_hash: Vec<u8>,
    name: String,
    group: Vec<String>,
    container: ContainerName,
    image: String,
    check: bool,
    attempt: (u32, u32),
    location: Option<String>,
    is_runner: bool,
}

impl NewStep {
    /// The SDK's runner.
    pub fn runner(id: StepId, spec_hash: &[u8], name: &str) -> Self {
        Self {
            kind: StepKind::Step,
            id,
            spec_hash: spec_hash.to_vec(),
            name: name.to_owned(),
            group: Vec::new(),
            container: ContainerName::coordinator(),
            image: "coordinator".to_owned(),
            check: true,
            attempt: (1, 1),
            location: None,
            is_runner: true,
        }
    }

    /// A step of the danubefile.
    pub fn of(id: StepId, spec_hash: &[u8], run: &StepRun, image: &str, container: ContainerName) -> Self {
        Self {
            kind: StepKind::Step,
            id,
            spec_hash: spec_hash.to_vec(),
            name: run.name.clone(),
            group: run.group.clone(),
            container,
            image: image.to_owned(),
            check: run.check,
            attempt: (run.attempt, run.attempts),
            location: run.location.clone(),
            is_runner: false,
        }
    }

    /// A service of the danubefile.
    pub fn service(id: StepId, spec_hash: &[u8], start: &ServiceStart, container: ContainerName) -> Self {
        Self {
            kind: StepKind::Service,
            id,
            spec_hash: spec_hash.to_vec(),
            name: start.name.clone(),
            group: start.group.clone(),
            container,
            image: start.image.clone(),
            check: true,
            attempt: (1, 1),
            location: start.location.clone(),
            is_runner: false,
        }
    }
}

/// A step's row and its log.
pub struct StepRecord {
    /// 0 for the runner, then in order of start.
    pub number: u32,
    /// Written just now, not found from before.
    pub is_new: bool,
    /// Whether a failure raises in the danubefile.
    pub check: bool,
    /// How it ended, if its rows say so.
    pub ended: Option<Ended>,
    /// Its row is final, whatever comes.
    pub is_final: bool,
    /// Where it runs.
    pub container: ContainerName,
    /// Its log.
    pub log: StepLog,
    key: StepKey,
}

/// How a step ended, by its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Out of memory.
    pub oom: bool,
    /// Stopped with its container.
    pub evicted: bool,
}

/// Reads what is known of the job; writes its attempt if it is new.
pub async fn resume<R: Runtime>(shared: &Shared<R>) -> Result<Before, EngineError> {
    let store = &shared.services.store;
    let attempt = shared.plan.group.attempt.clone();
    let known = attempts::latest(store.read(), &attempt.job).await?.filter(|row| row.number == attempt.number);
    let Some(row) = known else {
        begin_attempt(shared, attempt).await?;
        return Ok(Before { remaining: shared.plan.timeout, ..Before::default() });
    };
    let rows = steps::list(store.read(), &attempt).await?;
    let containers = containers::list(store.read(), &attempt).await?;
    let begun = attempts::anchor(store.read(), &attempt).await?;
    let spent = begun.map_or(0, |begun| clock::between(&begun, &clock::anchor()));
    let left = u64::try_from(row.budget_ms.saturating_sub(spent)).unwrap_or(0);
    let runner = rows.iter().find(|row| row.number == 0);
    let before = Before {
        steps: u32::try_from(rows.iter().filter(|row| is_step(row)).count()).unwrap_or(u32::MAX),
        ran: runner.is_some(),
        runner: runner.and_then(ended),
        remaining: Duration::from_millis(left),
        verdict: verdict(shared).await?,
    };
    shared.restore(
        rows.into_iter().map(|row| (row.step_id.clone(), KnownStep { row, met: false })).collect(),
        &containers,
    );
    Ok(before)
}

/// Neither the danubefile nor a service.
fn is_step(row: &StepRow) -> bool {
    row.number > 0 && row.kind() == StepKind::Step
}

/// The verdict that an earlier engine wrote.
async fn verdict<R: Runtime>(shared: &Shared<R>) -> Result<Option<Verdict>, EngineError> {
    let job = jobs::get(shared.services.store.read(), &shared.plan.group.attempt.job).await?;
    let Some(row) = job.filter(|row| row.finished_ms.is_some()) else { return Ok(None) };
    let Ok(status) = row.status.parse() else { return Ok(None) };
    let kind = row.reason_kind.and_then(|kind| serde_json::from_value(kind.into()).ok());
    let reason = kind.map(|kind| FailureReason { kind, message: row.reason_message.unwrap_or_default() });
    Ok(Some(Verdict { status, reason }))
}

/// How a step ended, by its row. One that was lost has no exit.
fn ended(row: &StepRow) -> Option<Ended> {
    let exit_code = row.finished_ms.and(row.exit_code)?;
    let is = |cause: &str| row.cause.as_deref() == Some(cause);
    Some(Ended { exit_code, signal: row.signal, oom: is("oom"), evicted: is("evicted") })
}

/// A step from before a restart.
#[derive(Clone, Debug)]
pub struct KnownStep {
    /// Its row.
    pub row: StepRow,
    /// Its call was delivered again.
    pub met: bool,
}

/// Steps from before a restart, by id.
pub type KnownSteps = HashMap<String, KnownStep>;

async fn begin_attempt<R: Runtime>(shared: &Shared<R>, id: AttemptId) -> Result<(), EngineError> {
    let nonce = shared.plan.group.nonce.clone();
    let budget_ms = i64::try_from(shared.plan.timeout.as_millis()).unwrap_or(i64::MAX);
    let tries = shared.plan.retries.tries();
    let row = attempts::NewAttempt { id: id.clone(), nonce, budget_ms, started_ms: now_ms(), tries };
    let runner = shared.plan.runner.step_id;
    let specs = shared.plan.group.containers.clone();
    let anchor = clock::anchor();
    let write = shared.services.store.write(move |tx| {
        Box::pin(async move {
            attempts::insert(tx, &row).await?;
            attempts::set_anchor(tx, &id, &anchor).await?;
            attempts::set_coordinator_step(tx, &id, &runner).await?;
            for spec in &specs {
                containers::insert(tx, &id, &spec.name, spec.role, &image_text(spec)).await?;
            }
            Ok(())
        })
    });
    Ok(write.await?)
}

fn image_text(spec: &ContainerSpec) -> String {
    serde_json::to_string(&spec.image).unwrap_or_default()
}

/// Writes that a container was added; `place` says for what.
pub async fn container_added<R: Runtime>(
    shared: &Shared<R>,
    place: &str,
    spec: &ContainerSpec,
) -> Result<(), EngineError> {
    let (id, name, role) = (shared.plan.group.attempt.clone(), spec.name.clone(), spec.role);
    let place = place.to_owned();
    durable(shared, move |tx| Box::pin(async move { containers::insert(tx, &id, &name, role, &place).await })).await
}

/// Writes a status that is not final.
pub async fn set_status<R: Runtime>(shared: &Shared<R>, status: JobStatus) -> Result<(), EngineError> {
    let id = shared.plan.group.attempt.clone();
    durable(shared, move |tx| {
        Box::pin(async move {
            jobs::advance(tx, &id.job, status, now_ms()).await?;
            attempts::set_status(tx, &id, status).await
        })
    })
    .await?;
    failpoint(match status {
        JobStatus::Scheduling => "job-scheduling",
        _ => "job-running",
    });
    Ok(())
}

/// Writes the end of a job, and of its attempt if there is one, without a task that runs it. The first end stands.
pub async fn finish_job(store: &Store, id: &AttemptId, verdict: &Verdict) -> Result<(), EngineError> {
    let (id, verdict) = (id.clone(), verdict.clone());
    let write = store.write(move |tx| Box::pin(async move { end_rows(tx, &id, &verdict, false).await.map(drop) }));
    Ok(write.await?)
}

/// Writes the verdict. The first one stands. With `again` the job is not over: it is tried again, unless somebody asked
/// for its end meanwhile. Says which it is.
pub async fn finish<R: Runtime>(shared: &Shared<R>, verdict: &Verdict, again: bool) -> Result<bool, EngineError> {
    failpoint("before-verdict");
    let (id, verdict) = (shared.plan.group.attempt.clone(), verdict.clone());
    let write =
        shared.services.store.write(move |tx| Box::pin(async move { end_rows(tx, &id, &verdict, again).await }));
    let again = write.await?;
    failpoint(if again { "attempt-ended" } else { "after-verdict" });
    Ok(again)
}

async fn end_rows(tx: &mut Tx, id: &AttemptId, verdict: &Verdict, again: bool) -> Result<bool, StoreError> {
    let (at, mut reason) = (now_ms(), verdict.reason.clone());
    if let Some(reason) = reason.as_mut().filter(|reason| reason.kind == FailureKind::Cancelled) {
        // Nobody asked for the end of a job that gave way to a newer one.
        let job = jobs::get(&mut *tx, &id.job).await?;
        if let Some(message) = job.and_then(|row| row.cancel_message) {
            reason.message = message;
        }
    }
    let again = again && jobs::again(tx, &id.job).await?;
    if !again {
        jobs::finish(tx, &id.job, verdict.status, reason.as_ref(), at).await?;
    }
    // A job can be over before the danubefile's own row has an end.
    let (status, cause) =
        if verdict.status == JobStatus::Cancelled { ("cancelled", "stopped") } else { ("infra", "lost") };
    steps::end_open(tx, id, status, cause, at).await?;
    attempts::finish(tx, id, verdict.status, reason.as_ref(), at).await?;
    Ok(again)
}

/// Writes what was tried to reach. The runtime tells its list from the first entry on; `seq` is the place in it.
pub async fn egress<R: Runtime>(shared: &Shared<R>, seq: u64, event: &EgressEvent) -> Result<(), EngineError> {
    let (id, event) = (shared.plan.group.attempt.clone(), event.clone());
    durable(shared, move |tx| Box::pin(async move { egress_rows::append(tx, &id, seq, &event).await })).await
}

/// Writes a step's row, or finds it, and opens its log.
pub async fn begin_step<R: Runtime>(shared: &Shared<R>, step: NewStep) -> Result<StepRecord, EngineError> {
    if let Some(row) = shared.known(step.id) {
        return reopen_step(shared, &row).await;
    }
    let number = if step.is_runner { 0 } else { shared.next_number() };
    let key = StepKey { attempt: shared.plan.group.attempt.clone(), number };
    failpoint("before-step-row");
    insert_step(shared, key.clone(), &step).await?;
    failpoint("after-step-row");
    let log = open_log(shared, &key).await?;
    let (check, container) = (step.check, step.container);
    Ok(StepRecord { number, is_new: true, check, ended: None, is_final: false, container, log, key })
}

/// A step from before a restart, its log cut to what is durable.
pub async fn reopen_step<R: Runtime>(shared: &Shared<R>, row: &StepRow) -> Result<StepRecord, EngineError> {
    let key = StepKey { attempt: shared.plan.group.attempt.clone(), number: row.number };
    let mut log = open_log(shared, &key).await?;
    if let Some(sha256) = row.sha256.as_deref().and_then(|hash| hash.try_into().ok()) {
        log.was_sealed(sha256);
    }
    let (is_final, check) = (row.finished_ms.is_some(), row.checked);
    let container = row.container.parse().unwrap_or_else(|_| ContainerName::worker(1));
    Ok(StepRecord { number: row.number, is_new: false, check, ended: ended(row), is_final, container, log, key })
}

async fn open_log<R: Runtime>(shared: &Shared<R>, key: &StepKey) -> Result<StepLog, EngineError> {
    loop {
        match shared.services.logs.open(&shared.services.store, key, &shared.masks).await {
            Err(error) if error.is_full() => shared.room.wait().await,
            opened => return Ok(opened?),
        }
    }
}

/// Writes rows. While the disk is full it waits: the job's own time bounds how long.
async fn durable<R, T, F>(shared: &Shared<R>, work: F) -> Result<T, EngineError>
where
    R: Runtime,
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Tx) -> WriteFuture<'c, T> + Clone + Send + 'static,
{
    loop {
        match shared.services.store.write(work.clone()).await {
            Err(error) if error.is_full() => shared.room.wait().await,
            written => return Ok(written?),
        }
    }
}

async fn insert_step<R: Runtime>(shared: &Shared<R>, key: StepKey, step: &NewStep) -> Result<(), EngineError> {
    let group: Vec<String> = step.group.iter().map(|name| shared.mask(name)).collect();
    let row = steps::NewStep {
        kind: step.kind,
        key,
        id: step.id,
        spec_hash: step.spec_hash.clone(),
        name: shared.mask(&step.name),
        group_path: serde_json::to_string(&group).unwrap_or_else(|_| "[]".to_owned()),
        container: step.container.clone(),
        image: step.image.clone(),
        checked: step.check,
        r#try: step.attempt.0,
        tries: step.attempt.1,
        location: step.location.clone(),
        started_ms: now_ms(),
    };
    durable(shared, move |tx| Box::pin(async move { steps::insert(tx, &row).await })).await
}

/// Writes a step's end in one transaction with its log's last commit (docs/protocol.md, rule 4).
pub async fn end_step<R: Runtime>(
    shared: &Shared<R>,
    record: StepRecord,
    end: &End,
    message: Option<&str>,
) -> Result<(), EngineError> {
    let cause = if end.oom { "oom".to_owned() } else { end.cause().as_str_name().to_ascii_lowercase() };
    end_as(shared, record, end, (status_of(end), cause, message)).await
}

/// The same, with another status and cause than those that the shim's record says by itself.
pub async fn end_as<R: Runtime>(
    shared: &Shared<R>,
    record: StepRecord,
    end: &End,
    (status, cause, message): (&'static str, String, Option<&str>),
) -> Result<(), EngineError> {
    failpoint("before-step-end");
    let row = StepEnd {
        status,
        cause,
        exit_code: Some(end.exit_code),
        signal: (end.signal != 0).then_some(end.signal),
        message: message.map(str::to_owned),
        finished_ms: now_ms(),
        duration_ms: i64::try_from(end.duration_ms).unwrap_or(i64::MAX),
        bytes: end.bytes,
        sha256: end.sha256.to_vec(),
    };
    close(shared, record, row).await?;
    failpoint("after-step-end");
    Ok(())
}

/// Writes that a service is ready.
pub async fn service_ready<R: Runtime>(shared: &Shared<R>, number: u32) -> Result<(), EngineError> {
    let key = StepKey { attempt: shared.plan.group.attempt.clone(), number };
    durable(shared, move |tx| Box::pin(async move { steps::set_ready(tx, &key, now_ms()).await })).await?;
    failpoint("service-ready");
    Ok(())
}

/// Writes that a step was lost: what was received stays, and the log says that more may be missing.
pub async fn lose_step<R: Runtime>(
    shared: &Shared<R>,
    mut record: StepRecord,
    message: &str,
) -> Result<(), EngineError> {
    if record.is_final {
        return Ok(());
    }
    match record.log.mark_gap(u64::try_from(now_ms()).unwrap_or(0), None) {
        // It waits in memory, and is written when the log is sealed.
        Err(error) if error.is_full() => {}
        marked => marked?,
    }
    let row = StepEnd {
        status: "infra",
        cause: "lost".to_owned(),
        exit_code: None,
        signal: None,
        message: Some(message.to_owned()),
        finished_ms: now_ms(),
        duration_ms: 0,
        bytes: record.log.received(),
        sha256: Vec::new(),
    };
    close(shared, record, row).await
}

async fn close<R: Runtime>(shared: &Shared<R>, record: StepRecord, row: StepEnd) -> Result<(), EngineError> {
    let StepRecord { key, mut log, .. } = record;
    let last = loop {
        match log.seal().await {
            Err(error) if error.is_full() => shared.room.wait().await,
            sealed => break sealed?,
        }
    };
    durable(shared, move |tx| Box::pin(async move { steps::end(tx, &key, &row, Some(&last)).await.map(drop) })).await?;
    shared.room.found();
    Ok(())
}

fn status_of(end: &End) -> &'static str {
    match end.cause() {
        EndCause::Exited if end.exit_code == 0 => "success",
        EndCause::Exited | EndCause::NotStarted => "failure",
        EndCause::TimedOut => "timeout",
        EndCause::Stopped => "cancelled",
        EndCause::Orphaned | EndCause::MasterAway | EndCause::Evicted | EndCause::Unspecified => "infra",
    }
}
