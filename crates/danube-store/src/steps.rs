//! Steps: written before they are started, their log's commits, and how they ended.

use danube_core::id::{AttemptId, ContainerName, StepId};
use danube_core::step::StepKind;
use sqlx::SqliteExecutor;

use crate::{StoreError, Tx, from_sql, to_sql};

/// A step within its job: its number counts from 1 in order of start and names its log's files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// Whose.
    pub attempt: AttemptId,
    /// Which.
    pub number: u32,
}

/// What a step begins with.
#[derive(Clone, Debug)]
pub struct NewStep {
    /// Its place.
    pub key: StepKey,
    /// What it is.
    pub kind: StepKind,
    /// The SDK's id for the call.
    pub id: StepId,
    /// What of the shim's `Start` must stay the same for the same id.
    pub spec_hash: Vec<u8>,
    /// Its name, masked.
    pub name: String,
    /// The enclosing groups, outermost first, as a JSON array.
    pub group_path: String,
    /// Where it runs.
    pub container: ContainerName,
    /// In which image.
    pub image: String,
    /// A failure raises in the danubefile.
    pub checked: bool,
    /// Which try, from 1.
    pub r#try: u32,
    /// Of how many.
    pub tries: u32,
    /// Where in the danubefile it was called.
    pub location: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub started_ms: i64,
}

/// How far a step's output is durable (docs/protocol.md, rule 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCommit {
    /// Output below this offset is in the files; attach here again.
    pub consumed: u64,
    /// Bytes of the `.raw` file.
    pub raw_len: u64,
    /// Bytes of the `.idx` file.
    pub idx_len: u64,
    /// SHA-256 over the unmasked output below `consumed`, still open.
    pub hash_state: Vec<u8>,
}

/// How a step ended.
#[derive(Clone, Debug)]
pub struct StepEnd {
    /// `success`, `failure`, `timeout`, `cancelled` or `infra`.
    pub status: &'static str,
    /// The shim's word for the cause, or the engine's own.
    pub cause: String,
    /// The exit code, when the process ran.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What happened and what to do, masked; for what is not a plain exit.
    pub message: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    pub finished_ms: i64,
    /// How long it ran, on the monotonic clock.
    pub duration_ms: i64,
    /// Bytes of its unmasked output.
    pub bytes: u64,
    /// SHA-256 of its unmasked output.
    pub sha256: Vec<u8>,
}

/// A step as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// In order of start, from 1.
    pub number: u32,
    /// `step` or `service`.
    pub kind: String,
    /// The SDK's id for the call.
    pub step_id: String,
    /// What of the shim's `Start` must stay the same for the same id.
    pub spec_hash: Vec<u8>,
    /// Its name, masked.
    pub name: String,
    /// The enclosing groups, as a JSON array.
    pub group_path: String,
    /// Where it ran.
    pub container: String,
    /// In which image.
    pub image: String,
    /// A failure raises in the danubefile.
    pub checked: bool,
    /// Which try, from 1.
    pub r#try: u32,
    /// Of how many.
    pub tries: u32,
    /// Where in the danubefile it was called.
    pub location: Option<String>,
    /// `running`, `success`, `failure`, `timeout`, `cancelled` or `infra`.
    pub status: String,
    /// The word for the cause of its end.
    pub cause: Option<String>,
    /// The exit code, when the process ran.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What happened and what to do.
    pub message: Option<String>,
    /// When it was started.
    pub started_ms: i64,
    /// When it ended.
    pub finished_ms: Option<i64>,
    /// How long it ran.
    pub duration_ms: Option<i64>,
    /// Bytes of its unmasked output.
    pub bytes: Option<i64>,
    /// SHA-256 of its unmasked output.
    pub sha256: Option<Vec<u8>>,
    /// When a service became ready.
    pub ready_ms: Option<i64>,
}

impl StepRow {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> StepKind {
        StepKind::of(&self.kind)
    }
}

