//! Jobs as lists show them: no plans, no parameters, and never a statement per row.

use serde::Deserialize;
use sqlx::{QueryBuilder, Sqlite, SqliteExecutor, SqlitePool};

use crate::{StoreError, jobs};

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Its number within the pipeline, from 1.
    pub number: i64,
    /// The branch, tag or commit.
    pub source_ref: Option<String>,
    /// The commit.
    pub source_sha: Option<String>,
    /// The first line of the commit's message.
    pub source_title: Option<String>,
    /// The folder held changes that are in no commit.
    pub source_dirty: bool,
    /// What made it start.
    pub trigger: String,
    /// Who made it start.
    pub actor: Option<String>,
    /// A job status.
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
}

/// Which runs of a pipeline to list.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Of this branch only.
    pub branch: Option<&'a str>,
    /// Started by this only.
    pub trigger: Option<&'a str>,
    /// Started by this person only.
    pub actor: Option<&'a str>,
    /// Older than this job only.
    pub before: Option<&'a str>,
}

/// Sorts after every id.
const AFTER_ALL: &str = "~";

/// A run as a bar shows it: what an index has of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BriefRow {
    /// Its id.
    pub id: String,
    /// Its number within the pipeline, from 1.
    pub number: i64,
    /// The branch, tag or commit.
    pub source_ref: Option<String>,
    /// A job status.
    pub status: String,
    /// Why it did not succeed, as a name.
    pub reason_kind: Option<String>,
    /// When it was made.
    pub created_ms: i64,
    /// When it was first running.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub finished_ms: Option<i64>,
}

impl From<RunRow> for BriefRow {
    fn from(run: RunRow) -> Self {
        let RunRow { id, number, source_ref, status, reason_kind, created_ms, started_ms, finished_ms, .. } = run;
        Self { id, number, source_ref, status, reason_kind, created_ms, started_ms, finished_ms }
    }
}

/// A pipeline's newest runs, newest first, from an index alone.
pub async fn recent(db: impl SqliteExecutor<'_>, pipeline: &str, limit: u32) -> Result<Vec<BriefRow>, StoreError> {
    let rows = sqlx::query_as!(
        BriefRow,
        "SELECT id, number, source_ref, status, reason_kind, created_ms, started_ms, finished_ms
         FROM jobs WHERE pipeline = ? ORDER BY id DESC LIMIT ?",
        pipeline,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

/// Every pipeline, by name, with its newest runs, newest first. One row each: a thousand bars are not a thousand rows.
pub async fn of_every_pipeline(
    db: impl SqliteExecutor<'_>,
    each: u32,
) -> Result<Vec<(String, Vec<BriefRow>)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT p.name, (
             SELECT json_group_array(json_array(id, number, source_ref, status, reason_kind, created_ms, started_ms, finished_ms))
             FROM (SELECT id, number, source_ref, status, reason_kind, created_ms, started_ms, finished_ms
                   FROM jobs WHERE pipeline = p.name ORDER BY id DESC LIMIT ?)) AS "runs!: String"
           FROM pipelines p ORDER BY p.name"#,
        each
    );
    let rows = rows.fetch_all(db).await?;
    rows.into_iter().map(|row| Ok((row.name, briefs(&row.runs)?))).collect()
}

fn briefs(json: &str) -> Result<Vec<BriefRow>, StoreError> {
    let mut runs: Vec<BriefRow> = serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))?;
    // SQLite promises no order within an array.
    runs.sort_unstable_by(|a, b| b.id.cmp(&a.id));
    Ok(runs)
}

/// A pipeline's runs that fit, newest first.
pub async fn of_pipeline(
    db: &SqlitePool,
    pipeline: &str,
    wanted: &Wanted<'_>,
    limit: u32,
) -> Result<Vec<RunRow>, StoreError> {
    let ids = ids_of_pipeline(db, pipeline, wanted, limit).await?;
    by_ids(db, ids).await
}

/// Each set of filters is a statement of its own, which has an index of its own.
async fn ids_of_pipeline(
    db: &SqlitePool,
    pipeline: &str,
    wanted: &Wanted<'_>,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT id FROM jobs WHERE pipeline = ");
    query.push_bind(pipeline);
    for (column, value) in [("source_ref", wanted.branch), ("actor", wanted.actor), ("trigger", wanted.trigger)] {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value);
        }
    }
    query.push(" AND id < ").push_bind(wanted.before.unwrap_or(AFTER_ALL));
    query.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    Ok(query.build_query_scalar().fetch_all(db).await?)
}

