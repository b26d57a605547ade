//! A server on a loopback socket, with a real database and real logs, and a job whose rows the test writes itself.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part, and may fail anywhere")]

pub mod client;
pub mod rows;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use danube_core::id::AttemptId;
use danube_core::job::FailureKind;
use danube_core::queue::Limits;
use danube_engine::EngineError;
use danube_engine::artifacts::ArtifactDir;
use danube_engine::job::{Plan, Services};
use danube_engine::logs::LogDir;
use danube_engine::master::{self, Asked, Between, Checked, Description, Given, Master, Prepared, Refused, Workshop};
use danube_server::{ApiToken, Auth, Permission, Server};
use danube_store::jobs::JobRow;
use danube_store::pipelines::{self, PipelineRow};
use danube_store::{Durability, Store};
use danube_testutils::{Script, Scripted};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// May do everything.
pub const TOKEN: &str = "the-token-of-the-tests";
/// May look.
pub const READER: &str = "a-token-to-look";
/// The only pipeline. Its name and folder are not to be trusted by a page.
pub const PIPELINE: &str = "build";

/// A server and what is behind it.
pub struct House {
    pub store: Store,
    pub logs: LogDir,
    pub artifacts: ArtifactDir,
    pub master: Master,
    /// What would run the jobs. The tests write their rows instead, unless they start it.
    pub work: Mutex<Option<Work>>,
    pub auth: Auth,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<()>,
    pub dir: TempDir,
}

/// What runs jobs.
pub type Work = Pin<Box<dyn Future<Output = Result<(), EngineError>> + Send>>;

/// Takes every job but those with a parameter `bad`.
struct Workbench;

impl Workshop for Workbench {
    fn check(&self, _: &PipelineRow, given: &Given) -> Result<Checked, Refused> {
        if given.params.iter().any(|(name, _)| name == "bad") {
            return Err(Refused { kind: FailureKind::Config, message: "there is no parameter `bad`".into() });
        }
        let params = given.params.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        Ok(Checked { params: params.collect(), ..Checked::default() })
    }

    fn describe(&self, _: &PipelineRow) -> Result<Description, Refused> {
        let asked = |name: &str, default: &str, choices: &[&str], is_switch| Asked {
            name: name.into(),
            description: format!("<b>{name}</b> is asked for"),
            default: Some(default.into()),
            choices: choices.iter().map(|&choice| choice.into()).collect(),
            is_switch,
        };
        let params = vec![
            asked("target", "staging", &["staging", "prod"], false),
            asked("n", "1", &[], false),
            asked("force", "false", &[], true),
        ];
        Ok(Description { image: "host".into(), timeout: None, params })
    }

    fn between(&self, _: &PipelineRow, from: &str, to: &str) -> Result<Between, Refused> {
        let danubefile = "--- a/danubefile.py\n+++ b/danubefile.py\n-step.run(\"<old>\")\n+step.run(\"new\")\n".into();
        Ok(Between { commits: vec![(to.into(), format!("since {from}"))], danubefile })
    }

    fn prepare(&self, _: &PipelineRow, _: &JobRow, _: &Given, _: &AttemptId) -> Result<Prepared, Refused> {
        Err(Refused { kind: FailureKind::Config, message: "nothing runs here".into() })
    }

    fn secrets(&self, _: &Plan) -> Result<BTreeMap<String, String>, Refused> {
        Ok(BTreeMap::new())
    }

    fn discard(&self, _: &AttemptId) {}
}

impl House {
    pub async fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap()).await
    }

    /// One more pipeline.
    pub async fn register(&self, name: &str) {
        register(&self.store, name).await;
    }

    /// The same data directory under another master.
    pub async fn restart(self) -> Self {
        self.shutdown.cancel();
        self.served.await.unwrap();
        self.store.close().await;
        Self::on(self.dir).await
    }

    async fn on(dir: TempDir) -> Self {
        let store = Store::open_with(dir.path(), Durability::Kill).await.unwrap();
        let logs = LogDir::new(store.dir().join(danube_store::LOGS));
        let artifacts = ArtifactDir::new(store.dir().join(danube_store::ARTIFACTS));
        register(&store, PIPELINE).await;
        let runtime = Arc::new(Scripted::new(Script::default()));
        let services = Services { runtime, store: store.clone(), logs: logs.clone(), artifacts: artifacts.clone() };
        let (_, stop) = tokio::sync::mpsc::unbounded_channel();
        let limits = Limits { overall: 1, per_pipeline: 1 };
        let (master, work) = master::start(services, Arc::new(Workbench), limits, stop);
        let work: Mutex<Option<Work>> = Mutex::new(Some(Box::pin(work)));
        let auth = Auth::new(store.clone(), [token(TOKEN, Permission::Admin), token(READER, Permission::Read)]);
        let (address, shutdown, served) = serve(&master, &auth).await;
        Self { store, logs, artifacts, master, work, auth, address, shutdown, served, dir }
    }
}

fn token(text: &str, permission: Permission) -> ApiToken {
    ApiToken { sha256: danube_server::secret_hash(text), actor: "tests".into(), permission }
}

async fn register(store: &Store, name: &str) {
    let row = PipelineRow {
        name: name.into(),
        dir: "/src/<b>it's</b>".into(),
        entry_point: "danubefile.py".into(),
        branch: None,
        warm: 0,
        registered_ms: 1,
    };
    store.write(|tx| Box::pin(async move { pipelines::register(tx, &row).await })).await.unwrap();
}

async fn serve(master: &Master, auth: &Auth) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let router = danube_server::router(Server {
        master: master.clone(),
        auth: auth.clone(),
        port: address.port(),
        hosts: vec!["danube.example".into()],
        shutdown: shutdown.clone(),
    });
    let until = shutdown.clone();
    let served = tokio::spawn(async move { danube_server::serve(listener, router, until).await.unwrap() });
    (address, shutdown, served)
}
