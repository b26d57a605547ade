//! Output of every kind: much, strange, none, and from processes that should long be gone.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use support::{Project, Ran};

fn body(body: &str) -> (Project, Ran) {
    let project = Project::pipeline(body);
    let ran = project.run(&["--json"]);
    (project, ran)
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The most memory a process ever had, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

mod bytes {
    use super::*;

    #[test]
    fn every_byte_is_kept_as_it_was() {
        let script = "python3 -c \"import sys; sys.stdout.buffer.write(bytes(range(256)) * 300)\" > bytes; cat bytes";
        let (project, ran) = body(&format!("step.run('''{script}''')\nstep.run('sha256sum < bytes')"));
        let ran = ran.expect(0);
        let expected: Vec<u8> = (0..=255).cycle().take(256 * 300).collect();
        assert!(project.raw_log(1) == expected, "the raw log has every byte");
        assert_eq!(ran.step(1)["sha256"].as_str(), Some(hash(&expected).as_str()));
        assert_eq!(ran.lines(2, None), [format!("{}  -", hash(&expected))], "the step itself saw the same");
    }

    #[test]
    fn nul_and_broken_utf_8_stay_in_the_log_and_are_readable_in_events() {
        let (project, ran) = body("step.run(r\"printf 'a\\000b\\377c\\n\\303\\n'\")");
        let ran = ran.expect(0);
        assert_eq!(project.raw_log(1), b"a\0b\xffc\n\xc3\n");
        assert_eq!(ran.step(1)["sha256"].as_str(), Some(hash(b"a\0b\xffc\n\xc3\n").as_str()));
        assert_eq!(ran.lines(1, None), ["a\0b\u{fffd}c", "\u{fffd}"]);
    }

    #[test]
    fn a_line_of_ten_megabytes_is_whole_in_the_log() {
        let (project, ran) = body("step.run('head -c 10000000 /dev/zero | tr \"\\\\0\" x; echo; echo end')");
        let ran = ran.expect(0);
        let log = project.raw_log(1);
        assert_eq!(log.len(), 10_000_000 + 5);
        assert!(log[..10_000_000].iter().all(|byte| *byte == b'x') && log.ends_with(b"x\nend\n"));
        assert_eq!(ran.step(1)["sha256"].as_str(), Some(hash(&log).as_str()));
        assert_eq!(ran.lines(1, None).last().map(String::as_str), Some("end"));
        Project::pipeline("step.run('head -c 10000000 /dev/zero | tr \"\\\\0\" x; echo; echo end')")
            .run(&[])
            .expect(0)
            .says("│ end");
    }

    #[test]
    fn output_without_a_line_end_is_shown() {
        let (_project, ran) = body("step.run('printf unfinished')");
        assert_eq!(ran.expect(0).lines(1, None), ["unfinished"]);
        Project::pipeline("step.run('printf unfinished')").run(&[]).expect(0).says("│ unfinished\n");
    }

    #[test]
    fn a_step_that_says_nothing_has_an_empty_log() {
        let (project, ran) = body("step.run('sleep 2')\nstep.run(['true'])");
        let ran = ran.expect(0);
        assert_eq!((project.raw_log(1), project.raw_log(2)), (vec![], vec![]));
        assert_eq!(
            (ran.step(1)["bytes"].as_u64(), ran.step(1)["sha256"].as_str()),
            (Some(0), Some(hash(b"").as_str()))
        );
    }

    #[test]
    #[ignore = "takes minutes without optimisation: checks/run runs it in a release build"]
    fn a_gigabyte_arrives_whole() {
        const LINE: &str = "a line of output that is as long as a line of a compiler usually is: src/main.rs:12:34";
        let lines = (1 << 30) / (LINE.len() + 1);
        let expected = Command::new("sh").args(["-c", &format!("yes '{LINE}' | head -n {lines} | sha256sum")]).output();
        let expected = String::from_utf8(expected.expect("sh").stdout).expect("text");
        let project = Project::pipeline(&format!("step.run('yes \"{LINE}\" | head -n {lines}', errexit=True)"));
        let status = project.command(&[]).stdout(Stdio::null()).status().expect("danube starts");
        assert_eq!(status.code(), Some(0));
        let mut log = fs::File::open(project.raw_log_path(1)).expect("the log");
        let mut sha256 = Sha256::new();
        let mut block = vec![0; 1 << 20];
        loop {
            match log.read(&mut block).expect("the log") {
                0 => break,
                read => sha256.update(&block[..read]),
            }
        }
        assert_eq!(Some(hex::encode(sha256.finalize()).as_str()), expected.split(' ').next());
    }
}

mod ends {
    use super::*;

    #[test]
    fn a_background_child_that_keeps_the_pipe_ends_with_its_step() {
        let (_project, ran) =
            body("step.run('sleep 1d & echo $! > pid; echo started')\nstep.run('! kill -0 $(cat pid) 2>/dev/null')");
        assert_eq!(ran.expect(0).lines(1, None), ["started"]);
    }

    #[test]
    fn a_daemon_that_forked_away_ends_with_its_step() {
        let daemon = "(setsid sh -c 'trap \"\" TERM HUP; echo $$ > pid; exec sleep 1d' </dev/null >/dev/null 2>&1 &) ; until [ -s pid ]; do :; done";
        let (_project, ran) = body(&format!(
            "step.run('''{daemon}''')\nstep.run('! kill -0 $(cat pid) 2>/dev/null && ! pgrep -x sleep')"
        ));
        ran.expect(0);
    }

    #[test]
    fn an_exit_code_of_137_is_told_from_a_kill() {
        let (_project, ran) = body(
            "assert step.run('exit 137', check=False).exit_code == 137
assert step.run('kill -9 $$', check=False).exit_code == 137
assert step.run('kill -11 $$', check=False).exit_code == 139",
        );
        let ran = ran.expect(0);
        assert_eq!(ran.step(1)["message"].as_str(), None);
        assert_eq!(ran.step(2)["message"].as_str(), Some("ended by signal 9 (SIGKILL)"));
        assert_eq!(ran.step(3)["message"].as_str(), Some("ended by signal 11 (SIGSEGV)"));
    }

    #[test]
    fn a_step_that_closes_its_output_early_still_counts_by_its_exit_code() {
        let (_project, ran) =
            body("step.run('echo before; exec >&- 2>&-; until [ -e go ]; do touch go; done; exit 5')");
        let ran = ran.expect(1);
        assert_eq!((ran.lines(1, None), ran.step(1)["exit_code"].as_i64()), (vec!["before".to_owned()], Some(5)));
    }

    #[test]
    fn a_step_that_kills_everything_it_can_ends_only_itself() {
        let (_project, ran) = body("step.run('kill -9 -1; kill -9 1; echo alive', check=False)\nstep.run('echo next')");
        assert_eq!(ran.expect(0).lines(2, None), ["next"]);
    }

    #[test]
    fn a_fork_bomb_meets_a_limit_and_the_run_ends() {
        let bomb = "bomb() { bomb | bomb & }; bomb; sleep 1000";
        let (_project, ran) = body(&format!(
            "try:
    step.run('{bomb}', timeout=3, name='bomb')
except StepFailed:
    pass
step.run('echo alive')"
        ));
        let ran = ran.expect(0);
        assert_eq!(ran.lines(2, None), ["alive"]);
    }
}

mod memory {
    use super::*;

    const HUNGRY: &str = "from danube import *
@pipeline(memory='64Mi')
def build():
    step.run('head -c 200000000 /dev/zero | tail -c 150000000 > /dev/null', name='hungry')
";

    #[test]
    fn a_step_that_needs_too_much_memory_is_told_so() {
        let project = Project::new(HUNGRY);
        let ran = project.run(&["--json"]);
        if ran.code == 0 {
            println!("skipped: this machine sets no memory limits");
            return;
        }
        let ran = ran.expect(1);
        let message = ran.step(1)["message"].as_str().unwrap_or_default().to_owned();
        assert!(
            message.contains("worker ran out of memory: limit 64 MiB, peak ") && message.contains("memory="),
            "{message}"
        );
        assert_eq!(ran.job()["reason"]["kind"], "oom", "{}", ran.stdout);
    }

    #[test]
    fn a_reader_that_stops_costs_no_memory_and_stops_no_job() {
        let project = Project::pipeline("step.run('yes 0123456789abcdef | head -c 50M')");
        let mut child = project.start(&[]);
        let raw = || project.runs().pop().map(|_| project.raw_log_path(1)).and_then(|path| fs::metadata(path).ok());
        // Nobody reads the output; the log on the disk is complete all the same.
        while raw().is_none_or(|meta| meta.len() < 50 << 20) {
            assert!(child.try_wait().expect("its state").is_none(), "it ended without a reader");
        }
        let peak = peak_memory(child.id());
        assert!(peak < 60 << 10, "{peak} KiB");
        let mut all = Vec::new();
        child.stdout.take().expect("its output").read_to_end(&mut all).expect("its output");
        assert!(child.wait().expect("its end").success());
        assert!(all.len() > 50 << 20, "the reader gets everything when it goes on");
    }
}

mod readers {
    use super::*;

    #[test]
    fn a_reader_that_leaves_changes_nothing_about_the_job() {
        for (script, code) in [("seq 100000", 0), ("seq 100000; exit 3", 1)] {
            for arguments in [&[][..], &["--json"]] {
                let project = Project::pipeline(&format!("step.run('{script}')"));
                let mut child = project.start(arguments);
                // As `| head -1` does.
                let mut first = [0; 1];
                let mut stdout = child.stdout.take().expect("its output");
                stdout.read_exact(&mut first).expect("a first byte");
                drop(stdout);
                assert_eq!(child.wait().expect("its end").code(), Some(code), "{script} {arguments:?}");
                assert_eq!(project.raw_log(1).len(), 588_895, "the log is whole");
            }
        }
    }

    #[test]
    fn nobody_listening_to_either_output_is_fine() {
        let project = Project::pipeline("step.run('seq 1000; exit 3')");
        let mut child = project.start(&[]);
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().expect("its end").code(), Some(1));
    }

    /// Of what is logged for want of anything better, a line comes rarely, and always at the wrong moment.
    #[test]
    fn logs_that_nobody_can_read_end_no_run() {
        let project = Project::pipeline("step.run('seq 1000; exit 3')");
        let mut child = project.command(&[]).env("DANUBE_LOG", "debug").spawn().expect("danube starts");
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().expect("its end").code(), Some(1));
    }

    #[test]
    fn a_cancel_without_a_reader_ends_the_run() {
        let project = Project::pipeline("step.run('echo working; exec sleep 1000', name='long')");
        let mut child = project.start(&[]);
        let mut stdout = BufReader::new(child.stdout.take().expect("its output")).lines();
        stdout
            .find(|line| line.as_ref().is_ok_and(|line| line.ends_with("working")))
            .expect("the step runs")
            .expect("text");
        drop((stdout, child.stderr.take()));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::INT).expect("it runs");
        assert_eq!(child.wait().expect("its end").code(), Some(130));
    }
}
