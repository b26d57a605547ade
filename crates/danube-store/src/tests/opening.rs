//! What is found in a data directory, and what is said of it.

use super::*;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A data directory that was used and closed.
async fn used() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    for n in 0..300 {
        insert_job(&store, n).await.unwrap();
    }
    store.close().await;
    dir
}

async fn refusal(dir: &Path) -> String {
    Store::open(dir).await.unwrap_err().to_string()
}

fn with_step(version: i64, sql: &'static str) -> Migrator {
    let step = Migration::new(version, "test".into(), MigrationType::Simple, sql.into_sql_str(), false);
    Migrator::with_migrations(open::MIGRATIONS.iter().cloned().chain([step]).collect())
}

#[tokio::test]
async fn each_opening_has_a_higher_epoch() {
    let dir = used().await;
    for epoch in 2..5 {
        let store = Store::open(dir.path()).await.unwrap();
        assert_eq!(store.epoch(), epoch);
        store.close().await;
        assert!(matches!(insert_job(&store, 1).await.unwrap_err(), StoreError::Closed));
    }
}

#[tokio::test]
async fn a_second_master_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let said = refusal(dir.path()).await;
    assert!(said.contains(&format!("in use by the process {}", std::process::id())), "{said}");
    store.close().await;
    assert_eq!(Store::open(dir.path()).await.unwrap().epoch(), 2, "being refused changed nothing");
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(4096 * 3 + 100),
        |bytes| bytes[0] = b'X',
        |bytes| bytes[4096 * 2..4096 * 3].fill(0xa5),
        |bytes| *bytes = b"[not a database]".repeat(4096),
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let dir = used().await;
        let path = dir.path().join(DATABASE);
        let mut bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() > 4096 * 4);
        damage(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let said = refusal(dir.path()).await;
        assert!(said.contains("danube.db is damaged") && said.contains("backup"), "{n}: {said}");
        assert!(std::fs::read(&path).unwrap() == bytes, "{n}: evidence is left as it is");
    }
}

/// A start that has no time to look at all of the database before it begins.
async fn hasty(dir: &Path) -> Store {
    open::open_within(dir, Durability::PowerCut, &open::MIGRATIONS, std::time::Duration::ZERO).await.unwrap()
}

/// Until everything is in the database's own file: whoever looked beside the work may have kept its log open.
async fn at_rest(dir: &Path) {
    let log = dir.join(format!("{DATABASE}-wal"));
    while log.metadata().is_ok_and(|log| log.len() > 0) {
        Store::open(dir).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_large_database_is_looked_at_beside_the_work() {
    let dir = used().await;
    let path = dir.path().join(DATABASE);
    let store = hasty(dir.path()).await;
    insert_job(&store, 300).await.unwrap();
    store.close().await;
    let store = hasty(dir.path()).await;
    assert_eq!(jobs::unfinished(store.read()).await.unwrap().len(), 301, "nothing was wrong with it");
    assert!(store.broken_now().is_none());
    store.close().await;
    at_rest(dir.path()).await;

    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let store = hasty(dir.path()).await;
    let said = store.broken().await.to_string();
    assert!(said.contains("danube.db is damaged") && said.contains("backup"), "{said}");
    assert!(insert_job(&store, 301).await.unwrap_err().is_broken(), "nothing more is written");
    store.close().await;
    let again = open::open_within(dir.path(), Durability::PowerCut, &open::MIGRATIONS, std::time::Duration::ZERO).await;
    let said = again.unwrap_err().to_string();
    assert!(said.contains("danube.db is damaged") && said.contains("backup"), "all of it comes first now: {said}");
}

#[tokio::test]
async fn a_missing_database_is_not_made_anew_where_there_was_one() {
    let dir = used().await;
    std::fs::create_dir(dir.path().join(LOGS)).unwrap();
    std::fs::remove_file(dir.path().join(DATABASE)).unwrap();
    let said = refusal(dir.path()).await;
    assert!(said.contains("danube.db is missing although") && said.contains("backup"), "{said}");
    assert!(!dir.path().join(DATABASE).exists());
}

#[tokio::test]
async fn a_write_ahead_log_cut_short_loses_only_what_was_cut() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).await.unwrap();
    for n in 0..20 {
        insert_job(&store, n).await.unwrap();
    }
    // As a crash would leave it: the store is still open.
    for file in [DATABASE, "danube.db-wal"] {
        std::fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    let wal = std::fs::OpenOptions::new().write(true).open(copy.path().join("danube.db-wal")).unwrap();
    wal.set_len(wal.metadata().unwrap().len() - 1).unwrap();
    let cut = Store::open(copy.path()).await.unwrap();
    assert_eq!(jobs::unfinished(cut.read()).await.unwrap().len(), 19);
}

#[tokio::test]
async fn a_database_of_a_newer_danube_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let newer = with_step(9_999, "CREATE TABLE future (x INTEGER) STRICT");
    open::open(dir.path(), Durability::PowerCut, &newer).await.unwrap().close().await;
    let said = refusal(dir.path()).await;
    assert!(said.contains("has the schema 9999, this Danube knows none above"), "{said}");
}

