//! Many jobs under one master, with containers that are scripts: none waits for another, and a master that dies finds
//! every one of them again.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use danube_core::id::{AttemptId, JobId};
use danube_core::queue::Limits;
use danube_engine::EngineError;
use danube_engine::artifacts::ArtifactDir;
use danube_engine::job::{Plan, Services};
use danube_engine::logs::LogDir;
use danube_engine::master::{
    self, Between, Checked, Description, Given, Master, Prepared, Refused, Stop, Submission, Workshop,
};
use danube_store::jobs::{self, JobRow, Source};
use danube_store::pipelines::{self, PipelineRow};
use danube_store::steps::{self, StepKey, StepRow};
use danube_store::{ARTIFACTS, Durability, LOGS, Store, attempts};
use danube_testutils::{Script, Scripted, StepScript, call_id, sha256};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// A guard against a test that hangs; nothing is measured with it.
const HUNG: Duration = Duration::from_secs(300);
/// What each step writes before it is held.
const OUTPUT: &[u8] = b"held\n";

/// Plans for scripted containers.
struct Bench;

fn nonce(job: &str) -> String {
    hex(&sha256(job.as_bytes())[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Workshop for Bench {
    fn check(&self, _: &PipelineRow, _: &Given) -> Result<Checked, Refused> {
        Ok(Checked::default())
    }

    fn describe(&self, _: &PipelineRow) -> Result<Description, Refused> {
        Ok(Description::default())
    }

    fn between(&self, _: &PipelineRow, _: &str, _: &str) -> Result<Between, Refused> {
        Ok(Between::default())
    }

    fn prepare(&self, _: &PipelineRow, _: &JobRow, _: &Given, attempt: &AttemptId) -> Result<Prepared, Refused> {
        let nonce = nonce(attempt.job.as_str());
        let runner = call_id(&nonce, usize::MAX);
        let plan = world::plan_of(attempt.clone(), nonce, runner);
        Ok(Prepared { plan, source: Source::default(), secrets: BTreeMap::new() })
    }

    fn secrets(&self, _: &Plan) -> Result<BTreeMap<String, String>, Refused> {
        Ok(BTreeMap::new())
    }

    fn discard(&self, _: &AttemptId) {}
}

/// A master, and what outlives it.
struct Stage {
    runtime: Arc<Scripted>,
    dir: tempfile::TempDir,
    most: usize,
}

/// A running master.
struct Playing {
    master: Master,
    stop: mpsc::UnboundedSender<Stop>,
    task: JoinHandle<Result<(), EngineError>>,
}

impl Stage {
    /// Every job has one step, which is held until the gate that this finds for its group is open.
    fn set(most: usize, gate: impl Fn(&str) -> watch::Receiver<bool> + Send + Sync + 'static) -> Self {
        let runtime = Arc::new(Scripted::each(move |group| Script {
            gate: Some(gate(&group.nonce)),
            ..Script::of(&[StepScript { output: OUTPUT.to_vec(), ..StepScript::default() }])
        }));
        Self { runtime, dir: tempfile::tempdir().expect("folder"), most }
    }

    /// Starts a master on whatever the one before left.
    async fn play(&self) -> Playing {
        let data = self.dir.path().join("data");
        let store = Store::open_with(&data, Durability::Kill).await.expect("store");
        let pipeline = PipelineRow {
            name: "site".to_owned(),
            dir: "/src".to_owned(),
            entry_point: "danubefile.py".to_owned(),
            warm: 0,
            registered_ms: 1,
            branch: None,
        };
        let registered = store.write(move |tx| Box::pin(async move { pipelines::register(tx, &pipeline).await }));
        registered.await.expect("registered");
        let (logs, artifacts) = (LogDir::new(data.join(LOGS)), ArtifactDir::new(data.join(ARTIFACTS)));
        let services = Services { runtime: self.runtime.clone(), store, logs, artifacts };
        let (stop, stops) = mpsc::unbounded_channel();
        let limits = Limits { overall: self.most, per_pipeline: self.most };
        let (master, running) = master::start(services, Arc::new(Bench), limits, stops);
        Playing { master, stop, task: tokio::spawn(running) }
    }
}

impl Playing {
    async fn submit(&self, count: usize) -> Vec<JobId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let site = Submission { pipeline: "site".to_owned(), trigger: "manual", ..Submission::default() };
            ids.push(self.master.submit(site).await.expect("a job").id);
        }
        ids
    }

    async fn job(&self, id: &JobId) -> JobRow {
        jobs::get(self.master.store().read(), id).await.expect("rows").expect("a row")
    }

    /// The danubefile's step of a job's first attempt, once it was started.
    async fn step(&self, id: &JobId) -> Option<StepRow> {
        let rows = steps::list(self.master.store().read(), &first(id)).await.expect("rows");
        rows.into_iter().find(|row| row.number == 1)
    }

    /// Waits until this holds for a job.
    async fn until(&self, id: &JobId, holds: impl AsyncFn() -> bool) {
        let mut live = self.master.live().follow(id);
        let waiting = async {
            loop {
                live.mark();
                if holds().await {
                    return;
                }
                live.changed().await;
            }
        };
        tokio::time::timeout(HUNG, waiting).await.expect("it comes to that");
    }

    /// Waits until what the job's step wrote is in its log.
    async fn is_held(&self, id: &JobId) {
        self.until(id, async || self.log(id).is_some_and(|log| log == OUTPUT)).await;
    }

    async fn has_ended(&self, id: &JobId) {
        self.until(id, async || self.job(id).await.finished_ms.is_some()).await;
    }

    fn log(&self, id: &JobId) -> Option<Vec<u8>> {
        let log = self.master.logs().reader(&StepKey { attempt: first(id), number: 1 }).ok()?;
        let mut bytes = vec![0; usize::try_from(log.len()).expect("short")];
        log.read(0, &mut bytes).ok()?;
        Some(bytes)
    }

    /// One attempt, each step once, its output whole.
    async fn is_whole(&self, id: &JobId) {
        let job = self.job(id).await;
        assert_eq!((job.status.as_str(), job.attempt), ("success", 1), "{id}: {:?}", job.reason_message);
        let step = self.step(id).await.expect("a step");
        assert_eq!(step.sha256.as_deref(), Some(&sha256(OUTPUT)[..]), "{id}");
        assert_eq!(self.log(id).as_deref(), Some(OUTPUT), "{id}");
        let attempts = attempts::list(self.master.store().read(), id).await.expect("rows");
        assert_eq!(attempts.len(), 1, "{id}");
    }

    async fn stopped(self) {
        self.stop.send(Stop::Cancel).expect("it runs");
        tokio::time::timeout(HUNG, self.task)
            .await
            .expect("it stops")
            .expect("it does not die")
            .expect("it stops well");
    }

    /// As `kill -9` would: nothing more is done, wherever it is.
    async fn killed(self) {
        self.task.abort();
        let _ = self.task.await;
        self.master.store().close().await;
    }
}

fn first(job: &JobId) -> AttemptId {
    AttemptId { job: job.clone(), number: 1 }
}

fn open_gate() -> (watch::Sender<bool>, watch::Receiver<bool>) {
    watch::channel(false)
}

/// All of them stand in their step at the same time; then all but one go on, and that one hinders nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_run_at_once_and_one_that_stands_delays_no_other() {
    const JOBS: usize = 1000;
    let ((all, gate), (frozen, ice)) = (open_gate(), open_gate());
    let cold: Arc<std::sync::OnceLock<String>> = Arc::default();
    let known = cold.clone();
    // The first group that is made is the one that stands.
    let stage = Stage::set(JOBS, move |nonce| {
        let is_first = known.get_or_init(|| nonce.to_owned()) == nonce;
        if is_first { ice.clone() } else { gate.clone() }
    });
    let playing = stage.play().await;
    let jobs = playing.submit(JOBS).await;
    for job in &jobs {
        playing.is_held(job).await;
    }
    let open = jobs::open(playing.master.store().read()).await.expect("rows");
    assert_eq!(open.iter().filter(|row| !row.waits).count(), JOBS, "all of them at the same time");
    all.send_replace(true);
    let cold = cold.get().expect("a group was made").clone();
    let (stands, others): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| nonce(job.as_str()) == cold);
    assert_eq!(stands.len(), 1);
    for job in &others {
        playing.has_ended(job).await;
        playing.is_whole(job).await;
    }
    assert_eq!(playing.job(stands[0]).await.finished_ms, None, "it stands as before");
    frozen.send_replace(true);
    playing.has_ended(stands[0]).await;
    playing.is_whole(stands[0]).await;
    playing.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_running_jobs_are_taken_up_where_they_are() {
    const JOBS: usize = 100;
    let (all, gate) = open_gate();
    let stage = Stage::set(JOBS, move |_| gate.clone());
    let playing = stage.play().await;
    let jobs = playing.submit(JOBS).await;
    for job in &jobs {
        playing.is_held(job).await;
    }
    playing.killed().await;
    let attached = stage.runtime.attached();
    let playing = stage.play().await;
    let again = async {
        // The danubefile and its step of each job.
        while stage.runtime.attached() < attached + 2 * JOBS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HUNG, again).await.expect("every stream is there again");
    let open = jobs::open(playing.master.store().read()).await.expect("rows");
    assert_eq!(open.iter().filter(|row| !row.waits).count(), JOBS, "they run on");
    all.send_replace(true);
    for job in &jobs {
        playing.has_ended(job).await;
        playing.is_whole(job).await;
    }
    let starts = stage.runtime.starts();
    assert_eq!(starts.len(), 2 * JOBS, "the danubefile and its step of each job");
    assert!(starts.iter().all(|(_, times)| *times == 1), "each once");
    playing.stopped().await;
}
