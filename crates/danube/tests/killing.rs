//! `danube dev` is killed as by `kill -9` again and again, at any moment, while jobs come in over HTTP. Whatever was
//! acknowledged comes to its end, each step is done once, and nothing is left behind.
//!
//! `DANUBE_KILL_ROUNDS=n` for more rounds, `DANUBE_SEED=n` for the same ones again.
#![cfg(feature = "failpoints")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::thread::{scope, sleep};
use std::time::Duration;

use serde_json::Value;
use support::dev::Dev;
use support::{Project, Random, kill_rounds, seed};

/// Steps after and beside each other; each leaves a mark, told in the end: twice would be seen.
const BODY: &str = r#"step.run('echo one >> marks; echo first', name='one')
step.parallel(
    step.call('echo two >> marks; seq 1 3000', name='long'),
    step.call('echo three >> marks; seq 1 10 | while read n; do echo "slow $n"; sleep 0.05; done', name='slow'),
)
step.run('sort marks | tee sorted', name='marks')
artifacts.upload('sorted')
summary.markdown('# Done')
"#;
/// Jobs that are asked for between two kills at most: about what runs in that time.
const WISHES: u64 = 4;
/// Milliseconds after which it is killed at the latest.
const LATEST: u64 = 1500;

/// Status, attempts, and each step by name with its exit code and the hash of its output.
fn facts(job: &Value) -> (String, usize, BTreeMap<String, String>) {
    let fact = |step: &Value| {
        (step["name"].as_str().expect("a name").to_owned(), format!("{} {}", step["exit_code"], step["sha256"]))
    };
    let steps = job["steps"].as_array().expect("steps").iter().map(fact).collect();
    let attempts = job["attempts"].as_array().map_or(0, Vec::len);
    (job["status"].as_str().expect("a status").to_owned(), attempts, steps)
}

fn id(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}

fn command(project: &Project) -> Command {
    let mut command = Dev::command(project, &["--no-run", "--jobs", "4"]);
    // What it prints is nobody's business here.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What was asked for.
#[derive(Default)]
struct Wishes {
    /// Sent, whatever the answer.
    sent: usize,
    /// Those that were answered.
    acknowledged: BTreeSet<String>,
    /// Those whose end was asked for, and that was answered.
    cancelled: BTreeSet<String>,
}

impl Wishes {
    /// Asks for jobs until it dies, and now and then for the end of one.
    fn ask(&mut self, dev: &Dev, random: &mut Random) {
        for _ in 0..1 + random.below(WISHES) {
            self.sent += 1;
            let Ok((201, job)) = dev.ask("POST", "/pipelines/test/jobs", "") else { return };
            self.acknowledged.insert(id(&job));
            if random.below(5) == 0 {
                let answer = dev.ask("POST", &format!("/jobs/{}/cancel", id(&job)), "");
                if !matches!(answer, Ok((202, _))) {
                    // Whether it was taken in is not known: it may end either way.
                    self.acknowledged.remove(&id(&job));
                    return;
                }
                self.cancelled.insert(id(&job));
            }
            sleep(Duration::from_millis(random.below(200)));
        }
    }
}

/// Sometimes before it can be spoken to at all.
fn killed_early(project: &Project, random: &mut Random) {
    let mut child = command(project).spawn().expect("danube starts");
    sleep(Duration::from_millis(random.below(300)));
    child.kill().expect("a child of ours");
    child.wait().expect("its end");
}

fn killed_under_load(project: &Project, random: &mut Random, wishes: &mut Wishes) {
    let dev = Dev::of(project, command(project));
    let mut others = Random(random.next());
    scope(|threads| {
        threads.spawn(|| wishes.ask(&dev, &mut others));
        sleep(Duration::from_millis(random.below(LATEST)));
        dev.strike();
    });
    dev.kill();
}

#[test]
fn killed_again_and_again_under_load_no_job_is_lost_doubled_or_left() {
    let project = Project::pipeline(BODY);
    support::git::commit(&project, "first");
    let dev = Dev::of(&project, command(&project));
    let first = dev.post("/pipelines/test/jobs", "", 201);
    let wanted = facts(&dev.end(&id(&first)));
    assert_eq!((wanted.0.as_str(), wanted.1), ("success", 1));
    dev.stop();

    let (mut random, mut wishes) = (Random(seed()), Wishes::default());
    for round in 0..kill_rounds() {
        if random.below(4) == 0 {
            killed_early(&project, &mut random);
        }
        killed_under_load(&project, &mut random, &mut wishes);
        eprintln!("round {round}: {} wishes, {} acknowledged", wishes.sent, wishes.acknowledged.len());
    }

    let dev = Dev::of(&project, command(&project));
    let jobs: BTreeSet<String> = all(&dev).iter().map(id).collect();
    assert!(wishes.acknowledged.is_subset(&jobs), "a job that was acknowledged is lost");
    assert!(jobs.len() <= wishes.sent + 1, "{} jobs of {} wishes", jobs.len(), wishes.sent + 1);
    for job in &jobs {
        let ended = dev.end(job);
        let found = facts(&ended);
        if wishes.cancelled.contains(job) || !wishes.acknowledged.contains(job) {
            assert!(["cancelled", "success"].contains(&found.0.as_str()), "{job}: {}", ended["reason"]);
        }
        if found.0 != "cancelled" || wishes.acknowledged.contains(job) && !wishes.cancelled.contains(job) {
            assert_eq!(found, wanted, "{job}: {}", ended["reason"]);
        }
    }
    dev.stop();
    let folders = std::fs::read_dir(project.data().join("master/jobs")).map(Iterator::count).unwrap_or(0);
    assert_eq!(folders, 0, "files of jobs are left");
}

/// Every job, over as many pages as there are.
fn all(dev: &Dev) -> Vec<Value> {
    let (mut jobs, mut before) = (Vec::new(), String::new());
    loop {
        let page = dev.get(&format!("/jobs?limit=200{before}"));
        jobs.extend(page["jobs"].as_array().expect("jobs").clone());
        let Some(next) = page["next"].as_str() else { return jobs };
        before = format!("&before={next}");
    }
}
