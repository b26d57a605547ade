//! What people write into a danubefile, right and wrong, and how the run ends for it.

mod support;

use std::collections::BTreeSet;

use support::{Project, Ran};

/// Runs a danubefile and reads its events.
fn events(danubefile: &str) -> (Project, Ran) {
    let project = Project::new(danubefile);
    let ran = project.run(&["--json"]);
    (project, ran)
}

/// Runs a pipeline's body and reads its events.
fn body(body: &str) -> Ran {
    Project::pipeline(body).run(&["--json"])
}

mod unreadable {
    use super::*;

    #[test]
    fn a_typing_error_is_shown_with_its_place_and_nothing_is_started() {
        let project = Project::new("from danube import *\n\n@pipeline\ndef build():\n    step.run('a'\n    x = = 1\n");
        project.run(&[]).expect(2).says("danubefile.py:").says("^").never_says("Traceback").never_says("▶");
        assert_eq!(project.runs().len(), 0, "nothing was made");
    }

    #[test]
    fn two_pipelines_in_one_file_are_refused_with_both_places() {
        let two =
            "from danube import *\n@pipeline\ndef one(): step.run('true')\n@pipeline\ndef two(): step.run('true')\n";
        Project::new(two).run(&[]).expect(2).says("danubefile.py:").says("2").says("4");
    }

    #[test]
    fn metadata_must_be_literal() {
        let computed = "from danube import *\nLIMIT = '1h'\n@pipeline(timeout=LIMIT)\ndef build(): step.run('true')\n";
        Project::new(computed).run(&[]).expect(2).says("danubefile.py:3:19").says("literal").says("^^^^^");
    }

    #[test]
    fn a_file_without_a_pipeline_is_refused() {
        Project::new("from danube import *\nstep.run('true')\n").run(&[]).expect(2).says("@pipeline");
    }

    #[test]
    fn a_missing_file_is_named_with_what_a_danubefile_is() {
        let project = Project::empty();
        project.run(&[]).expect(2).says("danubefile.py").says("hint:");
        project.run(&["--file", "ci/other.py"]).expect(2).says("ci/other.py");
        project.run(&["--file", "../other.py"]).expect(2).says("within DIR");
    }

    #[test]
    fn what_only_python_itself_finds_wrong_is_the_configuration_too() {
        // The file can be read, but the function's module level fails to compile on the Python that runs it.
        let (_project, ran) = events("from danube import *\nreturn\n@pipeline\ndef build(): step.run('true')\n");
        ran.expect(2);
    }
}

mod readable {
    use super::*;

    #[test]
    fn windows_line_ends_and_a_byte_order_mark_do_no_harm() {
        let text = "from danube import *\n\n@pipeline\ndef build():\n    step.run('echo one\\necho two')\n";
        for danubefile in
            [text.replace('\n', "\r\n"), format!("\u{feff}{text}"), format!("\u{feff}{text}").replace('\n', "\r\n")]
        {
            let (_project, ran) = events(&danubefile);
            assert_eq!(ran.expect(0).lines(1, None), ["one", "two"]);
        }
    }

    #[test]
    fn a_script_with_windows_line_ends_runs_as_written_in_the_file() {
        let text =
            "from danube import *\n\n@pipeline\ndef build():\n    step.run('''\n    echo one\n    echo two\n    ''')\n";
        let (_project, ran) = events(&text.replace('\n', "\r\n"));
        assert_eq!(ran.expect(0).lines(1, None), ["one", "two"]);
    }
}

mod endings {
    use super::*;

    #[test]
    fn an_exception_shows_the_frames_of_the_user_only() {
        let project = Project::new(
            "from danube import *\nimport helper\n@pipeline\ndef build():\n    step.run('true')\n    helper.work()\n",
        );
        project.write("helper.py", "def work():\n    raise ValueError('no luck today')\n");
        let ran = project.run(&[]).expect(1).says("danubefile.py:6, in build").says("helper.py:2, in work");
        ran.says("ValueError: no luck today").never_says("_runner").never_says("danube-runner").never_says("/danube/");
    }

    #[test]
    fn sys_exit_is_no_success_and_its_number_is_not_ours() {
        let ran = Project::pipeline("import sys\nstep.run('true')\nsys.exit(3)").run(&[]).expect(1);
        ran.says("the danubefile called sys.exit(3) at danubefile.py:8, in build");
        body("import sys\nstep.run('true')\nsys.exit(0)").expect(0);
    }

    #[test]
    fn leaving_by_the_back_door_while_a_step_runs_is_never_success() {
        let ran = body(
            "import os, threading
threading.Thread(target=lambda: step.run('touch up; exec sleep 1000')).start()
while not os.path.exists('up'): pass
os._exit(0)",
        );
        ran.expect(1).because("steps_abandoned").says("while 1 step still ran");
    }

