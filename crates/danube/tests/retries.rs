//! A job that failed by infrastructure is tried again, as another attempt of the same job: what the first one did is kept
//! and readable, and whatever dies in between, there is exactly one next attempt.
#![cfg(feature = "failpoints")]

mod support;

use std::process::Command;

use danube_engine::RETRY_FAILPOINTS;
use serde_json::{Value, json};
use support::dev::Dev;
use support::processes::{kill, monitor, shim_of};
use support::{Project, Ran, binary};

/// The first attempt stands in a step until it is lost; the next does its work.
const BODY: &str = r#"print(f'attempt {ctx.attempt} on {ctx.branch}')
step.run('echo first thing', name='before')
if ctx.attempt == 1:
    step.run('echo standing; exec sleep 1000', name='stands')
step.run('cat word', name='word')
"#;

/// A project in a commit: what it runs on can be had again.
fn committed(keywords: &str, body: &str) -> Project {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let project =
        Project::new(&format!("from danube import *\n\n@pipeline(name='test'{keywords})\ndef build():\n{body}"));
    project.write("word", "committed\n");
    support::git::commit(&project, "first");
    project
}

fn id(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}

fn has_steps(job: &Value, steps: usize) -> bool {
    job["steps"].as_array().is_some_and(|all| all.len() == steps)
}

/// Waits until the first attempt stands in its step.
fn standing(dev: &Dev) -> String {
    let job = id(&dev.until("latest", |job| has_steps(job, 3)));
    // A worker that is killed before its step was started is lost all the same, but not by this test's story.
    dev.until(&format!("{job}/steps/2/lines"), |lines| lines["total"] == 1);
    job
}

fn attempts(job: &Value) -> Vec<(i64, &str, &str)> {
    let attempts = job["attempts"].as_array().expect("attempts").iter();
    attempts
        .map(|attempt| {
            let kind = attempt["reason"]["kind"].as_str().unwrap_or_default();
            (attempt["number"].as_i64().unwrap_or(0), attempt["status"].as_str().unwrap_or_default(), kind)
        })
        .collect()
}

#[test]
fn a_lost_worker_makes_another_attempt_where_the_pipeline_asks_for_it() {
    let project = committed(", retries=1", BODY);
    let dev = Dev::start(&project, &[]);
    let job = standing(&dev);
    // The next attempt runs on the commit, whatever the checkout looks like by now.
    project.write("word", "changed\n");
    kill(shim_of(&project, "sleep"));
    let ended = dev.end(&job);
    assert_eq!(ended["status"], "success", "{}", ended["reason"]);
    assert_eq!(attempts(&ended), [(1, "failure", "worker_lost"), (2, "success", "")]);
    assert_eq!(
        (&ended["attempt"], &ended["tries"], &ended["again"]["kind"]),
        (&json!(2), &json!(2), &json!("worker_lost"))
    );
    assert_eq!(
        (&ended["number"], &ended["dirty"]),
        (&json!(1), &json!(false)),
        "it is the same job on the same commit"
    );
    let raw = |step: u32, attempt: &str| dev.get(&format!("/jobs/{job}/steps/{step}/raw{attempt}"));
    assert_eq!(raw(0, ""), "attempt 2 on trunk\n");
    assert_eq!(raw(2, ""), "committed\n");
    assert!(raw(0, "?attempt=1").as_str().is_some_and(|log| log.starts_with("attempt 1 on trunk\n")), "it is kept");
    assert!(raw(2, "?attempt=1").as_str().is_some_and(|log| log.starts_with("standing\n[danube] ")));
    let first = dev.get(&format!("/jobs/{job}?attempt=1"));
    assert_eq!(first["steps"][2]["name"], "stands");
    let ran = dev.stop().expect(0);
    ran.says("attempt 2 of 2, because the container `worker` ended before its steps did").says("│ committed");
}

#[test]
fn the_client_shows_every_attempt() {
    let project = committed(", retries=1", BODY);
    let dev = Dev::start(&project, &[]);
    let job = standing(&dev);
    kill(shim_of(&project, "sleep"));
    dev.end(&job);
    let danube = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).env("DANUBE_DATA_DIR", project.data()).env("NO_COLOR", "1").env_remove("DANUBE_LOG");
        Ran::of(command.output().expect("danube starts"))
    };
    let shown = danube(&["job"]).expect(0).says("✔ success of test #1");
    shown.says("attempt  status").says("the container `worker` ended before its steps did");
    danube(&["logs", "--attempt", "1"]).expect(0).says("standing").never_says("committed");
    danube(&["logs"]).expect(0).says("committed").never_says("standing");
    danube(&["logs", "--attempt", "1", "--json"]).expect(0).says(r#""text":"standing""#);
    danube(&["logs", "--attempt", "3"]).expect(2).says("has no attempt 3");
    danube(&["logs", "-f"]).expect(0).says("attempt 2 of 2, because").says("committed");
    dev.stop().expect(0);
}

#[test]
fn a_job_whose_steps_had_begun_is_not_tried_again_unasked() {
    let project = committed("", BODY);
    let dev = Dev::start(&project, &[]);
    let job = standing(&dev);
    kill(shim_of(&project, "sleep"));
    let ended = dev.end(&job);
    assert_eq!(attempts(&ended), [(1, "failure", "worker_lost")]);
    assert_eq!((&ended["status"], &ended["reason"]["kind"]), (&json!("failure"), &json!("worker_lost")));
    dev.stop().expect(0);
}

