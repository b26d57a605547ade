//! Concurrency groups under `danube dev`: of the jobs with the same one, one runs at a time, and a newer job takes the
//! place of older ones.
#![cfg(feature = "failpoints")]

mod support;

use serde_json::{Value, json};
use support::Project;
use support::dev::Dev;
use support::git::{commit, git};

/// A pipeline with these keywords, whose jobs end only when they are stopped.
fn project(keywords: &str) -> Project {
    let project = Project::new(&format!(
        "from danube import *\n\n@pipeline(name='test', {keywords})\ndef build():\n    step.run('echo begun; sleep 1000', name='endless')\n"
    ));
    commit(&project, "first");
    project
}

fn trigger(dev: &Dev) -> String {
    trigger_of(dev, "")
}

fn trigger_of(dev: &Dev, body: &str) -> String {
    dev.post("/pipelines/test/jobs", body, 201)["id"].as_str().expect("an id").to_owned()
}

fn is_running(dev: &Dev, job: &str) {
    dev.until(job, |job| job["steps"].as_array().is_some_and(|steps| steps.len() == 2));
}

fn cancel(dev: &Dev, job: &str) {
    dev.post(&format!("/jobs/{job}/cancel"), "", 202);
    assert_eq!(dev.end(job)["status"], "cancelled");
}

/// The job gave way to the one with this number.
fn gave_way(ended: &Value, to: u32) {
    let words = format!("superseded by job #{to} of the concurrency group `deploy`");
    assert_eq!((&ended["status"], &ended["reason"]["kind"]), (&json!("cancelled"), &json!("cancelled")), "{ended}");
    assert_eq!(ended["reason"]["message"], json!(words));
}

#[test]
fn one_of_a_group_runs_and_the_newest_of_those_that_wait_is_next() {
    let project = project("concurrency='deploy'");
    let dev = Dev::start(&project, &["--no-run", "--jobs", "5"]);
    let first = trigger(&dev);
    is_running(&dev, &first);
    let second = trigger(&dev);
    let waits = dev.until(&second, |job| job["waiting"].is_object());
    assert_eq!(waits["waiting"]["reason"], "another job of the concurrency group `deploy` runs");
    assert_eq!(waits["concurrency"], "deploy");
    let third = trigger(&dev);
    let never = dev.end(&second);
    gave_way(&never, 3);
    assert_eq!(never["started_ms"], Value::Null, "it never began");
    assert_eq!(dev.get(&format!("/jobs/{first}"))["status"], "running", "who runs is left alone");
    cancel(&dev, &first);
    is_running(&dev, &third);
    cancel(&dev, &third);
    dev.stop().expect(0);
}

#[test]
fn a_newer_job_cancels_the_one_that_runs_where_the_pipeline_asks_for_it() {
    let project = project("concurrency='deploy', cancel_superseded=True");
    let dev = Dev::start(&project, &["--no-run", "--jobs", "5"]);
    let first = trigger(&dev);
    is_running(&dev, &first);
    let second = trigger(&dev);
    gave_way(&dev.end(&first), 2);
    is_running(&dev, &second);
    cancel(&dev, &second);
    dev.stop().expect(0);
}

#[test]
fn each_branch_has_a_group_of_its_own_where_the_pipeline_asks_for_it() {
    let project = project("concurrency='deploy-{branch}', cancel_superseded=True");
    git(&project, &["branch", "other"]);
    let dev = Dev::start(&project, &["--no-run", "--jobs", "5"]);
    let here = trigger(&dev);
    is_running(&dev, &here);
    let there = trigger_of(&dev, r#"{"ref":"other"}"#);
    is_running(&dev, &there);
    assert_eq!(dev.get(&format!("/jobs/{here}"))["concurrency"], "deploy-trunk");
    assert_eq!(dev.get(&format!("/jobs/{there}"))["concurrency"], "deploy-other");
    assert_eq!(dev.get(&format!("/jobs/{here}"))["status"], "running");
    let named = trigger_of(&dev, r#"{"ref":"trunk"}"#);
    assert_eq!(dev.end(&here)["status"], "cancelled", "it is the same branch by name");
    is_running(&dev, &named);
    [there, named].iter().for_each(|job| cancel(&dev, job));
    dev.stop().expect(0);
}

#[test]
fn who_gave_way_does_so_over_a_kill() {
    let project = project("concurrency='deploy', cancel_superseded=True");
    let mut command = Dev::command(&project, &["--no-run", "--jobs", "5"]);
    command.env("DANUBE_FAILPOINT", "superseded");
    let dev = Dev::of(&project, command);
    let first = trigger(&dev);
    is_running(&dev, &first);
    // The answer may die with the master.
    let _ = dev.ask("POST", "/pipelines/test/jobs", "");
    assert_eq!(dev.wait().code, -1);
    let dev = Dev::start(&project, &["--no-run", "--jobs", "5"]);
    gave_way(&dev.end(&first), 2);
    let second = dev.jobs()[1]["id"].as_str().expect("an id").to_owned();
    is_running(&dev, &second);
    cancel(&dev, &second);
    dev.stop().expect(0);
}