    #[test]
    fn leaving_by_the_back_door_before_any_step_is_no_success_either() {
        body("import os\nos._exit(0)").expect(1).because("no_steps");
    }

    #[test]
    fn claiming_any_of_the_runners_own_codes_is_never_success() {
        for code in [1, 2, 10, 11, 12, 124, 130, 137] {
            let ran = body(&format!("import os\nstep.run('true')\nos._exit({code})"));
            assert!(ran.code != 0 && ran.code != 130 && ran.code != 4, "{code} gave {}\n{}", ran.code, ran.stdout);
        }
    }

    #[test]
    fn a_pipeline_without_a_step_did_nothing_and_says_so() {
        let ran = Project::pipeline("print('hello')").run(&[]).expect(1).says("hello");
        ran.says("without starting a step").says("Call step.run");
    }

    #[test]
    fn a_step_left_in_a_thread_is_stopped_and_is_no_success() {
        let ran = body(
            "import os, threading
threading.Thread(target=lambda: step.run('touch up; exec sleep 1000', name='server'), daemon=True).start()
while not os.path.exists('up'): pass",
        );
        let ran = ran.expect(1).because("steps_abandoned");
        assert!(ran.lines(0, None).join("\n").contains("`server`"), "{}", ran.stdout);
        assert_ne!(ran.step(1)["cause"], "exited", "{}", ran.stdout);
    }

    #[test]
    fn an_endless_loop_meets_the_timeout() {
        let (_project, ran) =
            events("from danube import *\n@pipeline(timeout='1s')\ndef build():\n    while True: pass\n");
        let ran = ran.expect(4).because("timeout");
        assert_eq!(ran.job()["status"], "timeout");
    }

    #[test]
    fn whoever_catches_the_timeout_is_killed_when_the_cleanup_time_is_over() {
        let stubborn = "from danube import *
@pipeline(timeout='1s', cleanup_timeout='1s')
def build():
    while True:
        try:
            step.run('sleep 1000')
        except BaseException as error:
            print(type(error).__name__, flush=True)
";
        let (_project, ran) = events(stubborn);
        let ran = ran.expect(4).because("timeout");
        assert!(ran.lines(0, None).contains(&"JobTimeout".to_owned()), "{}", ran.stdout);
    }

    #[test]
    fn cleanup_after_the_timeout_may_run_steps() {
        let careful = "from danube import *
@pipeline(timeout='1s')
def build():
    try:
        step.run('sleep 1000', name='long')
    finally:
        step.run('echo swept', name='sweep')
";
        let (_project, ran) = events(careful);
        let ran = ran.expect(4).because("timeout");
        assert_eq!(ran.lines(2, None), ["swept"]);
    }
}

mod failures {
    use super::*;

    #[test]
    fn failures_that_do_not_count_are_counted() {
        let pipeline = "step.run('exit 3', check=False)\nstep.run('exit 4', check=False)\nstep.run('true')";
        Project::pipeline(pipeline).run(&[]).expect(0).says("✔ success, 2 steps failed").says("exit 3").says("exit 4");
    }

    #[test]
    fn a_step_is_tried_again_and_each_try_has_its_own_log() {
        let ran = body(
            "r = step.run('echo x >> tries; wc -l < tries; test $(wc -l < tries) = 3', retries=5, name='flaky')
assert r.attempts == 3, r",
        );
        let ran = ran.expect(0);
        assert_eq!(ran.names(), ["flaky", "flaky (try 2 of 6)", "flaky (try 3 of 6)"]);
        for (step, line) in [(1, "1"), (2, "2"), (3, "3")] {
            assert_eq!(ran.lines(step, None), [line]);
        }
    }

    #[test]
    fn a_timeout_of_a_step_is_a_failure_of_the_script() {
        let ran = body("step.run('sleep 1000', timeout=1, name='slow')").expect(1).because("script");
        assert_eq!(ran.step(1)["cause"], "timed_out");
        body("try:\n    step.run('sleep 1000', timeout=1)\nexcept StepTimeout:\n    step.run('true')").expect(0);
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let ran = body("step.run('true', cwd='no/such/folder')").expect(1);
        assert!(ran.step(1)["message"].as_str().is_some_and(|m| m.contains("no/such/folder")), "{}", ran.stdout);
        let ran = body("r = step.run(['no-such-program'], check=False)\nassert r.exit_code == 127, r").expect(0);
        assert!(ran.step(1)["message"].as_str().is_some_and(|m| m.contains("no-such-program")), "{}", ran.stdout);
        let ran = body("r = step.run('no-such-program', check=False)\nassert r.exit_code == 127, r");
        assert_eq!(ran.expect(0).step(1)["exit_code"], 127);
        let ran = body("r = step.run(['/etc/passwd'], check=False)\nassert r.exit_code == 126, r").expect(0);
        assert!(ran.step(1)["message"].as_str().is_some_and(|m| m.contains("/etc/passwd")), "{}", ran.stdout);
    }

