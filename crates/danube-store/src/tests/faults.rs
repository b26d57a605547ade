//! Processes that die and disks that are full. The process that suffers is this same test binary, run again.

use std::io::{BufRead, BufReader};

use super::*;

/// This test binary, to run only the story `name`, in `dir`.
fn again(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let module = module_path!().split_once("::").unwrap().1;
    command.args(["--exact", "--ignored", "--nocapture", &format!("{module}::{name}")]);
    command.env("DANUBE_TEST_DIR", dir).stdout(Stdio::piped());
    command
}

fn given_dir() -> std::path::PathBuf {
    std::env::var_os("DANUBE_TEST_DIR").expect("run by another test").into()
}

/// Lines that the process wrote after a mark of ours.
fn said(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(|line| Some(line.split_once("told: ")?.1.to_owned()))
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let mut child = again("writes_without_end", dir.path()).env("ROUND", round.to_string()).spawn().unwrap();
        let mut answered = said(&mut child);
        let mut last = answered.by_ref().nth(20 + 17 * round).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        last = answered.last().unwrap_or(last);
        let store = Store::open(dir.path()).await.unwrap();
        assert_eq!(store.epoch(), 2 * round as u64 + 2);
        let present = jobs::unfinished(store.read()).await.unwrap();
        let answered: usize = last.parse().unwrap();
        for n in 0..=answered {
            assert!(present.contains(&format!("job-{round}-{n}")), "job {n} of {answered} was answered and is gone");
        }
        store.close().await;
    }
}

#[tokio::test]
#[ignore = "run by what_was_answered_survives_kill_9"]
async fn writes_without_end() {
    let (store, round) = (Store::open(given_dir()).await.unwrap(), std::env::var("ROUND").unwrap());
    for n in 0.. {
        let job = jobs::NewJob { id: format!("job-{round}-{n}").parse().unwrap(), ..new_job(n) };
        store.write(|tx| Box::pin(async move { jobs::insert(tx, &job).await })).await.unwrap();
        println!("told: {n}");
    }
}

#[tokio::test]
async fn a_crash_inside_a_step_of_the_schema_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    store.close().await;
    let mut child = again("takes_a_step_of_the_schema_without_end", dir.path()).spawn().unwrap();
    // It has begun to write when the write-ahead log has grown past what SQLite keeps in memory.
    let wal = dir.path().join("danube.db-wal");
    while std::fs::metadata(&wal).map_or(0, |found| found.len()) < 1 << 20 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(jobs::unfinished(store.read()).await.unwrap(), ["job-1"]);
    assert!(sqlx::query("SELECT * FROM endless").fetch_all(store.read()).await.is_err());
}

#[tokio::test]
#[ignore = "run by a_crash_inside_a_step_of_the_schema_changes_nothing"]
async fn takes_a_step_of_the_schema_without_end() {
    use sqlx::SqlSafeStr;
    let sql = "CREATE TABLE endless (x TEXT) STRICT;
        INSERT INTO endless WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT hex(zeroblob(2000)) FROM n";
    let step = sqlx::migrate::Migration::new(
        9_999,
        "endless".into(),
        sqlx::migrate::MigrationType::Simple,
        sql.into_sql_str(),
        false,
    );
    let all = open::MIGRATIONS.iter().cloned().chain([step]).collect();
    let _ = open::open(&given_dir(), crate::Durability::PowerCut, &sqlx::migrate::Migrator::with_migrations(all)).await;
}

/// Longer than SQLite itself waits.
#[tokio::test]
async fn a_storm_of_writers_waits_for_another_process_without_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let mut child = again("holds_the_database_for_six_seconds", dir.path()).spawn().unwrap();
    let mut told = said(&mut child);
    assert_eq!(told.next().as_deref(), Some("held"));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        writers.spawn(async move { insert_job(&store, n).await });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap().unwrap();
    }
    child.wait().unwrap();
    assert_eq!(jobs::unfinished(store.read()).await.unwrap().len(), 50);
}

#[tokio::test]
#[ignore = "run by a_storm_of_writers_waits_for_another_process_without_an_error"]
async fn holds_the_database_for_six_seconds() {
    let mut other = open::connect(&given_dir().join(DATABASE), Durability::PowerCut).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    println!("told: held");
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
}

#[test]
fn a_full_disk_is_told_and_writing_goes_on_when_there_is_room() {
    let inner = again("inside_a_small_disk", Path::new("/mnt"));
    let script = r#"mount -t tmpfs -o size=2m tmpfs /mnt && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(inner.get_program()).args(inner.get_args()).env("DANUBE_TEST_DIR", "/mnt");
    let run = command.output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by a_full_disk_is_told_and_writing_goes_on_when_there_is_room"]
async fn inside_a_small_disk() {
    let dir = given_dir();
    std::fs::write(dir.join("ballast"), vec![0; 1 << 20]).unwrap();
    let store = Store::open(&dir).await.unwrap();
    let large = |n| jobs::NewJob { spec: format!("\"{}\"", "x".repeat(50_000)), ..new_job(n) };
    let mut written = 0;
    let full = loop {
        let job = large(written);
        match store.write(|tx| Box::pin(async move { jobs::insert(tx, &job).await })).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(full.is_full() && full.to_string().contains("make room"), "{full}");
    assert_eq!(jobs::unfinished(store.read()).await.unwrap().len(), written, "what was answered is there");
    std::fs::remove_file(dir.join("ballast")).unwrap();
    insert_job(&store, written).await.unwrap();
    store.close().await;
    let store = Store::open(&dir).await.unwrap();
    assert_eq!(jobs::unfinished(store.read()).await.unwrap().len(), written + 1);
}
