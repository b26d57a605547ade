//! Stories about the data directory: faults of the machine, of people, and of timing.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use danube_core::egress::{EgressEvent, EgressVerdict};
use danube_core::id::{AttemptId, ContainerName, JobId, StepId};
use danube_core::job::{FailureKind, FailureReason, JobStatus};
use danube_core::runtime::Role;
use danube_core::step::StepKind;
use tempfile::TempDir;

use super::*;

mod faults;
mod keeping;
mod opening;
mod reporting;
mod visits;

fn job_id(n: usize) -> JobId {
    format!("job-{n}").parse().unwrap()
}

fn attempt(n: usize) -> AttemptId {
    AttemptId { job: job_id(n), number: 1 }
}

fn new_job(n: usize) -> jobs::NewJob {
    jobs::NewJob {
        id: job_id(n),
        pipeline: "site".into(),
        source: jobs::Source { dir: Some("/src".into()), dirty: true, ..jobs::Source::default() },
        trigger: "run".into(),
        actor: None,
        params: "{}".into(),
        spec: r#"{"images":["host"]}"#.into(),
        created_ms: n as i64,
        rerun_of: None,
        concurrency: None,
        supersedes: false,
    }
}

fn new_step(n: usize) -> steps::NewStep {
    steps::NewStep {
        kind: StepKind::Step,
        key: steps::StepKey { attempt: attempt(n), number: 1 },
        id: StepId::from_bytes([n as u8; 16]),
        spec_hash: vec![1, 2],
        name: "test".into(),
        group_path: r#"["outer"]"#.into(),
        container: ContainerName::worker(1),
        image: "host".into(),
        checked: true,
        r#try: 1,
        tries: 2,
        location: Some("danubefile.py:3".into()),
        started_ms: 5,
    }
}

async fn insert_job(store: &Store, n: usize) -> Result<i64, StoreError> {
    let job = new_job(n);
    store.write(|tx| Box::pin(async move { jobs::insert(tx, &job).await })).await
}

async fn insert_attempt(store: &Store, n: usize) {
    let attempt =
        attempts::NewAttempt { id: attempt(n), nonce: "abc".into(), budget_ms: 1000, started_ms: 2, tries: 1 };
    store.write(|tx| Box::pin(async move { attempts::insert(tx, &attempt).await })).await.unwrap();
}

#[tokio::test]
async fn a_job_is_kept_from_its_making_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!((insert_job(&store, 1).await.unwrap(), insert_job(&store, 2).await.unwrap()), (1, 2));
    insert_attempt(&store, 1).await;
    let reason = FailureReason { kind: FailureKind::Script, message: "step 1 failed".into() };
    let anchor = attempts::Anchor { boot: "b".into(), up_ms: 700, wall_ms: 11 };
    let anchored = anchor.clone();
    store
        .write(|tx| {
            Box::pin(async move {
                assert!(jobs::advance(tx, &job_id(1), JobStatus::Running, 10).await?);
                attempts::set_status(tx, &attempt(1), JobStatus::Running).await?;
                attempts::set_coordinator_step(tx, &attempt(1), &StepId::from_bytes([9; 16])).await?;
                attempts::set_anchor(tx, &attempt(1), &anchored).await?;
                containers::insert(tx, &attempt(1), &ContainerName::worker(1), Role::Worker, "host").await?;
                containers::insert(tx, &attempt(1), &ContainerName::worker(1), Role::Worker, "host").await?;
                assert!(jobs::finish(tx, &job_id(1), JobStatus::Failure, Some(&reason), 20).await?);
                assert!(!jobs::finish(tx, &job_id(1), JobStatus::Success, None, 21).await?, "the first end stands");
                assert!(!jobs::advance(tx, &job_id(1), JobStatus::Running, 22).await?);
                attempts::finish(tx, &attempt(1), JobStatus::Failure, Some(&reason), 20).await
            })
        })
        .await
        .unwrap();
    let job = jobs::get(store.read(), &job_id(1)).await.unwrap().unwrap();
    assert_eq!((job.status.as_str(), job.started_ms, job.finished_ms), ("failure", Some(10), Some(20)));
    assert_eq!((job.reason_kind.as_deref(), job.source_dirty, job.number), (Some("script"), true, 1));
    let attempt_row = attempts::latest(store.read(), &job_id(1)).await.unwrap().unwrap();
    assert_eq!((attempt_row.budget_ms, attempt_row.anchor_ms, attempt_row.finished_ms), (1000, 11, Some(20)));
    assert_eq!(attempts::anchor(store.read(), &attempt(1)).await.unwrap(), Some(anchor));
    assert_eq!(attempt_row.coordinator_step, Some("09".repeat(16)));
    assert_eq!(containers::list(store.read(), &attempt(1)).await.unwrap().len(), 1);
    assert_eq!(jobs::unfinished(store.read()).await.unwrap(), ["job-2"]);
}

