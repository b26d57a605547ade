//! What stays after a run: a workspace that was asked for, and what a killed run left, until it is taken away.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use support::{Project, Ran, git};

fn kept(ran: &Ran) -> PathBuf {
    PathBuf::from(ran.job()["workspace"].as_str().unwrap_or_else(|| panic!("no workspace: {}", ran.stdout)))
}

fn assert_own(path: &Path) {
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(fs::symlink_metadata(path).expect("there").uid(), own, "{}", path.display());
}

#[test]
fn a_kept_workspace_is_the_callers_to_read_and_remove() {
    for isolation in ["namespaces", "none"] {
        let project = Project::pipeline(
            "step.run('mkdir -p closed/deep; echo made > closed/deep/file; ln closed/deep/file hard; ln -s /etc/hostname link')
step.run('chmod 4700 hard; chmod 0 closed')",
        );
        git::commit(&project, "the first");
        let ran = project.run(&["--json", "--keep", "--isolation", isolation]).expect(0);
        let dir = kept(&ran);
        for name in ["", "closed", "closed/deep/file", "hard", "link", "danubefile.py"] {
            assert_own(&dir.join(name));
        }
        assert_eq!(fs::read_to_string(dir.join("closed/deep/file")).expect("readable"), "made\n");
        assert_eq!(fs::metadata(dir.join("hard")).expect("there").mode() & 0o6000, 0, "no set-user-id of the caller's");
        let mut log = std::process::Command::new("git");
        let log = log.arg("-C").arg(&dir).args(["log", "--format=%s"]).output().expect("git");
        assert_eq!(String::from_utf8_lossy(&log.stdout), "the first\n", "Git works where the workspace is now");
        project.assert_no_traces();
        fs::remove_dir_all(&dir).expect("removable");
    }
}

#[test]
fn a_kept_workspace_is_said_and_outlives_later_runs() {
    let project = Project::pipeline("step.run('echo made > file')");
    let ran = project.run(&["--keep"]).expect(0).says("rm -rf ");
    let (_, dir) = ran.stdout.trim_end().rsplit_once("rm -rf ").expect("said last");
    for _ in 0..11 {
        project.run(&[]).expect(0);
    }
    assert_eq!(fs::read_to_string(Path::new(dir).join("file")).expect("kept"), "made\n");
    let failing = Project::pipeline("step.run('echo made > file; exit 1')");
    let ran = failing.run(&["--keep", "--json"]).expect(1);
    assert!(kept(&ran).join("file").exists(), "most wanted when something failed");
}

#[test]
fn an_interrupted_run_goes_after_a_day() {
    let project = Project::pipeline("step.run('mkdir -p closed; touch closed/file; echo working; exec sleep 1000')");
    let mut run = project.watch(&[]);
    run.until_line("working").signal(Signal::KILL);
    run.end();
    let interrupted = project.runs();
    let monitor = fs::read_to_string(project.groups()[0].join("monitor.pid")).expect("a monitor");
    let monitor = Pid::from_raw(monitor.trim().parse().expect("a number")).expect("an id");
    kill_process(monitor, Signal::KILL).expect("it runs");
    while !project.processes().is_empty() {}

    project.write("danubefile.py", "from danube import *\n@pipeline\ndef build():\n    step.run('true')\n");
    project.run(&[]).expect(0).says("--resume").never_says("removed");
    assert!(interrupted[0].exists(), "it is not a day old");

    let days_ago = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
    for entry in fs::read_dir(&interrupted[0]).expect("the run").flatten() {
        File::open(entry.path()).and_then(|file| file.set_modified(days_ago)).expect("its time");
    }
    project.run(&[]).expect(0).says("note: 1 interrupted run of more than a day ago removed");
    assert!(!interrupted[0].exists());
}