/// How the list of all runs that go on stands, or that of one pipeline's newest: a text that is another one when a run
/// came, went on or ended.
pub async fn standing(db: &SqlitePool, pipeline: Option<&str>) -> Result<String, StoreError> {
    let text = match pipeline {
        Some(name) => {
            let newest = sqlx::query_scalar!(
                r#"SELECT coalesce(group_concat(id || status), '') AS "text!: String"
                   FROM (SELECT id, status FROM jobs WHERE pipeline = ? ORDER BY id DESC LIMIT 50)"#,
                name
            );
            newest.fetch_one(db).await?
        }
        None => {
            let open = sqlx::query_scalar!(
                r#"SELECT coalesce(group_concat(id || status || (cancel_ms IS NULL)), '') || (SELECT count(*) FROM pipelines)
                          || coalesce((SELECT max(id) FROM jobs), '') AS "text!: String"
                   FROM jobs WHERE finished_ms IS NULL"#
            );
            open.fetch_one(db).await?
        }
    };
    Ok(text)
}

/// Those of these jobs that there are, newest first.
pub async fn by_ids(db: impl SqliteExecutor<'_>, ids: Vec<String>) -> Result<Vec<RunRow>, StoreError> {
    let ids = serde_json::Value::from(ids).to_string();
    let rows = sqlx::query_as!(
        RunRow,
        r#"SELECT id, pipeline, number, source_ref, source_sha, source_title, source_dirty AS "source_dirty: bool",
                  trigger, actor, status, reason_kind, reason_message, created_ms, started_ms, finished_ms
           FROM jobs WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id DESC"#,
        ids
    );
    Ok(rows.fetch_all(db).await?)
}

/// The runs that have not ended, newest first.
pub async fn open(db: &SqlitePool) -> Result<Vec<RunRow>, StoreError> {
    by_ids(db, jobs::unfinished(db).await?).await
}

/// How many runs have not ended.
pub async fn count_open(db: impl SqliteExecutor<'_>) -> Result<u32, StoreError> {
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!: u32" FROM jobs WHERE finished_ms IS NULL"#);
    Ok(count.fetch_one(db).await?)
}

/// The id of a pipeline's run with this number.
pub async fn id(db: impl SqliteExecutor<'_>, pipeline: &str, number: i64) -> Result<Option<String>, StoreError> {
    let id = sqlx::query_scalar!("SELECT id FROM jobs WHERE pipeline = ? AND number = ?", pipeline, number);
    Ok(id.fetch_optional(db).await?)
}

/// A branch's last runs that ended well and are older than a job, newest first.
pub async fn green_before(
    db: impl SqliteExecutor<'_>,
    pipeline: &str,
    branch: Option<&str>,
    before: &str,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM jobs WHERE pipeline = ? AND source_ref IS ? AND id < ? AND status = 'success'
         ORDER BY id DESC LIMIT ?",
        pipeline,
        branch,
        before,
        limit
    );
    Ok(ids.fetch_all(db).await?)
}

/// A pipeline's newest jobs, newest first, at most `limit`, up to and with `last`.
pub async fn up_to(
    db: impl SqliteExecutor<'_>,
    pipeline: &str,
    last: &str,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM jobs WHERE pipeline = ? AND id <= ? ORDER BY id DESC LIMIT ?",
        pipeline,
        last,
        limit
    );
    Ok(ids.fetch_all(db).await?)
}

/// Branches that a pipeline ran lately: those of its newest `among` runs, by name.
pub async fn branches(db: impl SqliteExecutor<'_>, pipeline: &str, among: u32) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar!(
        r#"SELECT DISTINCT source_ref AS "name!" FROM
           (SELECT source_ref FROM jobs WHERE pipeline = ? ORDER BY id DESC LIMIT ?)
           WHERE source_ref IS NOT NULL ORDER BY 1"#,
        pipeline,
        among
    );
    Ok(names.fetch_all(db).await?)
}

/// Jobs whose commit begins with this text, newest first: of the first `limit` such commits the newest jobs of each.
pub async fn by_commit(db: impl SqliteExecutor<'_>, beginning: &str, limit: u32) -> Result<Vec<String>, StoreError> {
    let end = format!("{beginning}~");
    // From one commit to the next by the index: a commit may have any number of jobs.
    let ids = sqlx::query_scalar!(
        r#"WITH RECURSIVE commits (sha) AS (
             SELECT min(source_sha) FROM jobs WHERE source_sha >= ?1 AND source_sha < ?2
             UNION ALL
             SELECT (SELECT min(source_sha) FROM jobs WHERE source_sha > sha AND source_sha < ?2)
             FROM commits WHERE sha IS NOT NULL LIMIT ?3)
           SELECT j.id AS "id!" FROM commits CROSS JOIN jobs j
             ON j.id IN (SELECT id FROM jobs WHERE source_sha = commits.sha ORDER BY id DESC LIMIT ?3)
           ORDER BY j.id DESC LIMIT ?3"#,
        beginning,
        end,
        limit
    );
    Ok(ids.fetch_all(db).await?)
}