#[tokio::test]
async fn a_job_is_tried_again_until_it_is_over_or_somebody_asked_for_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    insert_attempt(&store, 1).await;
    let because = async || {
        let job = jobs::get(store.read(), &job_id(1)).await.unwrap().unwrap();
        (job.attempt, job.tries, job.again_kind)
    };
    assert_eq!(because().await, (1, 1, None));
    let reason = FailureReason { kind: FailureKind::Infra, message: "lost".into() };
    let end = store.write(|tx| {
        Box::pin(async move {
            attempts::finish(tx, &attempt(1), JobStatus::Failure, Some(&reason), 5).await?;
            jobs::again(tx, &job_id(1)).await
        })
    });
    assert!(end.await.unwrap());
    assert_eq!(because().await, (1, 1, Some("infra".into())), "it is told between the attempts too");
    let next = AttemptId { number: 2, ..attempt(1) };
    let next = attempts::NewAttempt { id: next, nonce: "n".into(), budget_ms: 1, started_ms: 6, tries: 3 };
    store.write(|tx| Box::pin(async move { attempts::insert(tx, &next).await })).await.unwrap();
    assert_eq!(because().await, (2, 3, Some("infra".into())));
    let wish = store.write(|tx| {
        Box::pin(async move {
            assert!(jobs::supersede(tx, &job_id(1), "superseded by job #2", 7).await?);
            assert!(!jobs::supersede(tx, &job_id(1), "superseded by job #3", 8).await?, "the first wish stands");
            assert!(jobs::request_cancel(tx, &job_id(1), 9).await?);
            jobs::again(tx, &job_id(1)).await
        })
    });
    assert!(!wish.await.unwrap(), "whose end was asked for is not tried again");
    let job = jobs::get(store.read(), &job_id(1)).await.unwrap().unwrap();
    assert_eq!((job.cancel_ms, job.cancel_message.as_deref()), (Some(7), Some("superseded by job #2")));
    let end = store.write(|tx| {
        Box::pin(async move {
            jobs::finish(tx, &job_id(1), JobStatus::Cancelled, None, 10).await?;
            assert!(!jobs::supersede(tx, &job_id(1), "x", 11).await?);
            jobs::again(tx, &job_id(1)).await
        })
    });
    assert!(!end.await.unwrap());
}

#[tokio::test]
async fn a_page_of_jobs_has_the_newest_that_fit_with_their_newest_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for n in 1..=8 {
        let pipeline = if n % 2 == 0 { "site" } else { "docs" };
        let job = jobs::NewJob { pipeline: pipeline.into(), ..new_job(n) };
        store.write(|tx| Box::pin(async move { jobs::insert(tx, &job).await })).await.unwrap();
    }
    insert_attempt(&store, 6).await;
    let run = store.write(|tx| Box::pin(async move { jobs::advance(tx, &job_id(6), JobStatus::Running, 1).await }));
    assert!(run.await.unwrap());
    let page = async |pipeline: Option<&str>, status: Option<JobStatus>, before: Option<usize>| -> Vec<String> {
        let (pipeline, before) = (pipeline.map(str::to_owned), before.map(job_id));
        let rows = jobs::page(store.read(), &jobs::Filter { pipeline, status, before }, 3).await.unwrap();
        rows.into_iter().map(|row| format!("{} {}", row.id, row.attempt)).collect()
    };
    assert_eq!(page(None, None, None).await, ["job-8 0", "job-7 0", "job-6 1"]);
    assert_eq!(page(None, None, Some(3)).await, ["job-2 0", "job-1 0"]);
    assert_eq!(page(Some("docs"), None, Some(7)).await, ["job-5 0", "job-3 0", "job-1 0"]);
    assert_eq!(page(None, Some(JobStatus::Running), None).await, ["job-6 1"]);
    assert_eq!(page(Some("site"), Some(JobStatus::Pending), None).await, ["job-8 0", "job-4 0", "job-2 0"]);
    assert_eq!(page(Some("moon"), None, None).await, [""; 0]);
}

/// However many jobs there are, a page reads its own.
#[tokio::test]
async fn a_page_of_jobs_visits_no_other_job() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for (wanted, index) in [
        ("", "sqlite_autoindex_jobs_1"),
        ("pipeline = 'p' AND", "jobs_by_pipeline"),
        ("status = 's' AND", "jobs_by_status"),
        ("pipeline = 'p' AND status = 's' AND", "jobs_by_pipeline_and_status"),
    ] {
        let query = format!("EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE {wanted} id < '~' ORDER BY id DESC LIMIT 9");
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(store.read()).await.unwrap();
        let plan: Vec<_> = plan.into_iter().map(|row| row.3).collect();
        assert!(plan.len() == 1 && plan[0].contains(&format!("COVERING INDEX {index} (")), "{wanted}: {plan:?}");
    }
}