/// Writes a step, in the status `running`, before its `Start` is sent.
pub async fn insert(tx: &mut Tx, step: &NewStep) -> Result<(), StoreError> {
    let (job, attempt) = (step.key.attempt.job.as_str(), step.key.attempt.number);
    let (id, container, kind) = (step.id.to_string(), step.container.as_str(), step.kind.as_str());
    sqlx::query!(
        "INSERT INTO steps (job, attempt, number, kind, step_id, spec_hash, name, group_path, container, image, checked,
                            try, tries, location, started_ms, status)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running')",
        job,
        attempt,
        step.key.number,
        kind,
        id,
        step.spec_hash,
        step.name,
        step.group_path,
        container,
        step.image,
        step.checked,
        step.r#try,
        step.tries,
        step.location,
        step.started_ms,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes how far a running step's output is durable. The files must have been synced before.
pub async fn commit_log(tx: &mut Tx, key: &StepKey, log: &LogCommit) -> Result<(), StoreError> {
    let (job, attempt) = (key.attempt.job.as_str(), key.attempt.number);
    let [consumed, raw_len, idx_len] = [log.consumed, log.raw_len, log.idx_len].map(to_sql);
    sqlx::query!(
        "UPDATE steps SET consumed_offset = ?, raw_len = ?, idx_len = ?, hash_state = ?
         WHERE job = ? AND attempt = ? AND number = ? AND consumed_offset <= ?",
        consumed,
        raw_len,
        idx_len,
        log.hash_state,
        job,
        attempt,
        key.number,
        consumed,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes that a service is ready. The first time stands.
pub async fn set_ready(tx: &mut Tx, key: &StepKey, at_ms: i64) -> Result<(), StoreError> {
    let (job, attempt) = (key.attempt.job.as_str(), key.attempt.number);
    sqlx::query!(
        "UPDATE steps SET ready_ms = ? WHERE job = ? AND attempt = ? AND number = ? AND ready_ms IS NULL",
        at_ms,
        job,
        attempt,
        key.number,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends a step together with its last commit (docs/protocol.md, rule 4). The first end stands: when there is one
/// already the answer is false.
pub async fn end(tx: &mut Tx, key: &StepKey, end: &StepEnd, log: Option<&LogCommit>) -> Result<bool, StoreError> {
    if let Some(log) = log {
        commit_log(tx, key, log).await?;
    }
    let (job, attempt, bytes) = (key.attempt.job.as_str(), key.attempt.number, to_sql(end.bytes));
    let done = sqlx::query!(
        "UPDATE steps SET status = ?, cause = ?, exit_code = ?, signal = ?, message = ?, finished_ms = ?,
                          duration_ms = ?, bytes = ?, sha256 = ?
         WHERE job = ? AND attempt = ? AND number = ? AND finished_ms IS NULL",
        end.status,
        end.cause,
        end.exit_code,
        end.signal,
        end.message,
        end.finished_ms,
        end.duration_ms,
        bytes,
        end.sha256,
        job,
        attempt,
        key.number,
    );
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// How far a step's output is durable; none when there is no such step.
pub async fn log_commit(db: impl SqliteExecutor<'_>, key: &StepKey) -> Result<Option<LogCommit>, StoreError> {
    let (job, attempt) = (key.attempt.job.as_str(), key.attempt.number);
    let row = sqlx::query!(
        "SELECT consumed_offset, raw_len, idx_len, hash_state FROM steps WHERE job = ? AND attempt = ? AND number = ?",
        job,
        attempt,
        key.number
    );
    Ok(row.fetch_optional(db).await?.map(|row| LogCommit {
        consumed: from_sql(row.consumed_offset),
        raw_len: from_sql(row.raw_len),
        idx_len: from_sql(row.idx_len),
        hash_state: row.hash_state.unwrap_or_default(),
    }))
}

/// An attempt's steps in order of start.
pub async fn list(db: impl SqliteExecutor<'_>, attempt: &AttemptId) -> Result<Vec<StepRow>, StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let rows = sqlx::query_as!(
        StepRow,
        r#"SELECT number AS "number: u32", kind, step_id, spec_hash, name, group_path, container, image,
                  checked AS "checked: bool", try AS "try: u32", tries AS "tries: u32", location, status, cause,
                  exit_code AS "exit_code: i32", signal AS "signal: i32", message, started_ms, finished_ms,
                  duration_ms, bytes, sha256, ready_ms
           FROM steps WHERE job = ? AND attempt = ? ORDER BY number"#,
        job,
        number
    );
    Ok(rows.fetch_all(db).await?)
}

/// Ends the steps of an attempt that have no end, because the attempt has one.
pub async fn end_open(
    tx: &mut Tx,
    attempt: &AttemptId,
    status: &str,
    cause: &str,
    at_ms: i64,
) -> Result<(), StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    sqlx::query!(
        "UPDATE steps SET status = ?, cause = ?, finished_ms = ?, duration_ms = max(0, ? - started_ms)
         WHERE job = ? AND attempt = ? AND finished_ms IS NULL",
        status,
        cause,
        at_ms,
        at_ms,
        job,
        number,
    )
    .execute(tx)
    .await?;
    Ok(())
}
