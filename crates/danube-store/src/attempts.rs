//! Attempts: each try at a job, with its nonce and what is left of its deadline.

use danube_core::id::{AttemptId, JobId, StepId};
use danube_core::job::{FailureReason, JobStatus};
use sqlx::SqliteExecutor;

use crate::{StoreError, Tx};

/// What an attempt begins with.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Which.
    pub id: AttemptId,
    /// What each of its shims must give back (docs/protocol.md, rule 8).
    pub nonce: String,
    /// How long it may take from `started_ms` on.
    pub budget_ms: i64,
    /// When, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// How many there may be of its job.
    pub tries: u32,
}

/// An attempt as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Whose.
    pub job: String,
    /// Counts from 1.
    pub number: u32,
    /// What each of its shims must give back.
    pub nonce: String,
    /// One of [`JobStatus`]'s texts.
    pub status: String,
    /// The step id of the danubefile's own process, once it was decided.
    pub coordinator_step: Option<String>,
    /// How long it may take, counted from its [`Anchor`] on.
    pub budget_ms: i64,
    /// The wall clock's part of that.
    pub anchor_ms: i64,
    /// When it began.
    pub started_ms: i64,
    /// When it ended.
    pub finished_ms: Option<i64>,
    /// How many there may be of its job.
    pub tries: u32,
    /// Why it did not succeed, as a name.
    pub reason_kind: Option<String>,
    /// Why it did not succeed, in words.
    pub reason_message: Option<String>,
}

/// A moment by two clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Which start of the machine; empty where that is not known.
    pub boot: String,
    /// Milliseconds since then.
    pub up_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
}

/// Writes a new attempt, in the status `scheduling`.
pub async fn insert(tx: &mut Tx, attempt: &NewAttempt) -> Result<(), StoreError> {
    let (job, number) = (attempt.id.job.as_str(), attempt.id.number);
    sqlx::query!(
        "INSERT INTO attempts (job, number, nonce, status, budget_ms, anchor_ms, started_ms, tries)
         VALUES (?, ?, ?, 'scheduling', ?, ?, ?, ?)",
        job,
        number,
        attempt.nonce,
        attempt.budget_ms,
        attempt.started_ms,
        attempt.started_ms,
        attempt.tries,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves an attempt to a status that is not final. An ended one stays as it is.
pub async fn set_status(tx: &mut Tx, id: &AttemptId, status: JobStatus) -> Result<(), StoreError> {
    let (job, number, status) = (id.job.as_str(), id.number, status.as_str());
    sqlx::query!(
        "UPDATE attempts SET status = ? WHERE job = ? AND number = ? AND finished_ms IS NULL",
        status,
        job,
        number,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends an attempt. The first end stands.
pub async fn finish(
    tx: &mut Tx,
    id: &AttemptId,
    status: JobStatus,
    reason: Option<&FailureReason>,
    at_ms: i64,
) -> Result<(), StoreError> {
    let (job, number, status) = (id.job.as_str(), id.number, status.as_str());
    let (kind, message) = reason.map(|reason| (reason.kind.as_str(), reason.message.as_str())).unzip();
    sqlx::query!(
        "UPDATE attempts SET status = ?, reason_kind = ?, reason_message = ?, finished_ms = ?
         WHERE job = ? AND number = ? AND finished_ms IS NULL",
        status,
        kind,
        message,
        at_ms,
        job,
        number,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes under which step id the danubefile runs, before it is started.
pub async fn set_coordinator_step(tx: &mut Tx, id: &AttemptId, step: &StepId) -> Result<(), StoreError> {
    let (job, number, step) = (id.job.as_str(), id.number, step.to_string());
    sqlx::query!("UPDATE attempts SET coordinator_step = ? WHERE job = ? AND number = ?", step, job, number)
        .execute(tx)
        .await?;
    Ok(())
}

/// Writes from when on its time is counted.
pub async fn set_anchor(tx: &mut Tx, id: &AttemptId, anchor: &Anchor) -> Result<(), StoreError> {
    let (job, number) = (id.job.as_str(), id.number);
    sqlx::query!(
        "UPDATE attempts SET anchor_boot = ?, anchor_up_ms = ?, anchor_ms = ? WHERE job = ? AND number = ?",
        anchor.boot,
        anchor.up_ms,
        anchor.wall_ms,
        job,
        number
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// From when on its time is counted.
pub async fn anchor(db: impl SqliteExecutor<'_>, id: &AttemptId) -> Result<Option<Anchor>, StoreError> {
    let (job, number) = (id.job.as_str(), id.number);
    let row = sqlx::query_as!(
        Anchor,
        "SELECT anchor_boot AS boot, anchor_up_ms AS up_ms, anchor_ms AS wall_ms FROM attempts
         WHERE job = ? AND number = ?",
        job,
        number
    );
    Ok(row.fetch_optional(db).await?)
}

/// A job's newest attempt.
pub async fn latest(db: impl SqliteExecutor<'_>, job: &JobId) -> Result<Option<AttemptRow>, StoreError> {
    let job = job.as_str();
    let row = sqlx::query_as!(
        AttemptRow,
        r#"SELECT job, number AS "number: u32", nonce, status, coordinator_step, budget_ms, anchor_ms,
                  started_ms, finished_ms, tries AS "tries: u32", reason_kind, reason_message
           FROM attempts WHERE job = ? ORDER BY number DESC LIMIT 1"#,
        job
    );
    Ok(row.fetch_optional(db).await?)
}

/// A job's attempts, in order.
pub async fn list(db: impl SqliteExecutor<'_>, job: &JobId) -> Result<Vec<AttemptRow>, StoreError> {
    let job = job.as_str();
    let rows = sqlx::query_as!(
        AttemptRow,
        r#"SELECT job, number AS "number: u32", nonce, status, coordinator_step, budget_ms, anchor_ms,
                  started_ms, finished_ms, tries AS "tries: u32", reason_kind, reason_message
           FROM attempts WHERE job = ? ORDER BY number"#,
        job
    );
    Ok(rows.fetch_all(db).await?)
}
