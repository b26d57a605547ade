//! `danube dev`: a master for one checkout, from its start to its end, and over `kill -9`.
#![cfg(feature = "failpoints")]

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use danube_engine::{FAILPOINTS, MASTER_FAILPOINTS};
use danube_sandbox::failpoint::MONITOR_FAILPOINT;
use serde_json::Value;
use support::dev::Dev;
use support::{Project, Ran, Random, seed};

/// Steps after and beside each other; each leaves a mark, told in the end.
const BODY: &str = r#"service.start('host', name='db', command=['sh', '-c', 'echo up; touch /tmp/up; exec sleep 1000'],
              ready=service.cmd(['test', '-e', '/tmp/up']))
step.run('echo one >> marks; echo first', name='one')
step.parallel(
    step.call('echo two >> marks; seq 1 5000', name='long'),
    step.call('echo three >> marks; seq 1 10 | while read n; do echo "slow $n"; sleep 0.02; done', name='slow'),
)
step.run('echo four >> marks', name='added', image='com' + 'puted')
step.run('sort marks | tee sorted', name='marks')
artifacts.upload('sorted')
artifacts.download('sorted', 'back/sorted')
step.run('cmp sorted back/sorted', name='back')
step.run("echo '<testsuite><testcase name=\"a\"/></testsuite>' > report.xml")
reports.junit('report.xml')
summary.markdown('# Done')
"#;
/// The image that [`BODY`] computes.
const COMPUTED: [&str; 2] = ["--image", "computed=host"];
/// A step that ends only when it is stopped.
const ENDLESS: &str = "step.run('echo begun; sleep 1000', name='endless')\n";

/// Status, and each step by name with its exit code and the hash of its output.
fn facts(job: &Value) -> (String, BTreeMap<String, String>) {
    let steps = job["steps"].as_array().expect("steps").iter();
    let fact = |step: &Value| {
        (step["name"].as_str().expect("a name").to_owned(), format!("{} {}", step["exit_code"], step["sha256"]))
    };
    (job["status"].as_str().expect("a status").to_owned(), steps.map(fact).collect())
}

fn id(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}

#[test]
fn the_checkout_runs_and_a_changed_file_is_in_the_next_job() {
    let project = Project::pipeline("step.run('cat word', name='word')\n");
    project.write("word", "first\n");
    let dev = Dev::start(&project, &[]);
    let first = dev.end("latest");
    assert_eq!((&first["status"], &first["trigger"], &first["number"]), (&"success".into(), &"dev".into(), &1.into()));
    project.write("word", "second\n");
    let second = dev.post("/pipelines/test/jobs", "", 201);
    dev.end(&id(&second));
    let raw = |job: &Value| dev.get(&format!("/jobs/{}/steps/1/raw", id(job)));
    assert_eq!((raw(&first), raw(&second)), ("first\n".into(), "second\n".into()));
    assert_eq!(dev.jobs().len(), 2);
    let ran = dev.stop().expect(0).says("http://127.0.0.1:").says("/login?token=").says("success in");
    assert!(ran.stdout.contains("│ first"), "its log is shown: {}", ran.stdout);
    assert!(!project.data().join("dev.json").exists(), "nobody is sent to a master that is gone");
}

