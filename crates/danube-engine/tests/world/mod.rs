//! One job by the real engine, on a real store and real logs, with scripted containers.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use danube_core::egress::{EgressMode, EgressPolicy};
use danube_core::id::{AttemptId, ContainerName, StepId};
use danube_core::job::Verdict;
use danube_core::retry::Retries;
use danube_core::runtime::{ContainerSpec, GroupSpec, ImageSource, Resources, Role, Runtime, Workspace};
use danube_engine::EngineError;
use danube_engine::artifacts::ArtifactDir;
use danube_engine::job::isolation::Demand;
use danube_engine::job::plan::Runner;
use danube_engine::job::progress::Observer;
use danube_engine::job::{self, Plan, Services};
use danube_engine::logs::LogDir;
use danube_proto::mailbox::Context;
use danube_store::jobs::{self, NewJob, Source};
use danube_store::steps::{self, StepKey, StepRow};
use danube_store::{ARTIFACTS, Durability, LOGS, Store};
use danube_testutils::{Script, Scripted};
use tempfile::TempDir;

/// A guard against a test that hangs; nothing is measured with it.
const HUNG: Duration = Duration::from_secs(240);

/// Where jobs run.
pub struct World;

/// A job that has run.
pub struct Ran {
    /// How it ended.
    pub verdict: Verdict,
    /// Its steps' rows.
    pub steps: Vec<StepRow>,
    /// Distinct starts by step id.
    pub starts: Vec<([u8; 16], u32)>,
    /// What the engine put into containers.
    pub received: Vec<(String, Vec<u8>)>,
    /// Streams that died at the byte at which they were to be cut.
    pub cut: u64,
    logs: LogDir,
    dir: TempDir,
}

/// A job that the engine gave up without an end.
pub struct Left {
    /// Why.
    pub error: EngineError,
    /// Its containers were not removed.
    pub group_stands: bool,
    /// The status that its row ended with.
    pub verdict: Option<String>,
    /// Steps whose rows were ended.
    pub ended_steps: usize,
}

impl World {
    /// Runs a script's job to its end.
    pub async fn run(script: Script) -> Ran {
        Self::run_plan(script, plan()).await
    }

    /// Runs another plan for it.
    pub async fn run_plan(script: Script, plan: Plan) -> Ran {
        let world = Stage::with(script, plan).await;
        let verdict = world.play().await.expect("the engine goes on");
        let steps = steps::list(world.services.store.read(), &attempt()).await.expect("rows");
        let Stage { services, dir, .. } = world;
        services.store.close().await;
        let runtime = services.runtime;
        let (starts, received, cut) = (runtime.starts(), runtime.received(), runtime.cut());
        Ran { verdict, steps, starts, received, cut, logs: services.logs, dir }
    }

    /// The same, with a clock that leaps over the wait after each attach that was told nothing.
    pub async fn run_without_waiting(script: Script) -> Verdict {
        let silences = script.silent_attaches;
        let world = Stage::set(script).await;
        let runtime = world.services.runtime.clone();
        let leaps = async move {
            for leap in 1..=silences {
                while runtime.silenced() < leap {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(61)).await;
                tokio::time::resume();
            }
        };
        let (verdict, ()) = tokio::join!(world.play(), leaps);
        verdict.expect("the engine goes on")
    }

    /// Runs a script's job until the engine gives it up.
    pub async fn left(script: Script) -> Left {
        let world = Stage::set(script).await;
        let error = world.play().await.expect_err("the engine gives up");
        let group_stands = !world.services.runtime.list().await.expect("groups").is_empty();
        let store = &world.services.store;
        let job = jobs::get(store.read(), &attempt().job).await.expect("rows").expect("a row");
        let steps = steps::list(store.read(), &attempt()).await.expect("rows");
        let ended_steps = steps.iter().filter(|row| row.finished_ms.is_some()).count();
        let verdict = job.finished_ms.map(|_| job.status);
        Left { error, group_stands, verdict, ended_steps }
    }
}

/// What one job needs.
struct Stage {
    services: Services<Scripted>,
    plan: Plan,
    dir: TempDir,
}

impl Stage {
    async fn set(script: Script) -> Self {
        Self::with(script, plan()).await
    }

