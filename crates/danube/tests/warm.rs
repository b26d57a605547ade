//! A job whose surroundings were started ahead is as any other, and so is `kill -9` at any point of handing them out.
#![cfg(feature = "failpoints")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use danube_sandbox::failpoint::SPARE_FAILPOINTS;
use serde_json::Value;
use support::Project;
use support::dev::{Dev, wait};
use support::processes::{one_stands, spares};

/// What the runner and a step see of themselves, and what must not depend on when they were started.
const FACTS: &str = r#"import os, sys, signal, time
def told(*words): print(*words, flush=True)
told('cwd', os.getcwd(), 'stdin', os.read(0, 1), os.readlink('/proc/self/fd/0'))
told('env', {name: value for name, value in sorted(os.environ.items()) if name != 'DANUBE_STEP_ID'})
told('path', sys.path, 'flags', sys.flags, 'argv', sys.argv)
told('open', sorted(os.readlink('/proc/self/fd/' + fd).split(':')[0] for fd in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + fd)))
told('umask', oct(os.umask(0o22)), 'session', os.getsid(0) == os.getpid(), 'ids', os.getresuid(), os.getresgid(), sorted(os.getgroups()))
for line in open('/proc/self/status'):
    if line.startswith(('Sig', 'Shd', 'Cap', 'NoNew', 'Seccomp', 'Uid', 'Gid', 'Groups')): told(line.strip().replace('SigQ', ''))
told(open('/proc/self/limits').read(), open('/proc/self/oom_score_adj').read())
told(sorted(line.split()[4] + ' ' + line.split()[5] for line in open('/proc/self/mountinfo')))
told(sorted(os.listdir('/danube')), sorted(os.listdir('/danube/src')), sorted(os.listdir('/workspace')))
import helper
told(helper.WORD, helper.__file__)
step.run('id; env | grep -v STEP_ID | sort; pwd; grep -E "Cap|Sec|NoNew|Sig[BIC]" /proc/self/status; cut -d" " -f5,6 /proc/self/mountinfo | sort; cat /proc/self/limits; ls -la /workspace | cut -c1-10; git log --format=%s', name='step')
"#;

fn project() -> Project {
    let project = Project::pipeline(FACTS);
    project.write("helper.py", "WORD = 'helped'\n");
    support::git::commit(&project, "first");
    project
}

/// The control groups that it was given.
fn cgroups_of(spare: &Path) -> Vec<PathBuf> {
    let traces = fs::read(spare.join("traces.json")).expect("its traces");
    let traces: Value = serde_json::from_slice(&traces).expect("JSON");
    let paths = traces["cgroups"].as_array().expect("cgroups").iter();
    paths.map(|path| PathBuf::from(path.as_str().expect("a path"))).collect()
}

fn run(dev: &Dev) -> Value {
    let job = dev.post("/pipelines/test/jobs", "", 201);
    dev.end(job["id"].as_str().expect("an id"))
}

/// The logs of the runner and of the step, without what is each job's own.
fn logs(dev: &Dev, job: &Value) -> Vec<String> {
    assert_eq!(job["status"], "success", "{job}");
    let id = job["id"].as_str().expect("an id");
    let log = |number| dev.get(&format!("/jobs/{id}/steps/{number}/raw")).as_str().expect("a log").replace(id, "JOB");
    let logs = format!("{}{}", log(0), log(1));
    // Signals that wait at the moment are no property.
    logs.lines().filter(|line| !line.starts_with('\t')).map(str::to_owned).collect()
}

#[test]
fn a_job_that_was_got_ready_for_sees_what_any_other_sees() {
    let project = project();
    let dev = Dev::start(&project, &["--no-run", "--warm", "0"]);
    let cold = run(&dev);
    let expected = logs(&dev, &cold);
    assert!(expected.iter().any(|line| line.contains("helped")), "{expected:#?}");
    assert_eq!(spares(&project), Vec::<PathBuf>::new(), "none is wanted");
    dev.stop().expect(0);

    let dev = Dev::start(&project, &["--no-run"]);
    // The first one has no worker; those after it are like the job before.
    let mut cgroups = Vec::new();
    for _ in 0..3 {
        let spare = one_stands(&project);
        cgroups.extend(cgroups_of(&spare));
        let warm = run(&dev);
        assert!(!spare.exists(), "it was used");
        let found = logs(&dev, &warm);
        let differ: Vec<_> = expected.iter().zip(&found).filter(|(cold, warm)| cold != warm).collect();
        assert!(differ.is_empty() && expected.len() == found.len(), "{differ:#?}");
    }
    one_stands(&project);
    dev.stop().expect(0);
    assert_eq!(spares(&project), Vec::<PathBuf>::new());
    assert!(!cgroups.iter().any(|dir| dir.exists()), "control groups are left: {cgroups:?}");
    project.assert_no_traces();
}

/// What waits for a job ends with the master, and the next start removes what is left of it.
#[test]
fn a_killed_master_leaves_nothing_that_waits() {
    let project = project();
    let dev = Dev::start(&project, &["--no-run"]);
    let cgroups = cgroups_of(&one_stands(&project));
    dev.kill();
    wait(|| project.processes().is_empty().then_some(())).expect("they end by themselves");
    let dev = Dev::start(&project, &["--no-run", "--warm", "0"]);
    assert_eq!(spares(&project), Vec::<PathBuf>::new());
    assert!(!cgroups.iter().any(|dir| dir.exists()), "control groups are left: {cgroups:?}");
    dev.stop().expect(0);
    project.assert_no_traces();
}

#[test]
fn killed_while_it_hands_one_out_a_job_is_as_if_nothing_had_been() {
    for point in SPARE_FAILPOINTS {
        let project = Project::pipeline("step.run('echo once >> marks; cat marks', name='marks')\n");
        let mut command = Dev::command(&project, &["--no-run"]);
        command.env("DANUBE_FAILPOINT", point).stdout(std::process::Stdio::null());
        let dev = Dev::of(&project, command);
        one_stands(&project);
        let job = dev.post("/pipelines/test/jobs", "", 201);
        let job = job["id"].as_str().expect("an id").to_owned();
        wait(|| dev.ask("GET", "/jobs", "").is_err().then_some(())).unwrap_or_else(|| panic!("{point} was not passed"));
        assert_eq!(dev.wait().code, -1, "{point}");
        let dev = Dev::start(&project, &["--no-run", "--warm", "0"]);
        let ended = dev.end(&job);
        assert_eq!(
            (&ended["status"], ended["attempts"].as_array().map_or(0, Vec::len)),
            (&"success".into(), 1),
            "{point}: {ended}"
        );
        assert_eq!(dev.get(&format!("/jobs/{job}/steps/1/raw")), "once\n", "{point}");
        assert_eq!(spares(&project), Vec::<PathBuf>::new(), "{point}");
        dev.stop().expect(0);
        project.assert_no_traces();
    }
}
