//! However many jobs there are, a list reads its own: the steps of SQLite's machine are counted, of which each row that
//! is looked at takes some.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::*;
use crate::runs::{self, Wanted};

/// Entries of a page.
const PAGE: u32 = 20;
/// Steps of each of the newest jobs, of which the last failed.
const STEPS: usize = 30;
/// Pipelines, of which one has two thirds of all jobs.
const PIPELINES: usize = 5;

/// A database with so many jobs. What is rare is with the oldest: one branch, one person, one trigger, one commit.
async fn with_jobs(count: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let fill = format!(
        "WITH RECURSIVE n (x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < {count} - 1)
         INSERT INTO jobs (id, pipeline, number, source_ref, source_sha, source_dirty, trigger, actor, params, spec, status,
                           reason_kind, reason_message, created_ms, started_ms, finished_ms)
         SELECT printf('job-%06d', x), 'p' || iif(x % 3, 0, x % {PIPELINES}), x + 1,
                iif(x = 0, 'once', iif(x % 2, 'red', 'main')), iif(x = 0, 'abcd', printf('%04x', x % 251)) || '0123', 0,
                iif(x = 0, 'cron', 'manual'), iif(x = 0, 'once', 'ann'), '{{}}', '{{}}',
                iif(x % 2, 'failure', 'success'), iif(x % 2, 'script', NULL), iif(x % 2, 'm', NULL), x, x, x FROM n;
         INSERT INTO attempts (job, number, nonce, status, budget_ms, anchor_ms, started_ms)
         SELECT id, 1, 'n', status, 1, 1, 1 FROM jobs;
         WITH RECURSIVE s (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM s WHERE x < {STEPS})
         INSERT INTO steps (job, attempt, number, step_id, spec_hash, name, group_path, container, image, checked, try, tries,
                            started_ms, finished_ms, cause, exit_code, status)
         SELECT j.id, 1, s.x, j.id || s.x, x'00', 'a step', '[]', 'worker', 'host', 1, 1, 1, 1, 2, 'exited', s.x = {STEPS},
                iif(s.x = {STEPS}, 'failure', 'success')
         FROM (SELECT id FROM jobs ORDER BY id DESC LIMIT 60) j, s;
         INSERT INTO pipelines (name, dir, entry_point, registered_ms) SELECT DISTINCT pipeline, '/', 'f', 1 FROM jobs;"
    );
    let filled = store.write(|tx| {
        Box::pin(async move {
            sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(tx).await?;
            Ok(())
        })
    });
    filled.await.unwrap();
    store.close().await;
    dir
}

/// A connection that counts: SQLite asks at each of its steps whether it is to go on.
async fn counted(dir: &Path) -> (SqlitePool, Arc<AtomicU64>) {
    let steps = Arc::new(AtomicU64::new(0));
    let count = steps.clone();
    let options = SqlitePoolOptions::new().max_connections(1).after_connect(move |connection, _| {
        let count = count.clone();
        Box::pin(async move {
            let mut handle = connection.lock_handle().await?;
            handle.set_progress_handler(1, move || {
                count.fetch_add(1, Ordering::Relaxed);
                true
            });
            Ok(())
        })
    });
    let pool = options.connect_with(SqliteConnectOptions::new().filename(dir.join(DATABASE)).read_only(true)).await;
    (pool.unwrap(), steps)
}