    async fn with(script: Script, plan: Plan) -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let data = dir.path().join("data");
        let store = Store::open_with(&data, Durability::Kill).await.expect("store");
        insert(&store, &plan).await;
        let (logs, artifacts) = (LogDir::new(data.join(LOGS)), ArtifactDir::new(data.join(ARTIFACTS)));
        let services = Services { runtime: Arc::new(Scripted::new(script)), store, logs, artifacts };
        Self { services, plan, dir }
    }

    async fn play(&self) -> Result<Verdict, EngineError> {
        let (_orders, mut orders) = tokio::sync::mpsc::unbounded_channel();
        let job = job::run(self.services.clone(), self.plan.clone(), BTreeMap::new(), Observer::none(), &mut orders);
        tokio::time::timeout(HUNG, job).await.expect("the job hangs")
    }
}

impl Ran {
    /// A step's log as it is on disk.
    pub fn log(&self, number: u32) -> Vec<u8> {
        let reader = self.logs.reader(&StepKey { attempt: attempt(), number }).expect("a log");
        let mut content = vec![0; usize::try_from(reader.len()).expect("small")];
        let read = reader.read(0, &mut content).expect("readable");
        content.truncate(read);
        content
    }

    /// Fails if anything was written beside the data directory.
    pub fn assert_nothing_outside(&self, name: &str) {
        let found: Vec<_> = entries(self.dir.path());
        assert_eq!(found, ["data"], "{name}");
        let known = |entry: &String| entry == LOGS || entry.starts_with("danube.");
        let strange: Vec<_> =
            entries(&self.dir.path().join("data")).into_iter().filter(|entry| !known(entry)).collect();
        assert_eq!(strange, Vec::<String>::new(), "{name}");
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn attempt() -> AttemptId {
    AttemptId { job: "job-1".parse().expect("a job id"), number: 1 }
}

fn container(name: ContainerName, role: Role) -> ContainerSpec {
    ContainerSpec { name, role, image: ImageSource::Host, program: None, resources: Resources::default() }
}

/// A coordinator and a worker.
pub fn plan() -> Plan {
    plan_of(attempt(), "ab".repeat(16), [0xaa; 16])
}

/// The same for any attempt.
pub fn plan_of(attempt: AttemptId, nonce: String, runner: [u8; 16]) -> Plan {
    let worker = ContainerName::worker(1);
    Plan {
        group: GroupSpec {
            attempt,
            nonce,
            pipeline: "test".to_owned(),
            containers: vec![
                container(ContainerName::coordinator(), Role::Coordinator),
                container(worker.clone(), Role::Worker),
            ],
            workspace: Workspace::Empty,
            source: None,
            egress: EgressPolicy { mode: EgressMode::Enforce, rules: Vec::new() },
            orphan_grace: Duration::from_secs(60),
            time: Duration::from_secs(60),
            warm: 0,
        },
        context: Context::default(),
        runner: Runner {
            step_id: StepId::from_bytes(runner),
            argv: vec!["python3".to_owned()],
            context: "/danube/context.json".to_owned(),
        },
        timeout: Duration::from_secs(600),
        cleanup_timeout: Duration::from_secs(1),
        default_image: "host".to_owned(),
        images: [("host".to_owned(), worker)].into(),
        services: BTreeMap::new(),
        sources: BTreeMap::new(),
        base: std::path::PathBuf::new(),
        secrets: Vec::new(),
        resources: Resources::default(),
        delivery: None,
        isolation: Demand::Nothing,
        retries: Retries::Never,
    }
}

async fn insert(store: &Store, plan: &Plan) {
    let job = NewJob {
        id: plan.group.attempt.job.clone(),
        pipeline: plan.group.pipeline.clone(),
        source: Source { dir: None, reference: None, sha: None, dirty: false, title: None },
        trigger: "test".to_owned(),
        actor: None,
        params: "{}".to_owned(),
        spec: serde_json::to_string(plan).expect("a plan"),
        created_ms: 0,
        rerun_of: None,
        concurrency: None,
        supersedes: false,
    };
    store.write(move |tx| Box::pin(async move { jobs::insert(tx, &job).await })).await.expect("a row");
}