#[test]
fn a_job_that_was_lost_before_its_first_step_is_tried_again_unasked() {
    let body = "import time\nwhile ctx.attempt == 1:\n    time.sleep(0.1)\nstep.run('cat word', name='word')\n";
    let project = committed("", body);
    let dev = Dev::start(&project, &[]);
    let job = id(&dev.until("latest", |job| has_steps(job, 1)));
    kill(monitor(&project));
    let ended = dev.end(&job);
    assert_eq!(attempts(&ended), [(1, "failure", "infra"), (2, "success", "")]);
    assert_eq!(ended["tries"], 3);
    dev.stop().expect(0);
}

#[test]
fn changes_that_are_in_no_commit_are_not_run_on_something_else() {
    let project = committed(", retries=3", BODY);
    project.write("word", "changed\n");
    let dev = Dev::start(&project, &[]);
    let job = standing(&dev);
    kill(shim_of(&project, "sleep"));
    let ended = dev.end(&job);
    assert_eq!((ended["dirty"].as_bool(), attempts(&ended)), (Some(true), vec![(1, "failure", "worker_lost")]));
    dev.stop().expect(0);
}

#[test]
fn a_script_that_fails_is_never_tried_again() {
    let project = committed(", retries=10", "step.run('exit 3', name='fails')\n");
    let dev = Dev::start(&project, &[]);
    let ended = dev.end("latest");
    assert_eq!(attempts(&ended), [(1, "failure", "script")]);
    dev.stop().expect(0);
}

#[test]
fn killed_between_two_attempts_there_is_exactly_one_next() {
    for failpoint in RETRY_FAILPOINTS {
        eprintln!("killed at {failpoint}");
        let project = committed(", retries=1", BODY);
        let mut command = Dev::command(&project, &[]);
        command.env("DANUBE_FAILPOINT", failpoint);
        let dev = Dev::of(&project, command);
        let job = standing(&dev);
        kill(shim_of(&project, "sleep"));
        assert_eq!(dev.wait().code, -1, "{failpoint} was not passed");
        // A power cut can undo a removal.
        std::fs::create_dir_all(project.data().join(format!("master/groups/{job}-1"))).expect("made");
        let dev = Dev::start(&project, &["--no-run"]);
        let ended = dev.end(&job);
        assert_eq!(ended["status"], "success", "{failpoint}: {}", ended["reason"]);
        assert_eq!(attempts(&ended), [(1, "failure", "worker_lost"), (2, "success", "")], "{failpoint}");
        assert_eq!(dev.get(&format!("/jobs/{job}/steps/2/raw")), "committed\n", "{failpoint}");
        assert_eq!(dev.jobs().len(), 1, "{failpoint}: one job");
        dev.stop().expect(0);
        assert_eq!(project.groups().len(), 0, "{failpoint}: no attempt left its containers");
        let folders = std::fs::read_dir(project.data().join("master/jobs")).map(Iterator::count).unwrap_or(0);
        assert_eq!(folders, 0, "{failpoint}: no attempt left its files");
    }
}

#[test]
fn a_cancel_after_an_attempt_ends_the_job() {
    let project = committed(", retries=5", BODY);
    let dev = Dev::start(&project, &[]);
    let job = standing(&dev);
    kill(shim_of(&project, "sleep"));
    dev.until(&job, |job| job["attempts"][0]["finished_ms"].is_i64());
    dev.post(&format!("/jobs/{job}/cancel"), "", 202);
    let ended = dev.end(&job);
    assert_eq!((&ended["status"], &ended["reason"]["kind"]), (&json!("cancelled"), &json!("cancelled")));
    assert!(ended["attempts"].as_array().is_some_and(|attempts| attempts.len() < 3), "{ended}");
    dev.stop().expect(0);
}

#[test]
fn a_cancel_between_two_attempts_holds_over_a_kill() {
    for failpoint in ["attempt-ended", "again-planned"] {
        let project = committed(", retries=5", BODY);
        let mut command = Dev::command(&project, &[]);
        command.env("DANUBE_FAILPOINT", failpoint);
        let dev = Dev::of(&project, command);
        let job = standing(&dev);
        kill(shim_of(&project, "sleep"));
        assert_eq!(dev.wait().code, -1);
        // The next start finds the wish beside the ended attempt.
        let wish = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('UPDATE jobs SET cancel_ms = 1'); db.commit()";
        let mut write = Command::new("python3");
        write.args(["-c", wish]).arg(project.data().join("master/danube.db"));
        assert!(write.status().expect("Python starts").success());
        let dev = Dev::start(&project, &["--no-run"]);
        let ended = dev.end(&job);
        assert_eq!(
            (&ended["status"], &ended["reason"]["kind"]),
            (&json!("cancelled"), &json!("cancelled")),
            "{failpoint}"
        );
        let ran: Vec<_> = attempts(&ended).into_iter().filter(|(_, status, _)| *status == "success").collect();
        assert_eq!(ran, [], "{failpoint}: no attempt did its work");
        dev.stop().expect(0);
    }
}
