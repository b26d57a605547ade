//! `kill -9` of the engine wherever it hurts, then `danube run --resume`: the job is as if nothing had been. And what
//! becomes of a job whose own processes are killed: the right reason, never success, nothing left.
#![cfg(feature = "failpoints")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use danube_engine::FAILPOINTS;
use danube_sandbox::failpoint::MONITOR_FAILPOINT;
use rustix::process::Signal;
use support::events::Watched;
use support::processes::{below, kill, monitor, shim_of};
use support::{Project, Ran, Random, kill_rounds, seed};

/// A service; steps after and beside each other, one with long output, one captured; each leaves a mark, told in the end.
const BODY: &str = r#"service.start('host', name='db', command=['sh', '-c', 'echo up; touch /tmp/up; exec sleep 1000'],
              ready=service.cmd(['test', '-e', '/tmp/up']))
step.run('echo one >> marks; echo first', name='one')
step.parallel(
    step.call('echo two >> marks; seq 1 20000', name='long'),
    step.call('echo three >> marks; seq 1 20 | while read n; do echo "slow $n"; sleep 0.02; done', name='slow'),
)
value = step.run('echo four >> marks; echo captured', name='captured', capture=True).stdout
assert value == 'captured\n', repr(value)
print('the danubefile says', value.strip())
step.run('echo five >> marks', name='added', image='com' + 'puted')
step.run('sort marks | tee sorted', name='marks')
artifacts.upload('sorted')
artifacts.download('sorted', 'back/sorted')
step.run('cmp sorted back/sorted', name='back')
step.run("echo '<testsuite><testcase name=\"a\"/><testcase name=\"b\"><failure/></testcase></testsuite>' > report.xml")
reports.junit('report.xml')
summary.markdown('# Done')
"#;

/// The image that [`BODY`] computes, so that its container is added while the job runs.
const COMPUTED: [&str; 2] = ["--image", "computed=host"];
/// `danube run` for [`BODY`].
const RUN: [&str; 3] = ["--json", COMPUTED[0], COMPUTED[1]];

/// What of a finished run must not depend on what happened to its engine.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    steps: BTreeMap<String, Step>,
    own_log: Vec<u8>,
    artifact: Option<Vec<u8>>,
    reported: Vec<serde_json::Value>,
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    exit_code: i64,
    sha256: String,
    log: Vec<u8>,
}

/// The run's only log folder.
fn logs(project: &Project) -> PathBuf {
    let run = project.runs().pop().expect("a run");
    let job = run.file_name().expect("a name").to_owned();
    run.join("logs").join(job).join("1")
}

fn whole(project: &Project, ran: &Ran) -> Whole {
    let job = ran.job();
    assert_eq!(project.runs().len(), 1, "the run was gone on with, not made again");
    let log = |number: u64| fs::read(logs(project).join(format!("{number}.raw"))).expect("a log");
    let step = |step: &serde_json::Value| {
        let name = step["name"].as_str().expect("a name").to_owned();
        let (exit_code, sha256) =
            (step["exit_code"].as_i64().expect("ended"), step["sha256"].as_str().expect("a hash"));
        (name, Step { exit_code, sha256: sha256.to_owned(), log: log(step["step"].as_u64().expect("a number")) })
    };
    let steps = job["steps"].as_array().expect("steps").iter().map(step).collect();
    let artifact = fs::read(project.runs().pop().expect("a run").join("uploads/sorted")).ok();
    let is_report = |event: &serde_json::Value| event["type"] == "tests" || event["type"] == "summary";
    let reported = ran.events().into_iter().filter(is_report).collect();
    Whole { steps, own_log: log(0), artifact, reported }
}

/// Goes on with the run to its end.
fn resumed(project: &Project) -> Ran {
    project.run(&["--resume", "--json"])
}