    #[test]
    fn wrong_arguments_are_told_before_anything_runs() {
        for (call, words) in [
            ("step.run('')", "command"),
            ("step.run([])", "command"),
            ("step.run('true', timeout='soon')", "timeout"),
            ("step.run('true', memory='512' + 'm')", "memory"),
            ("step.run('true', secrets=['NOPE'])", "NOPE"),
        ] {
            let ran = body(call).expect(1);
            assert!(ran.lines(0, None).join("\n").contains(words), "{call}\n{}", ran.stdout);
        }
        // What stands there literally is told even before that.
        body("step.run('true', memory='512m')").expect(2).says("danubefile.py:6:29");
    }
}

mod steps {
    use super::*;

    #[test]
    fn a_hundred_parallel_steps_each_run_once_and_keep_their_logs_apart() {
        let ran = body(
            "def one(n):
    step.run(f'echo {n} >> witness; i=0; while [ $i -lt 50 ]; do echo {n}-$i; i=$((i+1)); done', name=f'step {n}')
step.parallel(*[lambda n=n: one(n) for n in range(100)])
step.run('cat witness', name='witness')",
        );
        let ran = ran.expect(0);
        assert_eq!(ran.names().len(), 101);
        let witness: Vec<String> = ran.lines(101, None);
        assert_eq!(witness.len(), 100, "each ran once");
        assert_eq!(witness.iter().collect::<BTreeSet<_>>().len(), 100);
        for (at, name) in ran.names().iter().enumerate().take(100) {
            let n = name.strip_prefix("step ").expect("its name");
            let expected: Vec<String> = (0..50).map(|i| format!("{n}-{i}")).collect();
            assert_eq!(ran.lines(at as u64 + 1, None), expected, "{name}");
        }
    }

    #[test]
    fn the_first_failure_of_many_stops_the_others_and_is_the_one_that_is_told() {
        let ran = body(
            "step.parallel(step.call('exec sleep 1000', name='slow'),
              step.call('until [ -e go ]; do :; done; exit 5', name='broken'), lambda: step.run('touch go'))",
        );
        let ran = ran.expect(1).because("script");
        let of = |name: &str| {
            let at = ran.names().iter().position(|found| found == name).expect("it was started");
            ran.step(at + 1)
        };
        assert_eq!(of("slow")["cause"], "stopped");
        assert_eq!((of("broken")["cause"].as_str(), of("broken")["exit_code"].as_i64()), (Some("exited"), Some(5)));
    }

    #[test]
    fn groups_stand_before_the_names() {
        let ran =
            body("with step.group('web'):\n    with step.group('assets'):\n        step.run('true', name='build')");
        assert_eq!(ran.expect(0).names(), ["web › assets › build"]);
    }

    #[test]
    fn output_can_be_captured_with_its_streams_apart() {
        let capture = "r = step.run('echo out; echo err >&2', capture=True)
assert (r.stdout, r.stderr) == ('out\\n', 'err\\n'), r
r = step.run('head -c 1048576 /dev/zero | tr \"\\\\0\" x', capture=True)
assert len(r.stdout) == 1048576, len(r.stdout)
try:
    step.run('head -c 1048577 /dev/zero | tr \"\\\\0\" x', capture=True)
except CaptureTooLarge as error:
    assert len(error.result.stdout) == 1048576, len(error.result.stdout)
else:
    raise AssertionError('captured more than can be')
r = step.run('printf \"\\\\377\"', capture=True)
assert r.stdout == chr(0xfffd), r";
        body(capture).expect(0);
    }

    #[test]
    fn stderr_is_merged_in_order_unless_asked_for_apart() {
        let ran = body(
            "step.run('echo 1; echo 2 >&2; echo 3; echo 4 >&2')\nstep.run('echo 1; echo 2 >&2', stderr='separate')",
        );
        let ran = ran.expect(0);
        assert_eq!(ran.lines(1, None), ["1", "2", "3", "4"]);
        assert_eq!(ran.lines(2, Some("stdout")), ["1"]);
        assert_eq!(ran.lines(2, Some("stderr")), ["2"]);
    }

    #[test]
    fn a_terminal_is_given_only_when_asked_for() {
        let ran = body(
            "step.run('test -t 1 && test -t 2 && stty size < /dev/tty', tty=True)\nstep.run('! test -t 0 && ! test -t 1 && ! test -t 2')",
        );
        ran.expect(0);
    }

    #[test]
    fn a_terminal_says_what_it_is_unless_the_step_does() {
        body(
            "step.run('test \"$TERM\" = xterm-256color', tty=True)\nstep.run('test \"$TERM\" = dumb', tty=True, env={'TERM': 'dumb'})",
        )
        .expect(0);
    }

    #[test]
    fn who_reads_stdin_finds_its_end_with_a_terminal_or_without() {
        let read = "if read line; then exit 1; fi; test -z \"$line\"; test \"$(cat | wc -c)\" -eq 0";
        body(&format!("step.run('{read}')\nstep.run('{read}', tty=True)")).expect(0);
    }

    #[test]
    fn a_working_directory_does_not_leave_the_workspace() {
        let ran = body(
            "step.run('mkdir -p a/b')\nstep.run('pwd', cwd='a/../a/b')\nstep.run('pwd', cwd='/tmp')\nstep.run('pwd', cwd='../..')",
        );
        let ran = ran.expect(1);
        assert_eq!(
            (ran.lines(2, None), ran.lines(3, None)),
            (vec!["/workspace/a/b".to_owned()], vec!["/tmp".to_owned()])
        );
        let words = ran.lines(0, None).pop().expect("a traceback");
        assert!(words.contains("UsageError: cwd='../..' leaves the workspace"), "{words}");
    }

    #[test]
    fn a_script_of_five_megabytes_runs() {
        let ran =
            body("step.run(': ' + 'x' * 100 + '\\n' + ('#' * 99 + '\\n') * 50000 + 'echo the end', name='large')");
        assert_eq!(ran.expect(0).lines(1, None), ["the end"]);
    }

    #[test]
    fn each_step_is_a_shell_of_its_own() {
        body("step.run('cd /tmp; export A=1')\nstep.run('test \"$PWD\" = /workspace && test -z \"${A-}\"')").expect(0);
        let ran = body("step.run('false; echo unreached')").expect(1);
        assert_eq!(ran.lines(1, None), Vec::<String>::new());
        let ran = body("step.run('false; echo reached', errexit=False)").expect(0);
        assert_eq!(ran.lines(1, None), ["reached"]);
        body("step.run('[[ a == a ]]; set -o pipefail', shell='bash')").expect(0);
        body("step.run('test \"$CI\" = true && test \"$DANUBE\" = true && test \"$X\" = \"a b\"', env={'X': 'a b'})")
            .expect(0);
    }
}

