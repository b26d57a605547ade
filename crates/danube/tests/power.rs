//! The power is cut under a master at any moment: every process is gone at once, and of the data directory there is what
//! was synced. No job that was acknowledged is lost, no end that was told changes, and a success is whole.
//!
//! `DANUBE_KILL_ROUNDS=n` for more cuts, `DANUBE_SEED=n` for the same ones again.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{scope, sleep};
use std::time::Duration;

use serde_json::Value;
use support::dev::{Dev, wait};
use support::preload::{Lost, Preload};
use support::{Project, Random, kill_rounds, seed};

const BODY: &str = "step.run('echo one > marks; echo first', name='one')
step.run('seq 1 20000; sleep 0.2; echo two >> marks', name='long')
step.run('cat marks', name='marks')
artifacts.upload('marks')
";

fn id(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}

/// Every step by name with its exit code, hash and output, and every artifact's bytes.
fn told(dev: &Dev, job: &Value) -> BTreeMap<String, String> {
    let path = format!("/jobs/{}", id(job));
    let number = |step: &Value| step["number"].as_u64().expect("a number");
    let steps = job["steps"].as_array().expect("steps").iter();
    let steps = steps.map(|step| {
        let raw = dev.get(&format!("{path}/steps/{}/raw", number(step)));
        (step["name"].to_string(), format!("{} {} {raw}", step["exit_code"], step["sha256"]))
    });
    let kept = dev.get(&format!("{path}/artifacts"));
    let kept: Vec<String> =
        kept["artifacts"].as_array().expect("a list").iter().map(|a| a["name"].to_string()).collect();
    let files = kept.into_iter().map(|name| {
        let bytes = dev.get(&format!("{path}/artifacts/{}", name.trim_matches('"')));
        (format!("artifact {name}"), bytes.to_string())
    });
    steps.chain(files).collect()
}

/// `danube dev` on a machine of its own, as far as its processes go.
fn machine(project: &Project) -> Command {
    let dev = Dev::command(project, &["--no-run", "--jobs", "4"]);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]);
    command.arg(dev.get_program()).args(dev.get_args());
    command.env("DANUBE_DATA_DIR", project.data()).env_remove("DANUBE_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What somebody was told before the power was cut.
#[derive(Default)]
struct Promised {
    jobs: Vec<String>,
    ends: BTreeMap<String, Value>,
}

impl Promised {
    /// Asks for jobs and looks at them until nobody answers.
    fn ask(&mut self, dev: &Dev, wishes: u64) {
        for _ in 0..wishes {
            let Ok((201, job)) = dev.ask("POST", "/pipelines/test/jobs", "") else { return };
            self.jobs.push(id(&job));
        }
        while let Ok((200, page)) = dev.ask("GET", "/jobs?limit=200", "") {
            let jobs = page["jobs"].as_array().expect("jobs").iter();
            self.ends
                .extend(jobs.filter(|job| job["finished_ms"].is_i64()).map(|job| (id(job), job["status"].clone())));
        }
    }
}

/// A start of the machine takes what the kernel had.
fn reboot(project: &Project) {
    let gone = wait(|| project.processes().is_empty().then_some(()));
    gone.unwrap_or_else(|| panic!("left: {:?}", project.processes()));
    let gone = wait(|| {
        project.cgroups().iter().for_each(|group| remove(group));
        project.cgroups().is_empty().then_some(())
    });
    gone.expect("control groups go when nobody is in them");
}

/// A control group with those below it. One whose processes are only just gone is tried again.
fn remove(group: &Path) {
    let below = std::fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir()).for_each(|path| remove(&path));
    let _ = std::fs::remove_dir(group);
}

#[test]
fn a_power_cut_takes_nothing_that_was_promised() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tried: only root can make a machine whose processes all end at once");
        return;
    }
    let project = Project::pipeline(BODY);
    support::git::commit(&project, "first");
    let Some(preload) = Preload::new(&project) else { return };
    let (mut random, mut promised) = (Random(seed()), Promised::default());
    for round in 0..kill_rounds() {
        let lost = if random.below(2) == 0 { Lost::Bytes } else { Lost::BytesAndNames };
        let mut command = machine(&project);
        preload.before_a_cut(&mut command, &project.data());
        let dev = Dev::of(&project, command);
        let (wishes, after) = (1 + random.below(3), random.below(2000));
        scope(|threads| {
            threads.spawn(|| promised.ask(&dev, wishes));
            sleep(Duration::from_millis(after));
            dev.strike();
        });
        dev.kill();
        reboot(&project);
        preload.cut(&project.data(), lost);
        let (jobs, ends) = (promised.jobs.len(), promised.ends.len());
        eprintln!("round {round}: {lost:?} after {after} ms, {jobs} jobs promised, {ends} ends told");
    }
    let dev = Dev::start(&project, &["--no-run", "--jobs", "4"]);
    let whole = dev.post("/pipelines/test/jobs", "", 201);
    let whole = dev.end(&id(&whole));
    assert_eq!(whole["status"], "success", "what is made after the cuts: {}", whole["reason"]);
    let wanted = told(&dev, &whole);
    assert_eq!(wanted.len(), 5, "{wanted:?}");
    for job in &promised.jobs {
        let ended = dev.end(job);
        if let Some(end) = promised.ends.get(job) {
            assert_eq!(&ended["status"], end, "{job} had ended: {}", ended["reason"]);
        }
        if ended["status"] == "success" {
            assert_eq!(told(&dev, &ended), wanted, "{job}");
        }
        let kind = ended["reason"]["kind"].as_str().unwrap_or_default();
        assert!(!["script", "config"].contains(&kind), "{job}: the danubefile is not to blame: {}", ended["reason"]);
    }
    let good = promised.jobs.iter().filter(|job| dev.end(job)["status"] == "success").count();
    eprintln!("{good} of {} were successes", promised.jobs.len());
    eprintln!("the last master said:\n{}", dev.stop().stderr);
}
