//! What a server must survive: kills, a busy or damaged database, a disk that fails, a clock that jumps.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::dev::Dev;
use support::preload::Preload;
use support::site::Site;
use support::{Ran, Random, seed};

/// Steps after and beside each other; each leaves a mark, told in the end.
const BODY: &str = "step.run('echo one >> marks')
step.parallel(
    step.call('echo two >> marks; for n in $(seq 8); do echo $n; sleep 0.1; done', name='slow'),
    step.call('echo three >> marks; seq 1 5000', name='long'),
)
step.run('echo four >> marks')
step.run('sort marks', name='marks')";
const MARKS: &str = "four\none\nthree\ntwo\n";

fn id(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}

/// One attempt, each step once, nothing doubled and nothing lost.
fn assert_undisturbed(serve: &Dev, job: &str) {
    let job = serve.end(job);
    assert_eq!(job["status"], "success", "{}", job["reason"]);
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    let steps = job["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 6, "{job}");
    assert_eq!(serve.get(&format!("/jobs/{}/steps/5/raw", id(&job))), MARKS);
    let long = steps.iter().find(|step| step["name"] == "long").expect("the step");
    assert_eq!(long["bytes"], 23_893, "{long}");
}

#[test]
fn stopped_and_killed_at_random_instants_it_loses_and_doubles_nothing() {
    let Some(site) = Site::new(BODY) else { return };
    let mut random = Random(seed());
    let mut serve = site.start();
    let mut jobs: Vec<String> = Vec::new();
    for _ in 0..8 {
        jobs.extend((0..2).map(|_| id(&serve.post("/pipelines/app/jobs", "", 201))));
        std::thread::sleep(Duration::from_millis(random.below(900)));
        if random.below(2) == 0 {
            serve.kill();
        } else {
            serve.stop_by(Signal::TERM).expect(0).says("stopping: ");
        }
        serve = site.start();
    }
    assert_eq!(serve.jobs().len(), jobs.len(), "no job is lost or doubled");
    jobs.iter().for_each(|job| assert_undisturbed(&serve, job));
    serve.stop_by(Signal::TERM).expect(0).says("no job is running");
}

/// Somebody who holds the database for longer than SQLite waits.
fn holder(database: &Path) -> Child {
    let script = "import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('BEGIN IMMEDIATE')
print('held', flush=True)
time.sleep(6)
db.execute('COMMIT')";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(database).stdin(Stdio::null()).stdout(Stdio::piped());
    python.spawn().expect("python3 is there")
}

#[test]
fn fifty_wishes_while_another_process_holds_the_database_are_all_fulfilled() {
    let Some(site) = Site::new("step.run('true')") else { return };
    let serve = site.start();
    let running = id(&serve.post("/pipelines/app/jobs", "", 201));
    let mut holder = holder(&site.database());
    let mut held = [0; 4];
    std::io::Read::read_exact(holder.stdout.as_mut().expect("its words"), &mut held).expect("it holds it");
    let asked = std::thread::scope(|scope| {
        let ask = || serve.ask("POST", "/pipelines/app/jobs", "").expect("an answer");
        let all: Vec<_> = (0..50).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|asked| asked.join().expect("asked")).collect::<Vec<_>>()
    });
    assert!(holder.wait().expect("its end").success());
    for (status, answer) in &asked {
        assert_eq!(*status, 201, "{answer}");
    }
    assert_eq!(serve.end(&running)["status"], "success", "what ran has not noticed");
    for (_, job) in &asked {
        // Some have ended already.
        serve.ask("POST", &format!("/jobs/{}/cancel", id(job)), "").expect("an answer");
    }
    for (_, job) in &asked {
        serve.end(&id(job));
    }
    serve.stop_by(Signal::TERM).expect(0).says("another process is writing to the database");
}

