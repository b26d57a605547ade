//! `danube run` as a user meets it: what it shows, what it exits with.

mod support;

use std::process::{Command, Stdio};

use support::{Project, Ran, binary, pty};

/// A run's last words, from the blank line on, with every duration the same.
fn last_words(ran: &Ran) -> String {
    let (_, words) =
        ran.stdout.split_once("\n\n").unwrap_or_else(|| panic!("no blank line: {}\n{}", ran.stdout, ran.stderr));
    words.to_owned()
}

macro_rules! assert_words {
    ($words:expr, @$expected:literal) => {
        insta::with_settings!({ filters => vec![(r"\d+\.\d s", "0.0 s")] }, { insta::assert_snapshot!($words, @$expected) });
    };
}

mod shown {
    use super::*;

    #[test]
    fn a_pipeline_runs_and_shows_each_step() {
        let project = Project::pipeline("step.run('echo hello', name='greet')\nstep.run(['true'], name='nothing')");
        let ran =
            project.run(&[]).expect(0).says("▶ 1 greet\n").says(" 1│ hello\n").says("✔ 2 nothing").says("✔ success in");
        assert!(ran.stdout.starts_with("test · no Git commit · 1 file\n"), "{}", ran.stdout);
        assert_words!(last_words(&ran), @r"
        Steps
          ✔ 1 greet    0.0 s
          ✔ 2 nothing  0.0 s
        ✔ success in 0.0 s
        ");
    }

    #[test]
    fn a_failing_step_is_shown_again_with_what_to_do_next() {
        let project = Project::pipeline("step.run('echo before; echo the reason; exit 7', name='tests')");
        let ran = project.run(&[]).expect(1).says("✘ 1 tests  exit 7").says("danubefile.py:6, in build");
        assert_words!(last_words(&ran), @r"
        The last lines of step 1 tests:
         1│ before
         1│ the reason

        Steps
          ✘ 1 tests  0.0 s  exit 7
        ✘ failure in 0.0 s: the danubefile failed (script)
          Read the failing step's output above; run again when it is mended.
        ");
    }

    #[test]
    fn each_way_to_end_has_its_mark() {
        let project = Project::pipeline(
            "with step.group('web'):
    step.run('exit 1', check=False, name='optional')
    step.run('test -e again || { touch again; exit 9; }', retries=1, name='flaky')
try:
    step.parallel(step.call('touch up; exec sleep 1000', name='server'), step.call('until [ -e up ]; do :; done; exit 4', name='broken'), limit=2)
except* StepFailed:
    step.run(['no-such-program'], check=False, name='missing')
step.run('kill -11 $$', check=False, name='crash')",
        );
        let ran = project.run(&[]).expect(0);
        let mut words: Vec<String> = last_words(&ran).lines().map(str::to_owned).collect();
        // Which of the two was first is not known.
        words.iter_mut().for_each(|line| *line = line.replace(" 5 ", " 4 "));
        words[4..6].sort();
        assert_words!(words.join("\n"), @r"
        Steps
          ! 1 web › optional            0.0 s  exit 1
          ↻ 2 web › flaky               0.0 s  exit 9
          ✔ 3 web › flaky (try 2 of 2)  0.0 s
          ■ 4 server                    0.0 s  stopped
          ✘ 4 broken                    0.0 s  exit 4
          ! 6 missing                   0.0 s  not started: no-such-program: not found; install it in the image or correct PATH
          ! 7 crash                     0.0 s  exit 139: ended by signal 11 (SIGSEGV)
        ✔ success, 4 steps failed in 0.0 s
        ");
    }

    #[test]
    fn a_failure_without_a_failed_step_points_at_the_danubefile() {
        let ran = Project::pipeline("step.run('true', name='fine')\nraise ValueError('no')").run(&[]).expect(1);
        assert_words!(last_words(&ran), @r"
        Steps
          ✔ 1 fine  0.0 s
        ✘ failure in 0.0 s: the danubefile failed (script)
          Read what the danubefile printed above; run again when it is mended.
        ");
    }

    #[test]
    fn only_the_last_lines_of_much_output_are_shown_again() {
        let ran = Project::pipeline("step.run('seq 1000; exit 1', name='count')").run(&[]).expect(1);
        let words = last_words(&ran);
        assert!(words.contains(" 1│ 981\n") && !words.contains(" 1│ 980\n"), "{words}");
        assert_eq!(ran.stdout.matches(" 1│ 500\n").count(), 1);
    }

    #[test]
    fn names_of_steps_cannot_fake_or_move_anything() {
        let ran = Project::pipeline("step.run('true', name='a\\x1b[2Jb\\x9bc')").run(&[]);
        ran.never_says("\u{1b}").never_says("\u{9b}");
    }
}

mod terminals {
    use super::*;

    const COLORED: &str = "step.run(\"printf '\\\\033[32mgreen\\\\033[0m \\\\033[2Jcleared \\\\033]0;title\\\\007end\\\\n'\", name='paint')";

    #[test]
    fn no_escape_code_reaches_a_file() {
        let ran =
            Ran::of(Project::pipeline(COLORED).command(&[]).env_remove("NO_COLOR").output().expect("danube starts"));
        ran.expect(0).says(" 1│ green cleared end\n").never_says("\u{1b}").never_says("\r");
    }

    #[test]
    fn colours_can_be_had_and_refused() {
        let project = Project::pipeline(COLORED);
        let ran = project.run(&["--color", "always"]).expect(0).says("\u{1b}[32mgreen\u{1b}[0m cleared end\u{1b}[0m\n");
        ran.says("\u{1b}[32m✔\u{1b}[0m").never_says("\u{1b}[2J").never_says("\u{1b}]0");
        let (code, written) = pty::run(&mut project.command(&[]), 80);
        assert!(code == 0 && !written.contains("[32m"), "NO_COLOR counts on a terminal: {written}");
        let (code, written) = pty::run(project.command(&[]).env_remove("NO_COLOR"), 80);
        assert!(code == 0 && written.contains("\u{1b}[32mgreen\u{1b}[0m"), "{written}");
    }

    #[test]
    fn a_terminal_shows_what_takes_long_and_nothing_of_it_stays() {
        let project = Project::pipeline("step.run('sleep 3; echo done', name='slow')");
        let (code, written) = pty::run(&mut project.command(&[]), 80);
        assert_eq!(code, 0, "{written}");
        assert!(written.contains("… 1 slow 1 s") || written.contains("… 1 slow 2 s"), "{written:?}");
        assert!(!pty::screen(&written).contains('…'), "{written:?}");
        let screen = pty::screen(&written);
        assert!(screen.contains("▶ 1 slow\n 1│ done\n✔ 1 slow"), "{screen}");
        project.run(&[]).expect(0).never_says("…");
    }

    #[test]
    fn no_line_of_ours_is_wider_than_the_terminal() {
        let name = "a name that goes on and on ".repeat(3);
        let project =
            Project::pipeline(&format!("step.run('sleep 2', name='{}')\nstep.run('exit 1', name='b')", name.trim()));
        let (code, written) = pty::run(&mut project.command(&[]), 50);
        assert_eq!(code, 1, "{written}");
        let screen = pty::screen(&written);
        let ours = screen.lines().filter(|line| line.contains("a name"));
        assert_eq!(ours.clone().count(), 3, "{screen}");
        ours.for_each(|line| assert!(line.chars().count() <= 50 && line.contains('…'), "{line}"));
        let status = written.split("\r\u{1b}[2K").filter(|part| part.starts_with('…'));
        status.for_each(|line| assert!(line.lines().next().is_some_and(|line| line.chars().count() < 50), "{line}"));
    }
}

mod usage {
    use super::*;

    fn refused(arguments: &[&str]) -> Ran {
        let project = Project::pipeline("step.run('true')");
        let ran = project.run(arguments).expect(2);
        assert_eq!((ran.stdout.as_str(), project.runs().len()), ("", 0), "nothing was begun");
        ran
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        refused(&["--secret", "TOKEN=hunter2hunter2"]).says("NAME=@FILE").never_says("hunter2");
        refused(&["--secret", "SURELY_UNSET_HERE"]).says("SURELY_UNSET_HERE").says("NAME=env:VAR");
        refused(&["--secret", "KEY=@/no/such/file"]).says("/no/such/file");
        refused(&["--secret", "a-b"]).says("`a-b`");
        refused(&["--param", "x"]).says("NAME=VALUE");
        refused(&["--param", "x=1"]).says("`x`");
        refused(&["--image", "node"]).says("NAME=VALUE");
        refused(&["--image", "node:22=Some Where"]).says("node:22=tar:FILE");
        refused(&["--egress", "/no/such/list"]).says("/no/such/list").says("record, deny, or a file");
        refused(&["--egress", "deny", "--network", "host"]).says("--network host");
        refused(&["--colour", "always"]).says("--color");
        refused(&["--color", "pink"]).says("auto");
        refused(&["--resume"]).says("no interrupted run");
        refused(&["--resume", "nonsense"]).says("no interrupted run");
    }

    #[test]
    fn a_bad_line_of_an_allow_list_is_named() {
        let project = Project::pipeline("step.run('true')");
        let list = project.outside("egress.txt");
        std::fs::write(&list, "# comment\nfine.example\nhttps://bad.example/x\n").expect("written");
        let list = list.to_str().expect("text");
        project.run(&["--egress", list]).expect(2).says(&format!("{list}:3")).says("bad.example");
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let mut command = Command::new(binary());
        let ran = Ran::of(command.args(["run", "/no/such/folder"]).output().expect("danube starts"));
        ran.expect(2).says("/no/such/folder").says("hint:");
    }

    #[test]
    fn a_data_directory_that_cannot_be_is_told_with_a_way_out() {
        let project = Project::pipeline("step.run('true')");
        let file = project.outside("file");
        std::fs::write(&file, "").expect("written");
        let ran = project.run(&["--data-dir", file.to_str().expect("text")]);
        assert!([2, 3].contains(&ran.code), "{}", ran.stderr);
        ran.says("--data-dir").says("file");
        let mut homeless = project.command(&[]);
        let ran = Ran::of(
            homeless
                .env_remove("HOME")
                .env_remove("XDG_STATE_HOME")
                .env_remove("DANUBE_DATA_DIR")
                .output()
                .expect("danube"),
        );
        ran.expect(2).says("--data-dir");
    }

    #[test]
    fn version_and_help_are_results() {
        let danube =
            |arguments: &[&str]| Ran::of(Command::new(binary()).args(arguments).output().expect("danube starts"));
        let version = format!("danube {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(danube(&["version"]).expect(0).stdout, version);
        assert_eq!(danube(&["--version"]).expect(0).stdout, version);
        for arguments in [&["--help"][..], &["run", "--help"], &["doctor", "--help"]] {
            assert!(danube(arguments).expect(0).stdout.contains("Usage: danube"));
        }
        assert_eq!(danube(&[]).expect(2).stdout, "");
        assert_eq!(danube(&["rum"]).expect(2).says("run").stdout, "");
    }

    #[test]
    fn a_reader_that_is_gone_is_no_crash() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(binary());
        let status =
            command.arg("version").stdout(writer.try_clone().expect("a handle")).stderr(Stdio::null()).status();
        assert_eq!(status.expect("danube starts").code(), Some(0));
        let status = Command::new(binary()).args(["run", "/no/such/folder"]).stderr(writer).status();
        assert_eq!(status.expect("danube starts").code(), Some(2));
    }
}
