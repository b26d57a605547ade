//! Jobs: what was asked for, where it stands, how it ended.

use danube_core::id::JobId;
use danube_core::job::{FailureReason, JobStatus};
use sqlx::{SqliteExecutor, SqlitePool};

use crate::{StoreError, Tx};

/// What a job is made from. Texts called JSON must be JSON: the database checks.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Its pipeline.
    pub pipeline: String,
    /// What it runs on.
    pub source: Source,
    /// What made it start: `run`, `dev`, `webhook`, `cron`, …
    pub trigger: String,
    /// Who made it start, where one knows.
    pub actor: Option<String>,
    /// Its parameters, as a JSON object.
    pub params: String,
    /// Images, limits and what else was decided when it was made, as a JSON object.
    pub spec: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// The job whose inputs it has again.
    pub rerun_of: Option<JobId>,
    /// Of the jobs with the same one, one runs at a time.
    pub concurrency: Option<String>,
    /// Older jobs of its group and pipeline give way to it also when they run.
    pub supersedes: bool,
}

/// What a job runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The folder, for `run` and `dev`.
    pub dir: Option<String>,
    /// The branch or tag.
    pub reference: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// The folder holds changes that are in no commit.
    pub dirty: bool,
    /// The first line of the commit's message.
    pub title: Option<String>,
}

/// A job as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Its number within the pipeline, from 1.
    pub number: i64,
    /// The folder it runs on, for `run` and `dev`.
    pub source_dir: Option<String>,
    /// The branch or tag.
    pub source_ref: Option<String>,
    /// The commit.
    pub source_sha: Option<String>,
    /// The folder held changes that are in no commit.
    pub source_dirty: bool,
    /// The first line of the commit's message.
    pub source_title: Option<String>,
    /// What made it start.
    pub trigger: String,
    /// Who made it start.
    pub actor: Option<String>,
    /// Its parameters, as a JSON object.
    pub params: String,
    /// What was decided when it was made, as a JSON object.
    pub spec: String,
    /// One of [`JobStatus`]'s texts.
    pub status: String,
    /// Why it did not succeed, as a name.
    pub reason_kind: Option<String>,
    /// Why it did not succeed, in words.
    pub reason_message: Option<String>,
    /// When it was made.
    pub created_ms: i64,
    /// When it was first running.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub finished_ms: Option<i64>,
    /// The job whose inputs it has again.
    pub rerun_of: Option<String>,
    /// When somebody asked for its end.
    pub cancel_ms: Option<i64>,
    /// Why, where it was not a person who asked.
    pub cancel_message: Option<String>,
    /// Of the jobs with the same one, one runs at a time.
    pub concurrency: Option<String>,
    /// The newest attempt; 0 before there is one.
    pub attempt: u32,
    /// How many there may be.
    pub tries: u32,
    /// Why it is tried again, as a name.
    pub again_kind: Option<String>,
    /// Why it is tried again, in words.
    pub again_message: Option<String>,
}

/// A job that is not over, as far as the queue is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRow {
    /// Its id.
    pub id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Its number within the pipeline.
    pub number: i64,
    /// Of the jobs with the same one, one runs at a time.
    pub concurrency: Option<String>,
    /// Older jobs of its group and pipeline give way to it also when they run.
    pub supersedes: bool,
    /// It waits for its turn.
    pub waits: bool,
    /// Somebody asked for its end.
    pub cancelled: bool,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this pipeline only.
    pub pipeline: Option<String>,
    /// With this status only.
    pub status: Option<JobStatus>,
    /// Older than this job only.
    pub before: Option<JobId>,
}

/// Writes a new job and gives it the pipeline's next number.
pub async fn insert(tx: &mut Tx, job: &NewJob) -> Result<i64, StoreError> {
    let number = next_number(tx, &job.pipeline).await?;
    let (id, source) = (job.id.as_str(), &job.source);
    let rerun_of = job.rerun_of.as_ref().map(JobId::as_str);
    sqlx::query!(
        "INSERT INTO jobs (id, pipeline, number, source_dir, source_ref, source_sha, source_dirty, trigger, actor,
                           params, spec, status, created_ms, rerun_of, concurrency, supersedes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?)",
        id,
        job.pipeline,
        number,
        source.dir,
        source.reference,
        source.sha,
        source.dirty,
        job.trigger,
        job.actor,
        job.params,
        job.spec,
        job.created_ms,
        rerun_of,
        job.concurrency,
        job.supersedes,
    )
    .execute(tx)
    .await?;
    Ok(number)
}