/// The newest jobs with this number, of whatever pipeline.
pub async fn by_number(db: impl SqliteExecutor<'_>, number: i64, limit: u32) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT j.id FROM pipelines p CROSS JOIN jobs j ON j.pipeline = p.name AND j.number = ? ORDER BY j.id DESC LIMIT ?",
        number,
        limit
    );
    Ok(ids.fetch_all(db).await?)
}

/// How long the steps of these jobs' newest attempts took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// The step's name.
    pub name: String,
    /// On the monotonic clock.
    pub duration_ms: i64,
}

/// How long the steps of these jobs took, in no order.
pub async fn step_times(db: impl SqliteExecutor<'_>, jobs: &[String]) -> Result<Vec<StepTime>, StoreError> {
    let jobs = serde_json::Value::from(jobs.to_vec()).to_string();
    let rows = sqlx::query_as!(
        StepTime,
        r#"SELECT name, duration_ms AS "duration_ms!" FROM steps
           WHERE job IN (SELECT value FROM json_each(?)) AND duration_ms IS NOT NULL"#,
        jobs
    );
    Ok(rows.fetch_all(db).await?)
}

/// The step for which a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedStep {
    /// The job.
    pub job: String,
    /// In order of start.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// The word for the cause of its end.
    pub cause: Option<String>,
    /// The exit code, when the process ran.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// The first step of each of these jobs, in its newest attempt, that failed for good and was not let pass.
pub async fn failed_steps(db: impl SqliteExecutor<'_>, jobs: &[String]) -> Result<Vec<FailedStep>, StoreError> {
    let jobs = serde_json::Value::from(jobs.to_vec()).to_string();
    let rows = sqlx::query_as!(
        FailedStep,
        r#"SELECT s.job AS "job!", s.number AS "number!: u32", s.name AS "name!", s.cause, s.exit_code AS "exit_code: i32",
                  s.signal AS "signal: i32"
           FROM json_each(?) j CROSS JOIN steps s
             ON s.job = j.value AND s.attempt = (SELECT max(number) FROM attempts WHERE job = j.value)
            AND s.number = (SELECT min(f.number) FROM steps f
                            WHERE f.job = j.value AND f.attempt = (SELECT max(number) FROM attempts WHERE job = j.value)
                              AND f.number > 0 AND f.checked AND f.status NOT IN ('success', 'running')
                              AND (f.try = f.tries OR f.status = 'infra'))"#,
        jobs
    );
    Ok(rows.fetch_all(db).await?)
}

/// What became of one test in one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The job.
    pub job: String,
    /// The test's class.
    pub class: String,
    /// The test's name.
    pub name: String,
    /// `passed`, `failed`, `error`, `skipped` or `flaky`.
    pub status: String,
}

/// What became of the tests with these names in these jobs.
pub async fn fates(db: impl SqliteExecutor<'_>, jobs: &[String], names: &[String]) -> Result<Vec<Fate>, StoreError> {
    let (jobs, names) = (serde_json::Value::from(jobs.to_vec()), serde_json::Value::from(names.to_vec()));
    let (jobs, names) = (jobs.to_string(), names.to_string());
    let rows = sqlx::query_as!(
        Fate,
        r#"SELECT c.job, c.class, c.name, c.status
           FROM json_each(?) j CROSS JOIN json_each(?) n
           JOIN attempts a ON a.job = j.value
           JOIN test_cases c ON c.job = a.job AND c.attempt = a.number AND c.name = n.value
           ORDER BY c.job DESC, c.attempt"#,
        jobs,
        names
    );
    Ok(rows.fetch_all(db).await?)
}

/// A test that failed in some of the jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OftenFailed {
    /// The test's class.
    pub class: String,
    /// The test's name.
    pub name: String,
    /// In how many jobs.
    pub failed: i64,
    /// In which last.
    pub last_job: String,
}

/// The tests that failed in these jobs, the most frequent first.
pub async fn often_failed(
    db: impl SqliteExecutor<'_>,
    jobs: &[String],
    limit: u32,
) -> Result<Vec<OftenFailed>, StoreError> {
    let jobs = serde_json::Value::from(jobs.to_vec()).to_string();
    let rows = sqlx::query_as!(
        OftenFailed,
        r#"SELECT c.class, c.name, count(DISTINCT c.job) AS "failed!: i64", max(c.job) AS "last_job!: String"
           FROM json_each(?) j JOIN attempts a ON a.job = j.value
           JOIN test_cases c ON c.job = a.job AND c.attempt = a.number AND c.rank = 0
           GROUP BY c.class, c.name ORDER BY 3 DESC, c.class, c.name LIMIT ?"#,
        jobs,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}
