//! The master's own life, with containers that are scripts. Whole jobs under a master are in `danube/tests/dev.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use danube_core::id::AttemptId;
use danube_core::job::FailureKind;
use danube_core::queue::Limits;
use danube_engine::artifacts::ArtifactDir;
use danube_engine::job::{Plan, Services};
use danube_engine::logs::LogDir;
use danube_engine::master::{
    self, Between, Checked, Description, Given, Master, Prepared, Refused, Stop, Submission, SubmitError, Workshop,
};
use danube_store::jobs::{self, JobRow};
use danube_store::pipelines::{self, PipelineRow};
use danube_store::{ARTIFACTS, Durability, LOGS, Store};
use danube_testutils::{Script, Scripted};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinHandle;

/// A guard against a test that hangs; nothing is measured with it.
const HUNG: Duration = Duration::from_secs(60);

/// Takes every job in and can make none.
struct Broken;

impl Workshop for Broken {
    fn check(&self, _: &PipelineRow, given: &Given) -> Result<Checked, Refused> {
        match given.params.first() {
            Some((name, _)) => {
                Err(Refused { kind: FailureKind::Config, message: format!("the pipeline has no parameter `{name}`") })
            }
            None => Ok(Checked::default()),
        }
    }

    fn describe(&self, _: &PipelineRow) -> Result<Description, Refused> {
        Ok(Description::default())
    }

    fn between(&self, _: &PipelineRow, _: &str, _: &str) -> Result<Between, Refused> {
        Ok(Between::default())
    }

    fn prepare(&self, _: &PipelineRow, _: &JobRow, _: &Given, _: &AttemptId) -> Result<Prepared, Refused> {
        Err(Refused { kind: FailureKind::Config, message: "danubefile.py:3: a word is missing".to_owned() })
    }

    fn secrets(&self, _: &Plan) -> Result<BTreeMap<String, String>, Refused> {
        Ok(BTreeMap::new())
    }

    fn discard(&self, _: &AttemptId) {}
}

struct Stage {
    master: Master,
    stop: UnboundedSender<Stop>,
    running: JoinHandle<Result<(), danube_engine::EngineError>>,
    _dir: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let store = Store::open_with(dir.path().join("data"), Durability::Kill).await.expect("store");
        let pipeline = PipelineRow {
            name: "site".to_owned(),
            dir: "/src".to_owned(),
            entry_point: "danubefile.py".to_owned(),
            branch: None,
            warm: 0,
            registered_ms: 1,
        };
        let registered = store.write(move |tx| Box::pin(async move { pipelines::register(tx, &pipeline).await }));
        registered.await.expect("registered");
        let services = Services {
            runtime: Arc::new(Scripted::new(Script::default())),
            logs: LogDir::new(dir.path().join(LOGS)),
            artifacts: ArtifactDir::new(dir.path().join(ARTIFACTS)),
            store,
        };
        let (stop, stops) = mpsc::unbounded_channel();
        let limits = Limits { overall: 2, per_pipeline: 2 };
        let (master, running) = master::start(services, Arc::new(Broken), limits, stops);
        Self { master, stop, running: tokio::spawn(running), _dir: dir }
    }

    async fn ended(self) -> Result<(), danube_engine::EngineError> {
        tokio::time::timeout(HUNG, self.running).await.expect("it stops").expect("it does not die")
    }
}

fn site() -> Submission {
    Submission { pipeline: "site".to_owned(), trigger: "manual", ..Submission::default() }
}

#[tokio::test]
async fn a_job_that_cannot_be_made_ends_with_the_words_for_it() {
    let stage = Stage::set().await;
    let job = stage.master.submit(site()).await.expect("a job").id;
    let mut live = stage.master.live().follow(&job);
    let row = loop {
        live.mark();
        let row = jobs::get(stage.master.store().read(), &job).await.expect("rows").expect("a row");
        if row.finished_ms.is_some() {
            break row;
        }
        tokio::time::timeout(HUNG, live.changed()).await.expect("whoever looks is told");
    };
    assert_eq!((row.status.as_str(), row.reason_kind.as_deref()), ("failure", Some("config")));
    assert_eq!(row.reason_message.as_deref(), Some("danubefile.py:3: a word is missing"));
    stage.stop.send(Stop::Cancel).expect("it runs");
    stage.ended().await.expect("it stops well");
}

#[tokio::test]
async fn what_is_wrong_is_refused_before_there_is_a_job() {
    let stage = Stage::set().await;
    let unknown = stage.master.submit(Submission { pipeline: "moon".to_owned(), ..site() }).await;
    assert!(matches!(unknown, Err(SubmitError::UnknownPipeline(name)) if name == "moon"));
    let params = vec![("x".to_owned(), "1".to_owned())];
    let refused = stage.master.submit(Submission { params, ..site() }).await.expect_err("refused");
    assert_eq!(refused.to_string(), "the pipeline has no parameter `x`");
    assert!(jobs::open(stage.master.store().read()).await.expect("rows").is_empty());
    stage.stop.send(Stop::Leave).expect("it runs");
    let master = stage.master.clone();
    stage.ended().await.expect("it stops well");
    assert!(matches!(master.submit(site()).await, Err(SubmitError::Draining)));
}

/// Ctrl-C must end it whatever its disk does: what waits stays for the next master.
#[tokio::test]
async fn a_master_whose_database_is_gone_says_so_and_can_be_stopped() {
    let stage = Stage::set().await;
    stage.master.store().close().await;
    assert!(stage.master.submit(site()).await.is_err());
    stage.stop.send(Stop::Cancel).expect("it runs");
    let (master, ended) = (stage.master.clone(), stage.ended().await);
    ended.expect_err("it cannot know what waits");
    assert!(master.health().iter().any(|part| part.name == "queue" && part.ill.is_some()), "{:?}", master.health());
}