/// How many rows each list gives, and in how many steps.
async fn visits(count: usize) -> Vec<(String, usize, u64)> {
    let dir = with_jobs(count).await;
    let (db, steps) = counted(dir.path()).await;
    let db = &db;
    let mut seen = Vec::new();
    let mut note = |name: &str, rows: usize| seen.push((name.to_owned(), rows, steps.swap(0, Ordering::Relaxed)));
    for (name, pipeline, status, before) in [
        ("jobs", None, None, None),
        ("jobs before", None, None, Some("job-000100")),
        ("jobs of a pipeline", Some("p0"), None, None),
        ("jobs of no pipeline", Some("none"), None, None),
        ("jobs with a status", None, Some(JobStatus::Failure), None),
        ("jobs with a status nobody has", None, Some(JobStatus::Timeout), None),
        ("jobs of a pipeline with a status", Some("p0"), Some(JobStatus::Timeout), None),
    ] {
        let before = before.map(|id: &str| id.parse().unwrap());
        let filter = jobs::Filter { pipeline: pipeline.map(str::to_owned), status, before };
        note(name, jobs::page(db, &filter, PAGE).await.unwrap().len());
    }
    for (name, wanted) in [
        ("runs", Wanted::default()),
        ("runs of a branch", Wanted { branch: Some("red"), ..Wanted::default() }),
        ("runs of a branch seen once", Wanted { branch: Some("once"), ..Wanted::default() }),
        ("runs of a trigger seen once", Wanted { trigger: Some("cron"), ..Wanted::default() }),
        ("runs of a person seen once", Wanted { actor: Some("once"), ..Wanted::default() }),
        ("a common branch, a rare person", Wanted { branch: Some("main"), actor: Some("once"), ..Wanted::default() }),
        (
            "a common branch, a rare trigger",
            Wanted { branch: Some("main"), trigger: Some("cron"), ..Wanted::default() },
        ),
        ("a common person, a rare trigger", Wanted { actor: Some("ann"), trigger: Some("cron"), ..Wanted::default() }),
        (
            "three that never meet",
            Wanted { branch: Some("main"), actor: Some("ann"), trigger: Some("cron"), before: None },
        ),
    ] {
        note(name, runs::of_pipeline(db, "p0", &wanted, PAGE).await.unwrap().len());
    }
    note("runs of every pipeline", runs::of_every_pipeline(db, PAGE / PIPELINES as u32).await.unwrap().len());
    note("a pipeline's health", runs::recent(db, "p0", PAGE).await.unwrap().len());
    note("how a pipeline's list stands", runs::standing(db, Some("p0")).await.unwrap().len().min(1));
    note("how all that goes on stands", runs::standing(db, None).await.unwrap().len().min(1));
    note("runs that go on", runs::open(db).await.unwrap().len());
    note("a job's place", jobs::open(db).await.unwrap().len());
    note("a run by its number", runs::id(db, "p0", 1).await.unwrap().into_iter().count());
    let last = format!("job-{:06}", count - 1);
    note("green ones of a branch", runs::green_before(db, "p0", Some("main"), &last, PAGE).await.unwrap().len());
    note("green ones of a red branch", runs::green_before(db, "p0", Some("red"), &last, PAGE).await.unwrap().len());
    note("green ones of no branch", runs::green_before(db, "p0", None, &last, PAGE).await.unwrap().len());
    let newest = runs::up_to(db, "p0", &last, PAGE).await.unwrap();
    note("the newest up to one", newest.len());
    note("branches", runs::branches(db, "p0", PAGE).await.unwrap().len());
    note("runs with a number", runs::by_number(db, 1, PAGE).await.unwrap().len());
    note("runs of a commit", runs::by_commit(db, "abcd", PAGE).await.unwrap().len());
    note("runs of a commit of many", runs::by_commit(db, "0001", PAGE).await.unwrap().len());
    note("runs of no commit", runs::by_commit(db, "ffff", PAGE).await.unwrap().len());
    note("why they failed", runs::failed_steps(db, &newest).await.unwrap().len());
    note("how long they took", runs::step_times(db, &newest).await.unwrap().len());
    note("tests of theirs", runs::often_failed(db, &newest, PAGE).await.unwrap().len());
    seen
}

#[tokio::test]
async fn no_list_does_more_when_there_are_more_jobs() {
    let (few, many) = (visits(6_000).await, visits(40_000).await);
    for ((name, rows, steps), (_, _, before)) in many.into_iter().zip(few) {
        eprintln!("{name}: {rows} rows, {steps} steps, {before} when there were few");
        assert!(steps <= before + 100, "{name}: {steps} steps for {rows} rows, {before} when there were few");
    }
}
