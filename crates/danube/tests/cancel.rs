//! Ctrl-C: the danubefile may clean up; a second one does not wait. Nothing is left either way.

mod support;

use rustix::process::Signal;
use support::Project;

#[test]
fn a_cancel_during_a_step_lets_finally_run_its_steps() {
    let project = Project::pipeline(
        "try:
    step.run('echo working; exec sleep 1000', name='long')
    step.run('echo never', name='after')
finally:
    step.run('echo undone', name='undo')",
    );
    let mut run = project.watch(&[]);
    run.until_line("working").signal(Signal::INT);
    let ran = run.end().expect(130).because("cancelled");
    assert_eq!(ran.job()["status"], "cancelled");
    assert_eq!(ran.names(), ["long", "undo"]);
    assert_eq!((ran.step(1)["cause"].as_str(), ran.lines(2, None)), (Some("stopped"), vec!["undone".to_owned()]));
}

#[test]
fn a_step_is_asked_to_end_before_it_is_made_to() {
    let project =
        Project::pipeline("step.run('trap \"echo swept; exit 0\" TERM; echo working; while :; do sleep 0.01; done')");
    let mut run = project.watch(&[]);
    run.until_line("working").signal(Signal::INT);
    let ran = run.end().expect(130);
    // Some shells add what became of their children.
    let lines = ran.lines(1, None);
    assert_eq!((lines.first().map(String::as_str), lines.last().map(String::as_str)), (Some("working"), Some("swept")));
}

#[test]
fn a_second_cancel_kills_at_once() {
    let project = Project::pipeline(
        "try:
    step.run('echo working; exec sleep 1000', name='long')
finally:
    step.run('trap \"\" TERM INT; echo sweeping; while :; do sleep 0.01; done', name='stubborn')",
    );
    let mut run = project.watch(&[]);
    run.until_line("working").signal(Signal::INT);
    run.until_line("sweeping").signal(Signal::INT);
    run.end().expect(130).because("cancelled");
}

#[test]
fn a_cancel_during_finally_of_a_failure_lets_it_end() {
    let project = Project::pipeline(
        "try:
    step.run('exit 1', name='broken')
finally:
    try:
        step.run('echo sweeping; exec sleep 1000', name='sweep')
    finally:
        step.run('echo swept', name='rest')",
    );
    let mut run = project.watch(&[]);
    run.until_line("sweeping").signal(Signal::INT);
    let ran = run.end().expect(130).because("cancelled");
    assert_eq!(ran.lines(3, None), ["swept"]);
}

#[test]
fn whoever_swallows_the_cancel_is_ended_when_the_cleanup_time_is_over() {
    let project = Project::new(
        "from danube import *
@pipeline(cleanup_timeout='1s')
def build():
    while True:
        try:
            step.run('echo again; exec sleep 1000')
        except BaseException:
            print('caught', flush=True)
",
    );
    let mut run = project.watch(&[]);
    run.until_line("again").signal(Signal::INT);
    run.end().expect(130).because("cancelled");
}

#[test]
fn a_danubefile_that_only_computes_is_cancelled_too() {
    let project = Project::pipeline("step.run('true')\nprint('computing', flush=True)\nwhile True: pass");
    let mut run = project.watch(&[]);
    run.until_line("computing").signal(Signal::INT);
    run.end().expect(130).because("cancelled");
}

#[test]
fn the_terminal_going_away_and_a_service_manager_cancel_as_well() {
    for signal in [Signal::TERM, Signal::HUP] {
        let project = Project::pipeline("step.run('echo working; exec sleep 1000')");
        let mut run = project.watch(&[]);
        run.until_line("working").signal(signal);
        run.end().expect(130).because("cancelled");
    }
}

#[test]
fn a_cancel_before_the_first_step_is_a_cancel() {
    let project = Project::pipeline("step.run('true')\nwhile True: pass");
    let mut run = project.watch(&[]);
    run.until(|event| event["type"] == "status" && event["status"] == "scheduling");
    run.signal(Signal::INT);
    run.end().expect(130).because("cancelled");
}