/// Runs until the engine kills itself at this point.
fn killed_at(project: &Project, failpoint: &str, arguments: &[&str]) {
    let mut command = project.command(&[&["--json"], arguments].concat());
    let output = command.env("DANUBE_FAILPOINT", failpoint).output().expect("danube starts");
    let ran = Ran::of(output);
    assert_eq!(ran.code, -1, "{failpoint} was not passed\n{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn killed_at_each_point_the_job_goes_on_as_if_nothing_had_been() {
    let undisturbed = Project::pipeline(BODY);
    let wanted = whole(&undisturbed, &undisturbed.run(&RUN).expect(0));
    assert_eq!(wanted.steps["marks"].log, b"five\nfour\none\nthree\ntwo\n");
    assert_eq!(wanted.artifact, Some(wanted.steps["marks"].log.clone()));
    assert_eq!(wanted.reported.len(), 2);
    for failpoint in FAILPOINTS.into_iter().chain([MONITOR_FAILPOINT]) {
        eprintln!("killed at {failpoint}");
        let project = Project::pipeline(BODY);
        killed_at(&project, failpoint, &COMPUTED);
        let ran = resumed(&project).expect(0);
        assert_eq!(whole(&project, &ran), wanted, "{failpoint}");
        assert_eq!(ran.job()["status"], "success", "{failpoint}");
    }
}

#[test]
fn a_failure_stays_one_wherever_the_engine_was_killed() {
    for failpoint in ["after-step-end", "before-verdict", "after-verdict", "group-deleted"] {
        let project = Project::pipeline("step.run('echo once >> marks; cat marks; exit 7', name='fails')");
        killed_at(&project, failpoint, &[]);
        let ran = resumed(&project).expect(1);
        assert_eq!(ran.job()["reason"]["kind"], "script", "{failpoint}");
        assert_eq!(fs::read(logs(&project).join("1.raw")).expect("a log"), b"once\n", "{failpoint}");
    }
}

/// Reads so many events, then kills the engine. False when the run ended before.
fn killed_after(mut run: Watched, events: u64) -> bool {
    let left = std::cell::Cell::new(events);
    let ended = run.until(|event| {
        left.set(left.get().saturating_sub(1));
        left.get() == 0 || event["type"] == "job"
    });
    run.child.kill().expect("it is a child of ours");
    run.child.wait().expect("its end");
    ended["type"] != "job"
}

/// Kills a run after so many events, and what goes on with it after so many more. None when either kill came too late:
/// the job had ended, and there was nothing to go on with.
fn killed_twice(project: &Project, first: u64, second: u64) -> Option<Ran> {
    if !killed_after(project.watch(&COMPUTED), first) {
        return None;
    }
    killed_after(project.watch(&["--resume"]), second);
    let ran = resumed(project);
    let too_late = ran.code == 2 && ran.stderr.contains("no interrupted run");
    (!too_late).then_some(ran)
}

#[test]
fn killed_at_any_instant_and_while_going_on_the_job_is_whole() {
    let undisturbed = Project::pipeline(BODY);
    let wanted = whole(&undisturbed, &undisturbed.run(&RUN).expect(0));
    let mut random = Random(seed());
    let (rounds, mut hit, mut late) = (kill_rounds(), 0, 0);
    while hit < rounds {
        let project = Project::pipeline(BODY);
        // Up to 2^14 of the run's 20 000 events, early ones as likely as late ones.
        let mut some = || 1 + random.next() % (1 << (random.next() % 15));
        let (first, second) = (some(), some());
        eprintln!("round {hit}: killed after {first} events, then after {second}");
        match killed_twice(&project, first, second) {
            Some(ran) => {
                hit += 1;
                assert_eq!(whole(&project, &ran.expect(0)), wanted, "round {hit}: {first}, {second}");
            }
            None => late += 1,
        }
        assert!(late <= 5 * rounds, "{late} rounds came too late and only {hit} hit: this tests nothing");
    }
    eprintln!("{hit} rounds hit, {late} came too late");
}

#[test]
fn secrets_are_asked_for_again_and_stay_hidden() {
    let body = "step.run('echo \"token $TOKEN\"; seq 1 1000', name='uses', secrets=['TOKEN'])
step.run('echo \"again $TOKEN\"', name='after', secrets=['TOKEN'])";
    let project = Project::pipeline(body);
    let with_secret = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("TOKEN", "correct-horse-battery");
        command
    };
    let mut first = with_secret(&["--json", "--secret", "TOKEN"]);
    let killed = Ran::of(first.env("DANUBE_FAILPOINT", "step-output").output().expect("danube starts"));
    assert_eq!(killed.code, -1, "{}", killed.stderr);
    Ran::of(with_secret(&["--resume"]).output().expect("danube starts")).expect(2).says("--secret TOKEN");
    let ran = Ran::of(with_secret(&["--resume", "--json", "--secret", "TOKEN"]).output().expect("danube starts"));
    let ran = ran.expect(0).never_says("correct-horse-battery");
    let wanted = whole(&project, &ran);
    assert!(wanted.steps["uses"].log.starts_with(b"token ***\n1\n2\n"), "the first line is masked and there once");
    assert_eq!(wanted.steps["after"].log, b"again ***\n");
}