#[tokio::test]
async fn a_service_is_ready_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    insert_attempt(&store, 1).await;
    let service = steps::NewStep { kind: StepKind::Service, ..new_step(1) };
    store.write(move |tx| Box::pin(async move { steps::insert(tx, &service).await })).await.unwrap();
    let row = || async { steps::list(store.read(), &attempt(1)).await.unwrap().remove(0) };
    assert_eq!((row().await.kind(), row().await.ready_ms), (StepKind::Service, None));
    for at_ms in [7, 9] {
        let key = steps::StepKey { attempt: attempt(1), number: 1 };
        store.write(move |tx| Box::pin(async move { steps::set_ready(tx, &key, at_ms).await })).await.unwrap();
    }
    assert_eq!(row().await.ready_ms, Some(7), "the first time stands");
}

#[tokio::test]
async fn a_step_ends_once_and_with_its_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    insert_attempt(&store, 1).await;
    let (key, log) =
        (new_step(1).key, |consumed| steps::LogCommit { consumed, raw_len: 9, idx_len: 32, hash_state: vec![7] });
    let end = steps::StepEnd {
        status: "success",
        cause: "exited".into(),
        exit_code: Some(0),
        signal: None,
        message: None,
        finished_ms: 8,
        duration_ms: 3,
        bytes: 10,
        sha256: vec![0; 32],
    };
    let written = key.clone();
    store
        .write(move |tx| {
            Box::pin(async move {
                steps::insert(tx, &new_step(1)).await?;
                steps::commit_log(tx, &written, &log(6)).await?;
                steps::commit_log(tx, &written, &log(4)).await?;
                assert_eq!(steps::log_commit(&mut *tx, &written).await?, Some(log(6)), "a commit never goes back");
                assert!(steps::end(tx, &written, &end, Some(&log(10))).await?);
                assert!(!steps::end(tx, &written, &end, None).await?);
                Ok(())
            })
        })
        .await
        .unwrap();
    assert_eq!(steps::log_commit(store.read(), &key).await.unwrap(), Some(log(10)));
    let row = steps::list(store.read(), &attempt(1)).await.unwrap().remove(0);
    assert_eq!((row.status.as_str(), row.exit_code, row.tries, row.checked), ("success", Some(0), 2, true));
    assert_eq!((row.bytes, row.duration_ms, row.step_id), (Some(10), Some(3), "01".repeat(16)));
}

#[tokio::test]
async fn egress_told_again_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    insert_attempt(&store, 1).await;
    for seq in [0, 1, 0, 1, 2] {
        let event =
            EgressEvent { at_ms: 4, name: "pip.example".into(), port: Some(443), verdict: EgressVerdict::Allowed };
        store
            .write(move |tx| Box::pin(async move { egress::append(tx, &attempt(1), seq, &event).await }))
            .await
            .unwrap();
    }
    let rows = egress::list(store.read(), &attempt(1)).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.seq, row.port)).collect::<Vec<_>>(),
        [(0, Some(443)), (1, Some(443)), (2, Some(443))]
    );
    assert_eq!(rows[0].verdict, "allowed");
}

#[tokio::test]
async fn work_that_fails_is_undone_and_the_rest_stands() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let fails = store.write(|tx| {
        Box::pin(async move {
            jobs::insert(tx, &new_job(1)).await?;
            jobs::insert(tx, &new_job(1)).await
        })
    });
    let (failed, stands) = tokio::join!(fails, insert_job(&store, 2));
    assert!(matches!(failed.unwrap_err(), StoreError::Query(_)));
    assert_eq!(stands.unwrap(), 1, "the number that was undone is free again");
    assert!(jobs::get(store.read(), &job_id(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_status_nobody_knows_cannot_be_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    for statement in [
        "UPDATE jobs SET status = 'done'",
        "UPDATE jobs SET status = 'success'", // without an end
        "UPDATE jobs SET params = 'no json'",
        "INSERT INTO attempts (job, number, nonce, status, budget_ms, anchor_ms, started_ms)
         VALUES ('no-such-job', 1, '', 'running', 0, 0, 0)",
    ] {
        let refused = store.write(move |tx| {
            Box::pin(async move {
                sqlx::query(statement).execute(tx).await?;
                Ok(())
            })
        });
        assert!(refused.await.is_err(), "{statement}");
    }
    let readers = sqlx::query("DELETE FROM jobs").execute(store.read()).await.unwrap_err();
    assert!(readers.to_string().contains("readonly"), "{readers}");
}

#[tokio::test]
async fn fifty_writers_at_once_all_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        writers.spawn(async move {
            for at in 0..20 {
                let seen = jobs::unfinished(store.read()).await.unwrap().len();
                assert!(insert_job(&store, n * 20 + at).await.unwrap() > seen as i64, "numbers only grow");
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(jobs::unfinished(store.read()).await.unwrap().len(), 1000);
}