#[test]
fn parameters_are_checked_when_they_come_in() {
    let project = Project::new(
        "from danube import *\n@pipeline(name='test', params={'env': {'choices': ['test', 'prod'], 'default': 'test'}})\n\
         def build():\n    step.run(['echo', ctx.params['env']], name='env')\n",
    );
    let dev = Dev::start(&project, &["--no-run"]);
    let refused = dev.post("/pipelines/test/jobs", r#"{"params":{"env":"moon"}}"#, 422);
    assert!(refused["error"]["message"].as_str().is_some_and(|words| words.contains("env")), "{refused}");
    assert_eq!(dev.jobs().len(), 0, "what cannot run makes no job");
    let job = dev.post("/pipelines/test/jobs", r#"{"params":{"env":"prod"}}"#, 201);
    assert_eq!(dev.end(&id(&job))["params"]["env"], "prod");
    project.write("danubefile.py", "from danube import *\n@pipeline(name='test'\ndef build(): pass\n");
    let broken = dev.post("/pipelines/test/jobs", "", 422);
    assert!(broken["error"]["message"].as_str().is_some_and(|words| words.contains("danubefile.py:")), "{broken}");
    dev.stop().expect(0);
}

#[test]
fn a_job_waits_for_its_turn_and_says_why() {
    let project = Project::pipeline(ENDLESS);
    let dev = Dev::start(&project, &["--jobs", "1"]);
    let first = id(&dev.until("latest", |job| job["status"] == "running"));
    let second = id(&dev.post("/pipelines/test/jobs", "", 201));
    let third = id(&dev.post("/pipelines/test/jobs", "", 201));
    let waits = dev.get(&format!("/jobs/{third}"));
    assert_eq!(waits["waiting"]["position"], 2);
    assert!(waits["waiting"]["reason"].as_str().is_some_and(|words| words.contains("limit")), "{waits}");
    dev.post(&format!("/jobs/{second}/cancel"), "", 202);
    let never = dev.end(&second);
    assert_eq!((&never["status"], &never["started_ms"]), (&"cancelled".into(), &Value::Null), "it never began");
    dev.post(&format!("/jobs/{first}/cancel"), "", 202);
    assert_eq!(dev.end(&first)["status"], "cancelled");
    dev.until(&third, |job| job["status"] == "running");
    dev.post(&format!("/jobs/{first}/cancel"), "", 409);
    let ran = dev.stop();
    ran.expect(0).says("stopping");
}

/// Whenever it comes, a cancel is heard at once: nothing is left to the time that cleanup would have.
#[test]
fn a_cancel_at_any_instant_is_heard() {
    let project = Project::pipeline(&format!("{ENDLESS}    \n"));
    let dev = Dev::start(&project, &["--no-run"]);
    let mut random = Random(seed());
    for _ in 0..12 {
        let job = id(&dev.post("/pipelines/test/jobs", "", 201));
        std::thread::sleep(std::time::Duration::from_millis(random.below(400)));
        dev.post(&format!("/jobs/{job}/cancel"), "", 202);
        let ended = dev.end(&job);
        assert_eq!(ended["status"], "cancelled", "{}", ended["reason"]);
        let steps = ended["steps"].as_array().expect("steps");
        assert!(steps.iter().all(|step| step["finished_ms"].is_i64()), "no step goes on: {ended}");
        // A runner that did not hear it is killed when the time for cleanup is over.
        assert!(steps.iter().all(|step| step["exit_code"] != 137), "it was not heard: {ended}");
    }
    dev.stop().expect(0);
}

#[test]
fn a_commit_is_run_again_with_the_same_files_and_loose_changes_are_not() {
    let project = Project::pipeline("step.run('cat word', name='word')\n");
    project.write("word", "committed\n");
    support::git::commit(&project, "first");
    let dev = Dev::start(&project, &[]);
    let first = dev.end("latest");
    project.write("word", "changed\n");
    let again = dev.post(&format!("/jobs/{}/rerun", id(&first)), "", 201);
    let again = dev.end(&id(&again));
    assert_eq!((&again["rerun_of"], &again["sha"]), (&first["id"], &first["sha"]));
    assert_eq!(dev.get(&format!("/jobs/{}/steps/1/raw", id(&again))), "committed\n");
    let loose = dev.post("/pipelines/test/jobs", "", 201);
    let loose = dev.end(&id(&loose));
    assert_eq!(loose["dirty"], true);
    let refused = dev.post(&format!("/jobs/{}/rerun", id(&loose)), "", 422);
    assert!(refused["error"]["message"].as_str().is_some_and(|words| words.contains("commit")), "{refused}");
    dev.stop().expect(0);
}

/// Whatever its disk does, Ctrl-C stops it.
#[test]
fn a_master_whose_data_vanished_can_be_stopped() {
    let project = Project::pipeline("step.run('true', name='ok')\n");
    // What is kept ready belongs to the ids of jobs, which not every user may remove.
    let dev = Dev::start(&project, &["--no-run", "--warm", "0"]);
    std::fs::remove_dir_all(project.data().join("master")).expect("removed");
    dev.stop();
}

#[test]
fn a_second_one_is_told_where_the_first_is() {
    let project = Project::pipeline("step.run('true', name='ok')\n");
    let dev = Dev::start(&project, &["--no-run"]);
    let second = Ran::of(Dev::command(&project, &[]).output().expect("danube starts"));
    second.expect(2).says(&format!("http://127.0.0.1:{}", dev.port()));
    let elsewhere = Project::pipeline("step.run('true', name='ok')\n");
    let other = Dev::start(&elsewhere, &["--no-run"]);
    assert_ne!(other.port(), dev.port(), "each has a port of its own");
    other.stop().expect(0);
    dev.stop().expect(0);
}

#[test]
fn killed_at_each_point_the_next_start_goes_on_as_if_nothing_had_been() {
    let undisturbed = Project::pipeline(BODY);
    let dev = Dev::start(&undisturbed, &COMPUTED);
    let wanted = facts(&dev.end("latest"));
    dev.stop().expect(0);
    assert_eq!(wanted.0, "success");
    // Those at which a job's end was asked for have tests of their own.
    let master = MASTER_FAILPOINTS.into_iter().filter(|point| !["cancel-written", "superseded"].contains(point));
    let points = master.chain(FAILPOINTS).chain([MONITOR_FAILPOINT]);
    for failpoint in points {
        eprintln!("killed at {failpoint}");
        let project = Project::pipeline(BODY);
        // The monitor is to be the job's, and none that was started ahead of it.
        let ahead = if failpoint == MONITOR_FAILPOINT { &["--warm", "0"][..] } else { &[] };
        let mut command = Dev::command(&project, &[&COMPUTED[..], ahead].concat());
        command.env("DANUBE_FAILPOINT", failpoint);
        Dev::dies(command).unwrap_or_else(|| panic!("{failpoint} was not passed"));
        let dev = Dev::start(&project, &[&COMPUTED[..], &["--no-run"]].concat());
        let jobs = dev.jobs();
        assert_eq!(jobs.len(), 1, "{failpoint}: one job");
        let job = dev.end(&id(&jobs[0]));
        assert_eq!(facts(&job), wanted, "{failpoint}: {}", job["reason"]);
        assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{failpoint}: one attempt");
        assert_eq!(dev.get(&format!("/jobs/{}/artifacts", id(&job)))["artifacts"][0]["size"], 19, "{failpoint}");
        dev.stop().expect(0);
        let folders = std::fs::read_dir(project.data().join("master/jobs")).map(Iterator::count).unwrap_or(0);
        assert_eq!(folders, 0, "{failpoint}: its files are left");
    }
}

#[test]
fn files_that_a_power_cut_tore_before_anything_ran_are_made_anew() {
    let project = Project::pipeline("step.run('echo whole', name='whole')\n");
    support::git::commit(&project, "first");
    let mut command = Dev::command(&project, &[]);
    command.env("DANUBE_FAILPOINT", "plan-written");
    Dev::dies(command).expect("the plan was written");
    let mut torn = Command::new("find");
    torn.arg(project.data().join("master/jobs"));
    let torn = torn.args(["-name", "danubefile.py", "-print", "-exec", "truncate", "-s", "0", "{}", ";"]).output();
    assert_eq!(
        String::from_utf8_lossy(&torn.expect("find").stdout).lines().count(),
        2,
        "the workspace's and the source's"
    );
    let dev = Dev::start(&project, &["--no-run"]);
    let job = dev.end("latest");
    assert_eq!(job["status"], "success", "{}", job["reason"]);
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1));
    dev.stop().expect(0);
}