#[test]
fn a_step_that_nobody_waits_for_any_more_is_stopped_and_its_log_whole() {
    // The first end that is written is the danubefile's own: it returns while its step runs.
    let body = "import os, threading, time
threading.Thread(target=lambda: step.run('echo begun; touch begun; exec sleep 1000', name='left'), daemon=True).start()
while not os.path.exists('begun'):
    time.sleep(0.01)";
    let project = Project::pipeline(body);
    killed_at(&project, "after-step-end", &[]);
    let ran = resumed(&project).expect(1).because("steps_abandoned");
    assert_eq!((ran.names(), ran.step(1)["cause"].as_str()), (vec!["left".to_owned()], Some("stopped")));
    assert_eq!(fs::read(logs(&project).join("1.raw")).expect("a log"), b"begun\n");
}

/// A job in the midst of a step, after output of another.
fn working() -> (Project, Watched) {
    let project = Project::pipeline(
        "step.run('echo done', name='before')\nstep.run('echo working; exec sleep 1000', name='long')",
    );
    let mut run = project.watch(&[]);
    run.until_line("working");
    (project, run)
}

#[test]
fn a_killed_monitor_is_infra() {
    let (project, run) = working();
    kill(monitor(&project));
    run.end().expect(3).because("infra");
}

#[test]
fn a_killed_shim_of_the_worker_is_a_lost_worker_and_the_log_says_so() {
    let (project, run) = working();
    kill(shim_of(&project, "sleep"));
    run.end().expect(3).because("worker_lost");
    let log = fs::read_to_string(logs(&project).join("2.raw")).expect("a log");
    assert!(log.starts_with("working\n[danube] ") && log.contains("not received"), "{log}");
}

#[test]
fn a_killed_shim_of_the_coordinator_is_infra() {
    let (project, run) = working();
    kill(shim_of(&project, "python"));
    run.end().expect(3).because("infra");
}

#[test]
fn a_killed_python_is_the_script_s_failure() {
    let (project, run) = working();
    let python = below(monitor(&project)).into_iter().find(|(_, name)| name.starts_with("python"));
    kill(python.expect("the danubefile's Python").0);
    let ran = run.end().expect(1);
    assert!(["script", "steps_abandoned"].contains(&ran.job()["reason"]["kind"].as_str().expect("a kind")));
}

#[test]
fn a_monitor_that_died_with_the_engine_is_infra_when_gone_on_with() {
    let (project, mut run) = working();
    let monitor = monitor(&project);
    run.child.kill().expect("a child of ours");
    run.child.wait().expect("its end");
    kill(monitor);
    resumed(&project).expect(3).because("infra");
}

/// A service that is ready and a step that never ends; cleanup that says so.
const WITH_SERVICE: &str = "service.start('host', name='db', ready=service.cmd(['test', '-e', '/tmp/up']),
              command=['sh', '-c', 'echo up; touch /tmp/up; exec perl -e \"sleep 1000\"'])
try:
    step.run('echo working; exec sleep 1000', name='long')
finally:
    step.run('echo undone', name='undo')";

