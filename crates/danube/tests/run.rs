//! `danube run` as a user meets it: what it shows, what it exits with.

mod support;

use support::Project;

#[test]
fn a_pipeline_runs_and_shows_each_step() {
    let project = Project::pipeline("step.run('echo hello', name='greet')\nstep.run(['true'], name='nothing')");
    project.run(&[]).expect(0).says("▶ 1 greet").says(" 1│ hello").says("✔ 2 nothing").says("✔ success in");
}

#[test]
fn a_failing_step_is_shown_again_with_what_to_do_next() {
    let project = Project::pipeline("step.run('echo before; echo the reason; exit 7', name='tests')");
    let ran = project.run(&[]).expect(1).says("✘ 1 tests  exit 7").says("The last lines of step 1 tests:");
    assert_eq!(ran.stdout.matches("the reason").count(), 2, "{}", ran.stdout);
    ran.says("Read the failing step's output above").says("danubefile.py:6, in build");
}