mod context {
    use super::*;

    #[test]
    fn outside_of_git_there_is_no_branch_and_no_commit() {
        body(
            "assert (ctx.branch, ctx.commit_sha, ctx.tag) == (None, None, None), ctx
assert (ctx.pipeline, ctx.trigger_type, ctx.attempt) == ('test', 'manual', 1), ctx
assert str(ctx.workspace) == '/workspace', ctx
step.run(['test', '-n', ctx.job_id])",
        )
        .expect(0);
    }

    #[test]
    fn parameters_arrive_with_their_types() {
        let danubefile = "from danube import *
@pipeline(params={'env': {'default': 'staging', 'choices': ['staging', 'prod']}, 'count': 3, 'fast': False, 'who': {'type': 'string'}})
def build(env, count=3):
    assert (env, count) == ('prod', 5), (env, count)
    assert dict(ctx.params) == {'env': 'prod', 'count': 5, 'fast': True, 'who': 'me=you'}, ctx.params
    step.run('true')
";
        let project = Project::new(danubefile);
        let all = ["--param", "env=prod", "--param", "count=5", "--param", "fast=true", "--param", "who=me=you"];
        project.run(&all).expect(0);
        project.run(&[]).expect(2).says("who");
        project.run(&[&all[..6], &["--param", "who=x", "--param", "env=moon"]].concat()).expect(2).says("env");
        project.run(&["--param", "who=x", "--param", "count=many"]).expect(2).says("count");
        project.run(&["--param", "who=x", "--param", "typo=1"]).expect(2).says("typo");
    }

    #[test]
    fn modules_of_the_repository_can_be_imported() {
        let project =
            Project::pipeline("import sys\nfrom ci.tools import answer\nassert answer() == 42\nstep.run('true')");
        project.write("ci/__init__.py", "");
        project.write("ci/tools.py", "def answer():\n    return 42\n");
        project.run(&["--json"]).expect(0);
    }

    #[test]
    fn nothing_that_a_step_plants_is_ever_imported_by_the_danubefile() {
        let project = Project::pipeline(
            "for name in ('_strptime', 'sitecustomize', 'usercustomize', 'colorsys', 'late'):
    step.run(f'echo \"raise SystemExit(open(\\'/workspace/pwned\\', \\'w\\').close())\" > {name}.py', name=name)
step.run('mkdir -p danube && cp late.py danube/__init__.py && cp late.py danube/step.py && echo import late > evil.pth')
import datetime, colorsys
datetime.datetime.strptime('2020', '%Y')
try:
    import late
except ImportError:
    pass
step.run('test ! -e pwned')",
        );
        project.run(&["--json"]).expect(0);
    }
}
