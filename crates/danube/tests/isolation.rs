//! `--isolation none`: the tier for machines without user namespaces. Nothing is kept apart, everything else is as ever.

mod support;

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use support::Project;

const NONE: [&str; 3] = ["--isolation", "none", "--json"];

#[test]
fn a_pipeline_runs_as_in_every_tier_and_says_that_it_is_not_isolated() {
    let project = Project::pipeline(
        "step.run('id -u; pwd; echo made > file', name='one')
step.run('cat file; exit 3', name='two', check=False)
assert open(f'{ctx.workspace}/file').read() == 'made\\n', ctx.workspace",
    );
    project.run(&["--isolation", "none"]).expect(0).says("NOT ISOLATED").says("network unrecorded");
    let ran = project.run(&NONE).expect(0).says("NOT ISOLATED");
    let own = rustix::process::geteuid().as_raw().to_string();
    let [user, dir] = &ran.lines(1, None)[..] else { panic!("{}", ran.stdout) };
    assert_eq!(*user, own, "a step is whoever ran danube");
    assert!(dir.starts_with(&*project.data().to_string_lossy()), "{dir}");
    assert_eq!((ran.step(2)["exit_code"].as_i64(), ran.lines(2, None)), (Some(3), vec!["made".to_owned()]));
}

#[test]
fn a_failing_step_fails_the_job() {
    let project = Project::pipeline("step.run('echo before; exit 7', name='tests')");
    let ran = project.run(&NONE).expect(1).because("script");
    assert_eq!(ran.step(1)["exit_code"], 7);
}

#[test]
fn a_large_script_goes_by_the_outbox() {
    let project = Project::pipeline("step.run('# ' + 'x' * 3_000_000 + '\\necho arrived')");
    assert_eq!(project.run(&NONE).expect(0).lines(1, None), ["arrived"]);
}

#[test]
fn modules_beside_the_danubefile_and_secrets_arrive() {
    let project = Project::pipeline(
        "import beside
step.run('test \"$TOKEN\" = hunter2hunter2 && echo ' + beside.WORD, env={'TOKEN': secrets.get('TOKEN')})
step.run('echo \"[$TOKEN]\"')",
    );
    project.write("beside.py", "WORD = 'imported'\n");
    let run = |project: &Project| {
        let mut command = project.command(&[&NONE[..], &["--secret", "TOKEN"]].concat());
        support::Ran::of(command.env("TOKEN", "hunter2hunter2").output().expect("danube starts"))
    };
    let ran = run(&project).expect(0).never_says("hunter2hunter2");
    assert_eq!(ran.lines(1, None), ["imported"]);
    assert_eq!(ran.lines(2, None), ["[]"], "the caller's environment does not reach steps");
}

#[test]
fn git_finds_its_objects() {
    let project = Project::pipeline("step.run('git log --format=%s && git status --porcelain')");
    support::git::commit(&project, "the first");
    assert_eq!(project.run(&NONE).expect(0).lines(1, None), ["the first"]);
}

#[test]
fn a_cancel_lets_the_danubefile_clean_up() {
    let project = Project::pipeline(
        "try:
    step.run('echo working; exec sleep 1000', name='long')
finally:
    step.run('echo undone', name='undo')",
    );
    let mut run = project.watch(&NONE[..2]);
    run.until_line("working").signal(Signal::INT);
    let ran = run.end().expect(130).because("cancelled");
    assert_eq!(ran.lines(2, None), ["undone"]);
}

#[test]
fn whatever_a_step_leaves_running_is_ended() {
    let project = Project::pipeline(
        "step.run('setsid sh -c \"sleep 1000 & wait\" \"$0\" >/dev/null 2>&1 & echo $! > pid', env={'DANUBE_STEP_ID': ''})
step.run('env -i setsid sleep 1000 >/dev/null 2>&1 & echo $!')
step.run('cat pid')",
    );
    let ran = project.run(&NONE).expect(0);
    for pid in ran.lines(2, None).iter().chain(&ran.lines(3, None)) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("1000"), "{pid} is left");
    }
}

#[test]
fn a_killed_job_leaves_no_process_either() {
    let project = Project::pipeline("step.run('setsid sleep 1000 & echo $!; trap \"\" TERM; sleep 1000; sleep 1000')");
    let mut run = project.watch(&NONE[..2]);
    let left = run.until(|event| event["type"] == "log")["text"].as_str().expect("a process").to_owned();
    run.signal(Signal::INT).until(|event| event["type"] == "status" || event["type"] == "step");
    run.signal(Signal::INT);
    run.end().expect(130);
    assert!(!fs::read(format!("/proc/{left}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep")), "{left} is left");
}

#[test]
fn what_outlives_a_killed_monitor_is_ended_with_the_run() {
    let project = Project::pipeline(
        "step.run('setsid sh -c \"sleep 1000 & wait\" >/dev/null 2>&1 & echo $!; exec sleep 1000', name='long')",
    );
    let mut run = project.watch(&NONE[..2]);
    let left = run.until(|event| event["type"] == "log")["text"].as_str().expect("a process").to_owned();
    let group = project.groups().pop().expect("a group");
    let monitor = fs::read_to_string(group.join("monitor.pid")).expect("its id").trim().parse().expect("a number");
    kill_process(Pid::from_raw(monitor).expect("an id"), Signal::KILL).expect("it runs");
    run.end().expect(3).because("infra");
    assert!(!fs::read(format!("/proc/{left}/cmdline")).is_ok_and(|line| line.starts_with(b"sh")), "{left} is left");
}

#[test]
fn images_and_rules_for_the_network_cannot_be_had() {
    let project = Project::pipeline("step.run('true', image='some')");
    project.run(&["--isolation", "none", "--image", "some=tar:/nowhere.tar"]).expect(2).says("image `host`");
    project.run(&["--isolation", "none", "--egress", "deny"]).expect(2).says("--egress cannot be had");
}