#[test]
fn a_cancel_that_was_taken_in_holds_over_a_kill() {
    let project = Project::pipeline(ENDLESS);
    let mut command = Dev::command(&project, &[]);
    command.env("DANUBE_FAILPOINT", "cancel-written");
    let dev = Dev::of(&project, command);
    let job = id(&dev.until("latest", |job| job["steps"].as_array().is_some_and(|steps| steps.len() == 2)));
    // The answer dies with the master.
    let _ = dev.ask("POST", &format!("/jobs/{job}/cancel"), "");
    assert_eq!(dev.wait().code, -1);
    let dev = Dev::start(&project, &["--no-run"]);
    assert_eq!(dev.end(&job)["status"], "cancelled");
    dev.stop().expect(0);
}

#[test]
fn several_running_jobs_are_taken_up_after_a_kill() {
    const JOBS: usize = 5;
    let project = Project::pipeline("step.run('for n in $(seq 60); do echo $n; sleep 0.1; done', name='count')\n");
    let dev = Dev::start(&project, &["--no-run", "--jobs", "5"]);
    let jobs: Vec<String> = (0..JOBS).map(|_| id(&dev.post("/pipelines/test/jobs", "", 201))).collect();
    for job in &jobs {
        dev.until(job, |job| job["steps"].as_array().is_some_and(|steps| steps.len() == 2));
    }
    dev.kill();
    let dev = Dev::start(&project, &["--no-run", "--jobs", "5"]);
    let expected: String = (1..=60).map(|n| format!("{n}\n")).collect();
    for job in &jobs {
        assert_eq!(dev.end(job)["status"], "success");
        assert_eq!(dev.get(&format!("/jobs/{job}/steps/1/raw")), Value::String(expected.clone()));
    }
    dev.stop().expect(0);
}