async fn next_number(tx: &mut Tx, pipeline: &str) -> Result<i64, StoreError> {
    let number = sqlx::query_scalar!(
        "INSERT INTO run_numbers (pipeline, last) VALUES (?, 1)
         ON CONFLICT (pipeline) DO UPDATE SET last = last + 1 RETURNING last",
        pipeline
    );
    Ok(number.fetch_one(tx).await?)
}

/// Moves an unfinished job to another unfinished status. A finished job stays as it is: then the answer is false.
pub async fn advance(tx: &mut Tx, id: &JobId, status: JobStatus, at_ms: i64) -> Result<bool, StoreError> {
    let (id, running) = (id.as_str(), status == JobStatus::Running);
    let status = status.as_str();
    let done = sqlx::query!(
        "UPDATE jobs SET status = ?, started_ms = CASE WHEN ? THEN COALESCE(started_ms, ?) ELSE started_ms END
         WHERE id = ? AND finished_ms IS NULL",
        status,
        running,
        at_ms,
        id,
    );
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// Ends a job. The first end stands: when there is one already the answer is false.
pub async fn finish(
    tx: &mut Tx,
    id: &JobId,
    status: JobStatus,
    reason: Option<&FailureReason>,
    at_ms: i64,
) -> Result<bool, StoreError> {
    let (id, status) = (id.as_str(), status.as_str());
    let (kind, message) = reason.map(|reason| (reason.kind.as_str(), reason.message.as_str())).unzip();
    let done = sqlx::query!(
        "UPDATE jobs SET status = ?, reason_kind = ?, reason_message = ?, finished_ms = ?
         WHERE id = ? AND finished_ms IS NULL",
        status,
        kind,
        message,
        at_ms,
        id,
    );
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// Takes a job whose attempt has ended back to where its next attempt begins. False when it is over, or somebody asked
/// for its end.
pub async fn again(tx: &mut Tx, id: &JobId) -> Result<bool, StoreError> {
    let id = id.as_str();
    let done = sqlx::query!(
        "UPDATE jobs SET status = 'scheduling' WHERE id = ? AND finished_ms IS NULL AND cancel_ms IS NULL",
        id
    );
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// Writes what was decided when a job's files were read: what it runs on, its parameters, its plan.
pub async fn prepared(tx: &mut Tx, id: &JobId, source: &Source, params: &str, spec: &str) -> Result<(), StoreError> {
    let id = id.as_str();
    sqlx::query!(
        "UPDATE jobs SET source_dir = ?, source_ref = ?, source_sha = ?, source_dirty = ?, source_title = ?,
                         params = ?, spec = ?
         WHERE id = ? AND finished_ms IS NULL",
        source.dir,
        source.reference,
        source.sha,
        source.dirty,
        source.title,
        params,
        spec,
        id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that somebody asked for a job's end; the first wish counts. False when there is no such job that goes on.
pub async fn request_cancel(tx: &mut Tx, id: &JobId, at_ms: i64) -> Result<bool, StoreError> {
    let id = id.as_str();
    let done = sqlx::query!(
        "UPDATE jobs SET cancel_ms = COALESCE(cancel_ms, ?) WHERE id = ? AND finished_ms IS NULL",
        at_ms,
        id
    );
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// Notes that a job gives way, and to what. False when it is over, or its end was asked for already.
pub async fn supersede(tx: &mut Tx, id: &JobId, message: &str, at_ms: i64) -> Result<bool, StoreError> {
    let id = id.as_str();
    let done = sqlx::query!(
        "UPDATE jobs SET cancel_ms = ?, cancel_message = ? WHERE id = ? AND finished_ms IS NULL AND cancel_ms IS NULL",
        at_ms,
        message,
        id
    );
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// The newest jobs that fit, newest first. Ids sort by time.
pub async fn page(db: &SqlitePool, filter: &Filter, limit: u32) -> Result<Vec<JobRow>, StoreError> {
    let ids = ids(db, filter, limit).await?;
    rows(db, ids).await
}

/// Sorts after every id: those have letters, digits and `-` only.
const AFTER_ALL: &str = "~";

/// One statement for each set of filters: with `? IS NULL OR …` no index would be used.
async fn ids(db: &SqlitePool, filter: &Filter, limit: u32) -> Result<Vec<String>, StoreError> {
    let (pipeline, status) = (filter.pipeline.as_deref(), filter.status.map(JobStatus::as_str));
    let before = filter.before.as_ref().map_or(AFTER_ALL, JobId::as_str);
    let ids = match (pipeline, status) {
        (None, None) => {
            let all = sqlx::query_scalar!("SELECT id FROM jobs WHERE id < ? ORDER BY id DESC LIMIT ?", before, limit);
            all.fetch_all(db).await?
        }
        (Some(pipeline), None) => {
            let of_pipeline = sqlx::query_scalar!(
                "SELECT id FROM jobs WHERE pipeline = ? AND id < ? ORDER BY id DESC LIMIT ?",
                pipeline,
                before,
                limit
            );
            of_pipeline.fetch_all(db).await?
        }
        (None, Some(status)) => {
            let with_status = sqlx::query_scalar!(
                "SELECT id FROM jobs WHERE status = ? AND id < ? ORDER BY id DESC LIMIT ?",
                status,
                before,
                limit
            );
            with_status.fetch_all(db).await?
        }
        (Some(pipeline), Some(status)) => {
            let both = sqlx::query_scalar!(
                "SELECT id FROM jobs WHERE pipeline = ? AND status = ? AND id < ? ORDER BY id DESC LIMIT ?",
                pipeline,
                status,
                before,
                limit
            );
            both.fetch_all(db).await?
        }
    };
    Ok(ids)
}

/// One job.
pub async fn get(db: impl SqliteExecutor<'_>, id: &JobId) -> Result<Option<JobRow>, StoreError> {
    Ok(rows(db, vec![id.to_string()]).await?.pop())
}

/// Those of these jobs that there are, newest first.
async fn rows(db: impl SqliteExecutor<'_>, ids: Vec<String>) -> Result<Vec<JobRow>, StoreError> {
    let ids = serde_json::Value::from(ids).to_string();
    let rows = sqlx::query_as!(
        JobRow,
        r#"SELECT id, pipeline, number, source_dir, source_ref, source_sha, source_dirty AS "source_dirty: bool",
                  source_title, trigger, actor, params, spec, status, reason_kind, reason_message,
                  created_ms, started_ms, finished_ms, rerun_of, cancel_ms, cancel_message, concurrency,
                  coalesce((SELECT max(number) FROM attempts WHERE job = jobs.id), 0) AS "attempt!: u32",
                  coalesce((SELECT tries FROM attempts WHERE job = jobs.id ORDER BY number DESC LIMIT 1), 1) AS "tries!: u32",
                  (SELECT reason_kind FROM attempts AS a WHERE a.job = jobs.id AND a.finished_ms IS NOT NULL
                   AND (jobs.finished_ms IS NULL OR a.number < (SELECT max(number) FROM attempts WHERE job = jobs.id))
                   ORDER BY a.number DESC LIMIT 1) AS again_kind,
                  (SELECT reason_message FROM attempts AS a WHERE a.job = jobs.id AND a.finished_ms IS NOT NULL
                   AND (jobs.finished_ms IS NULL OR a.number < (SELECT max(number) FROM attempts WHERE job = jobs.id))
                   ORDER BY a.number DESC LIMIT 1) AS again_message
           FROM jobs
           WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id DESC"#,
        ids
    );
    Ok(rows.fetch_all(db).await?)
}

/// The ids of the jobs that have not ended, oldest first: what a start has to take up again.
pub async fn unfinished(db: impl SqliteExecutor<'_>) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar!("SELECT id FROM jobs WHERE finished_ms IS NULL ORDER BY created_ms, id");
    Ok(ids.fetch_all(db).await?)
}

/// The jobs that have not ended, oldest first.
pub async fn open(db: impl SqliteExecutor<'_>) -> Result<Vec<OpenRow>, StoreError> {
    let rows = sqlx::query_as!(
        OpenRow,
        r#"SELECT id, pipeline, number, concurrency, supersedes AS "supersedes: bool", status = 'pending' AS "waits!: bool",
                  cancel_ms IS NOT NULL AS "cancelled!: bool"
           FROM jobs WHERE finished_ms IS NULL ORDER BY created_ms, id"#
    );
    Ok(rows.fetch_all(db).await?)
}