#[tokio::test]
async fn a_schema_is_looked_at_and_brought_up_while_no_master_runs() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(schema::look(dir.path()).await.unwrap(), None, "there is no database yet");
    let known = open::known(&open::MIGRATIONS);
    let path = dir.path().join(DATABASE);
    std::fs::write(&path, "").unwrap();
    let mut connection = open::connect(&path, Durability::PowerCut).await.unwrap();
    open::MIGRATIONS.run_to(3, &mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let old = schema::Schema { found: 3, known };
    for _ in 0..2 {
        assert_eq!(schema::look(dir.path()).await.unwrap(), Some(old), "looking changes nothing");
    }
    assert_eq!(schema::migrate(dir.path()).await.unwrap(), Some(old));
    let current = schema::look(dir.path()).await.unwrap().unwrap();
    assert!(current.is_current(), "{current:?}");
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.epoch(), 1, "none of that was a start");
    assert!(matches!(schema::look(dir.path()).await.unwrap_err(), StoreError::Locked { .. }));
    store.close().await;
    let newer = with_step(9_999, "CREATE TABLE future (x INTEGER) STRICT");
    open::open(dir.path(), Durability::PowerCut, &newer).await.unwrap().close().await;
    assert!(matches!(schema::migrate(dir.path()).await.unwrap_err(), StoreError::Newer { found: 9_999, .. }));
}

#[tokio::test]
async fn a_step_of_the_schema_that_fails_changes_nothing() {
    let dir = used().await;
    let wrong = with_step(9_999, "CREATE TABLE half (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1)");
    let said = open::open(dir.path(), Durability::PowerCut, &wrong).await.unwrap_err().to_string();
    assert!(said.contains("cannot be brought to this version's schema"), "{said}");
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(jobs::unfinished(store.read()).await.unwrap().len(), 300);
    assert!(sqlx::query("SELECT * FROM half").fetch_all(store.read()).await.is_err());
}