#[test]
fn a_damaged_database_is_refused_in_words_and_left_as_it_is() {
    let Some(site) = Site::new("step.run('true')") else { return };
    let serve = site.start();
    serve.end(&id(&serve.post("/pipelines/app/jobs", "", 201)));
    serve.stop_by(Signal::TERM).expect(0);
    let whole = fs::read(site.database()).expect("the database");
    let damages: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes.clear(), |bytes| bytes.truncate(4096 * 3 + 100), |bytes| bytes[4096 * 2..4096 * 3].fill(0xa5)];
    for damage in damages {
        let mut damaged = whole.clone();
        damage(&mut damaged);
        fs::write(site.database(), &damaged).expect("written");
        let refused = Ran::of(site.command().output().expect("danube starts")).expect(3);
        refused.says("danube.db is damaged").says("put it back from a backup");
        assert!(fs::read(site.database()).expect("still there") == damaged, "evidence is left as it is");
    }
    fs::remove_file(site.database()).expect("removed");
    let refused = Ran::of(site.command().output().expect("danube starts")).expect(3);
    refused.says("danube.db is missing although").says("put the database back from a backup");
    assert!(!site.database().exists(), "it is not made anew");
    fs::write(site.database(), whole).expect("put back");
    let serve = site.start();
    assert_eq!(serve.jobs().len(), 1);
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn when_the_disk_fails_it_ends_and_the_next_start_has_what_was_promised() {
    let Some(site) = Site::new(BODY) else { return };
    let Some(preload) = Preload::new(&site.project) else { return };
    let mut command = site.command();
    preload.before(&mut command);
    let serve = site.start_by(command);
    let job = id(&serve.post("/pipelines/app/jobs", "", 201));
    serve.until(&job, |job| job["steps"].as_array().is_some_and(|steps| steps.len() >= 3));
    preload.break_disk(true);
    // It may be writing for the job just now, and end before it is asked.
    if let Ok((status, answer)) = serve.ask("POST", "/pipelines/app/jobs", "") {
        assert!(status >= 500 || status == 0, "nothing is promised: {answer}");
    }
    serve.wait().expect(3).says("the disk under").says("then start Danube again");
    preload.break_disk(false);
    let serve = site.start();
    // What was not promised may be there all the same: its bytes were on their way to the disk.
    let jobs: Vec<String> = serve.jobs().iter().map(id).collect();
    assert!(jobs[0] == job && jobs.len() <= 2, "{jobs:?}");
    jobs.iter().for_each(|job| assert_undisturbed(&serve, job));
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn a_clock_that_jumps_ends_nothing() {
    const HOUR: i64 = 60 * 60;
    let Some(site) = Site::new("") else { return };
    let Some(preload) = Preload::new(&site.project) else { return };
    let body = "step.run('chmod 777 .; echo begun; while test ! -e go; do sleep 0.1; done; echo done', name='waits', timeout='20m')";
    site.pipeline_with(&format!("image='{}', timeout='20m'", site.image()), body);
    site.commit("waits");
    let start = || {
        let mut command = site.command();
        preload.before(&mut command);
        site.start_by(command)
    };
    let mut serve = start();
    let begun = serve.post("/pipelines/app/jobs", "", 201);
    let job = id(&begun);
    serve.until(&job, |job| job["steps"].as_array().is_some_and(|steps| steps.len() == 2));
    let mut last = begun["created_ms"].as_i64().expect("a time");
    for jump in [HOUR, -HOUR, 24 * HOUR] {
        preload.set_clock(jump);
        // Another job tells that the jump was seen, and that this one runs on.
        let other = serve.post("/pipelines/app/jobs", "", 201);
        let made = other["created_ms"].as_i64().expect("a time");
        assert!((made - last).abs() > HOUR * 1000 / 2, "the clock has jumped");
        last = made;
        serve.until(&id(&other), |job| job["steps"].as_array().is_some_and(|steps| steps.len() == 2));
        serve.post(&format!("/jobs/{}/cancel", id(&other)), "", 202);
        assert_eq!(serve.end(&id(&other))["status"], "cancelled");
        // And once more while nobody is there.
        serve.stop_by(Signal::TERM).expect(0).says("1 job runs on by itself");
        preload.set_clock(-2 * jump);
        serve = start();
        serve.until(&job, |job| job["status"] == "running");
    }
    for group in site.project.groups() {
        fs::write(group.join("workspace/go"), "").expect("told");
    }
    let ended = serve.end(&job);
    assert_eq!((&ended["status"], &ended["attempt"]), (&"success".into(), &1.into()), "{}", ended["reason"]);
    assert_eq!(serve.get(&format!("/jobs/{job}/steps/1/raw")), "begun\ndone\n");
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn a_schema_is_looked_at_while_no_master_runs_and_one_of_a_newer_danube_is_refused() {
    let Some(site) = Site::new("step.run('true')") else { return };
    site.run(&["migrate"]).expect(0).says("there is no database yet");
    let serve = site.start();
    site.run(&["migrate", "--check"]).expect(3).says("in use by the process");
    serve.stop_by(Signal::TERM).expect(0);
    site.run(&["migrate", "--check"]).expect(0).says("up to date");
    sql(
        &site,
        "UPDATE _sqlx_migrations SET version = 9999 WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
    );
    site.run(&["migrate"]).expect(3).says("has the schema 9999, this Danube knows none above");
    Ran::of(site.command().output().expect("danube starts")).expect(3).says("use the newer Danube again");
}

/// Changes the database of a server that does not run.
fn sql(site: &Site, script: &str) {
    let program = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.executescript(sys.argv[2])";
    let python = Command::new("python3").args(["-c", program]).arg(site.database()).arg(script).status();
    assert!(python.expect("python3 is there").success());
}