fn service_has_died(project: &Project, ran: Ran, how: &str) {
    let ran = ran.expect(1).because("service");
    let told = ran.job()["reason"]["message"].as_str().expect("a reason").to_owned();
    assert_eq!(told, format!("the service `db` {how}; its last lines:\n  up"));
    assert_eq!(
        (ran.names(), ran.step(2)["cause"].as_str()),
        (["db", "long", "undo"].map(str::to_owned).to_vec(), Some("stopped"))
    );
    assert_eq!(fs::read(logs(project).join("1.raw")).expect("a log"), b"up\n");
}

#[test]
fn a_service_that_dies_while_no_engine_looks_is_found_dead() {
    let project = Project::pipeline(WITH_SERVICE);
    let mut run = project.watch(&[]);
    run.until_line("working");
    run.child.kill().expect("a child of ours");
    run.child.wait().expect("its end");
    let service = below(monitor(&project)).into_iter().find(|(_, name)| name == "perl");
    kill(service.expect("the service").0);
    service_has_died(&project, resumed(&project), "was ended by signal 9 (SIGKILL)");
}

#[test]
fn a_service_s_death_that_is_written_down_is_told_again() {
    let dying = WITH_SERVICE.replace("\"sleep 1000\"", "\"sleep 1; exit 3\"");
    let project = Project::pipeline(&dying);
    killed_at(&project, "after-step-end", &[]);
    service_has_died(&project, resumed(&project), "ended with exit code 3");
}

#[test]
fn a_killed_shim_of_a_service_is_a_dead_service() {
    let project = Project::pipeline(WITH_SERVICE);
    let mut run = project.watch(&[]);
    run.until_line("working");
    kill(shim_of(&project, "perl"));
    let ran = run.end().expect(1).because("service");
    let told = ran.job()["reason"]["message"].as_str().expect("a reason").to_owned();
    assert!(told.starts_with("the service `db` was lost: "), "{told}");
}

#[test]
fn a_run_that_another_engine_works_on_names_its_process() {
    let (project, mut run) = working();
    let pid = run.child.id().to_string();
    project.run(&["--resume"]).expect(3).says(&format!("in use by the process {pid}"));
    run.signal(Signal::INT);
    run.end().expect(130);
}

#[test]
fn a_finished_run_cannot_be_gone_on_with() {
    let project = Project::pipeline("step.run('true', name='a')");
    project.run(&[]).expect(0);
    let run = project.runs().pop().expect("a run");
    let name = run.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    project.run(&["--resume", &name]).expect(2).says("has ended");
    project.run(&["--resume"]).expect(2).says("no interrupted run");
}

/// Changes a run's database behind Danube's back.
fn sqlite(run: &Path, statement: &str) {
    let program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()";
    let status = Command::new("python3").args(["-c", program]).arg(run.join("danube.db")).arg(statement).status();
    assert!(status.expect("Python starts").success());
}

/// The containers know a newer engine than the one that comes: a database as it was before the other was started.
#[test]
fn a_job_that_another_engine_has_taken_over_is_left_to_it() {
    let project = Project::pipeline("step.run('echo one >> marks; seq 1 1000; cat marks', name='once')");
    killed_at(&project, "step-output", &[]);
    sqlite(&project.runs()[0], "UPDATE meta SET epoch = epoch - 2");
    let refused = resumed(&project).expect(3);
    assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    let refused = refused.says("another Danube has taken over this job");
    assert!(!refused.stdout.contains(r#""type":"job""#), "a job without an end: {}", refused.stdout);
    assert_eq!(project.groups().len(), 1, "its containers stand");
    sqlite(&project.runs()[0], "UPDATE meta SET epoch = epoch + 2");
    resumed(&project).expect(0);
    assert!(fs::read(logs(&project).join("1.raw")).expect("a log").ends_with(b"\n1000\none\n"), "it ran once");
}

#[test]
fn a_plan_of_another_version_is_refused_in_words() {
    let project = Project::pipeline("step.run('true', name='a')");
    killed_at(&project, "job-scheduling", &[]);
    sqlite(&project.runs()[0], r#"UPDATE jobs SET spec = '{"version": 99}'"#);
    resumed(&project).expect(3).says("another version of Danube");
}