/// Each step of the schema is taken by a database that holds something. Add a line of sample rows with each step.
#[tokio::test]
async fn every_step_of_the_schema_keeps_what_is_there() {
    const SAMPLES: [(i64, &str); 12] = [
        (
            1,
            "INSERT INTO jobs (id, pipeline, number, source_dirty, trigger, params, spec, status, created_ms)
             VALUES ('j', 'p', 1, 0, 'run', '{}', '{}', 'pending', 1);
         INSERT INTO attempts (job, number, nonce, status, budget_ms, anchor_ms, started_ms)
             VALUES ('j', 1, 'n', 'running', 1, 1, 1);
         INSERT INTO containers (job, attempt, name, role, image) VALUES ('j', 1, 'worker', 'worker', 'host');
         INSERT INTO steps (job, attempt, number, step_id, spec_hash, name, group_path, container, image, checked, try,
                            tries, started_ms, status)
             VALUES ('j', 1, 1, 's', x'00', 'n', '[]', 'worker', 'host', 1, 1, 1, 1, 'running');
         INSERT INTO egress (job, attempt, seq, at_ms, name, verdict) VALUES ('j', 1, 0, 1, 'pip.example', 'allowed')",
        ),
        (
            2,
            "INSERT INTO artifacts (job, attempt, name, call, size, sha256, created_ms)
             VALUES ('j', 1, 'dist/a', 'c', 1, zeroblob(32), 1)",
        ),
        (
            3,
            "INSERT INTO pipelines (name, dir, entry_point, registered_ms) VALUES ('p', '/src', 'danubefile.py', 1);
         INSERT INTO sessions (token, actor, created_ms, expires_ms) VALUES (zeroblob(32), 'a', 1, 2)",
        ),
        (
            4,
            "INSERT INTO test_reports (job, attempt, number, call, name, failed, created_ms)
             VALUES ('j', 1, 1, 'c', 'unit', 1, 1);
         INSERT INTO test_cases (job, attempt, report, seq, suite, class, name, status)
             VALUES ('j', 1, 1, 0, '', 'c', 'n', 'failed');
         INSERT INTO summaries (job, attempt, seq, call, text) VALUES ('j', 1, 1, 'd', '# Done')",
        ),
        (5, "UPDATE jobs SET status = 'running'"),
        (
            6,
            "UPDATE attempts SET status = 'failure', finished_ms = 2, reason_kind = 'infra', reason_message = 'lost';
         UPDATE jobs SET supersedes = 1, cancel_message = 'superseded by job #2'",
        ),
        (
            7,
            "INSERT INTO containers (job, attempt, name, role, image) VALUES ('j', 1, 'service-1', 'service', 'db');
         UPDATE steps SET kind = 'service', ready_ms = 1",
        ),
        (
            8,
            "UPDATE pipelines SET branch = 'main';
         UPDATE attempts SET anchor_boot = 'b', anchor_up_ms = 1;
         INSERT INTO config_commits (sha, repository, branch, changes, applied_ms) VALUES ('c0', '/c', 'main', '{}', 1)",
        ),
        (9, "UPDATE jobs SET source_ref = 'main', source_title = 'Use a newer date picker'"),
        (10, "UPDATE jobs SET source_sha = 'c0', actor = 'ann'"),
        (11, "UPDATE jobs SET source_title = 'Use another date picker'"),
        (12, "UPDATE pipelines SET warm = 1"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE);
    std::fs::write(&path, "").unwrap();
    let mut connection = open::connect(&path, Durability::PowerCut).await.unwrap();
    for step in open::MIGRATIONS.iter() {
        open::MIGRATIONS.run_to(step.version, &mut connection).await.unwrap();
        let (_, rows) =
            SAMPLES.iter().find(|(version, _)| *version == step.version).expect("sample rows for each step");
        sqlx::raw_sql(*rows).execute(&mut connection).await.unwrap();
    }
    sqlx::Connection::close(connection).await.unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(jobs::unfinished(store.read()).await.unwrap(), ["j"]);
    let attempt = AttemptId { job: "j".parse().unwrap(), number: 1 };
    assert_eq!(steps::list(store.read(), &attempt).await.unwrap().len(), 1);
    let roles: Vec<_> =
        containers::list(store.read(), &attempt).await.unwrap().into_iter().map(|row| row.role).collect();
    assert_eq!(roles, ["service", "worker"]);
}

#[tokio::test]
async fn a_new_directory_gets_a_copy_of_the_empty_database() {
    let place = tempfile::tempdir().unwrap();
    let (first, second) = (place.path().join("1"), place.path().join("2"));
    let store = Store::open_new(&first, Durability::Kill, place.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    store.close().await;
    let store = Store::open_new(&second, Durability::Kill, place.path()).await.unwrap();
    assert_eq!(store.epoch(), 1, "what the first did is not in the template");
    insert_job(&store, 1).await.unwrap();
}

#[tokio::test]
async fn a_damaged_template_is_made_anew() {
    let place = tempfile::tempdir().unwrap();
    let template = template::path(place.path());
    std::fs::write(&template, "[not a database]".repeat(4096)).unwrap();
    let store = Store::open_new(&place.path().join("1"), Durability::Kill, place.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    assert!(!template.exists(), "the next run makes it");
    let second = Store::open_new(&place.path().join("2"), Durability::Kill, place.path()).await.unwrap();
    insert_job(&second, 1).await.unwrap();
    assert!(template.exists());
}
