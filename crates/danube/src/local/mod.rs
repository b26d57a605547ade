//! A master on this machine: database, runtime, queue and HTTP put together. `dev` and `serve` differ in what
//! they give it, not in what it is.

mod cluster;
pub mod instance;
pub mod needs;
mod pinned;
mod runtime;
pub mod stops;
mod warm;
mod workshop;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use danube_core::queue::Limits;
use danube_engine::artifacts::ArtifactDir;
use danube_engine::job::Services;
use danube_engine::logs::LogDir;
use danube_engine::master::{self, Master, Stop};
use danube_sandbox::{JobPaths, Python, Sandbox, Warmth};
use danube_server::{ApiToken, Auth, Permission, Server, new_secret, secret_hash};
use danube_store::pipelines::{self, PipelineRow};
use danube_store::{ARTIFACTS, LOGS, Store};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::checkout::{self, Terms};
use crate::error::CliError;
use crate::place::Place;
pub use cluster::Cluster;
pub use runtime::JobRuntime;
use warm::Warm;
use workshop::Checkouts;

/// What a master is made from.
pub struct Settings {
    /// Its own data.
    pub dir: PathBuf,
    /// Where Danube's own files and images are.
    pub place: Place,
    /// On what terms jobs run.
    pub terms: Terms,
    /// What runs jobs.
    pub jobs: Jobs,
    /// How many jobs run at once.
    pub limits: Limits,
    /// Where it is spoken to.
    pub listener: TcpListener,
    /// A token for programs that holds over restarts, beside the one of this process.
    pub api_token: Option<String>,
    /// Names besides the loopback's by which it may be asked for, as in the header `Host`.
    pub hosts: Vec<String>,
}

/// What runs jobs.
pub enum Jobs {
    /// Sandboxes on this machine.
    Here {
        /// What runs danubefiles.
        python: Python,
        /// How many job surroundings are kept ready.
        warm: usize,
    },
    /// Pods of a cluster.
    Cluster(Box<Cluster>),
}

/// A running master.
pub struct Local {
    /// The handle for jobs.
    pub master: Master,
    /// Who may come in.
    pub auth: Auth,
    /// Where it is spoken to.
    pub url: String,
    /// The secret of the API, in this process and in the file that other commands read.
    pub token: String,
    stop: mpsc::UnboundedSender<Stop>,
    shutdown: CancellationToken,
    workshop: Arc<Checkouts>,
    warm: Warm,
    jobs: JoinHandle<Result<(), danube_engine::EngineError>>,
    server: JoinHandle<Result<(), danube_server::ServerError>>,
}

/// Starts a master. It takes up at once what an earlier one left.
pub async fn start(settings: Settings) -> Result<Local, CliError> {
    let store = Store::open(&settings.dir).await.map_err(CliError::infra)?;
    let (runtime, warm) = match settings.jobs {
        Jobs::Here { python, warm } => {
            let (sandbox, warm) = here(&settings.terms, &settings.place, &settings.dir, (&python, warm)).await?;
            (JobRuntime::Sandbox(sandbox, python.path), warm)
        }
        Jobs::Cluster(cluster) => {
            let warm = Warm::of_pods(cluster.pods.clone());
            (JobRuntime::Kubernetes(cluster), warm)
        }
    };
    let runtime = Arc::new(runtime);
    let workshop = Arc::new(Checkouts {
        terms: settings.terms,
        runtime: runtime.clone(),
        jobs: settings.dir.join("jobs"),
        writing: RwLock::default(),
    });
    let services = Services {
        runtime,
        store: store.clone(),
        logs: LogDir::new(settings.dir.join(LOGS)),
        artifacts: ArtifactDir::new(settings.dir.join(ARTIFACTS)),
    };
    let (stop, stops) = mpsc::unbounded_channel();
    let (master, running) = master::start(services, workshop.clone(), settings.limits, stops);
    let jobs = tokio::spawn(running);
    let (token, shutdown) = (new_secret(), CancellationToken::new());
    let actor = std::env::var("USER").unwrap_or_else(|_| "owner".to_owned());
    let admin = |token: &str, actor| ApiToken { sha256: secret_hash(token), actor, permission: Permission::Admin };
    let lasting = settings.api_token.map(|lasting| admin(&lasting, "api-token".to_owned()));
    let auth = Auth::new(store, [admin(&token, actor.clone())].into_iter().chain(lasting)).owned_by(&actor);
    let address = settings.listener.local_addr().map_err(CliError::infra)?;
    let router = danube_server::router(Server {
        master: master.clone(),
        auth: auth.clone(),
        port: address.port(),
        hosts: settings.hosts,
        shutdown: shutdown.clone(),
    });
    let server = tokio::spawn(danube_server::serve(settings.listener, router, shutdown.clone()));
    Ok(Local { master, auth, url: format!("http://{address}"), token, stop, shutdown, workshop, warm, jobs, server })
}

/// The embedded runtime, and what it keeps ready.
async fn here(
    terms: &Terms,
    place: &Place,
    dir: &Path,
    (python, warm): (&Python, usize),
) -> Result<(Arc<Sandbox>, Warm), CliError> {
    let sandbox = Arc::new(Sandbox::new(checkout::sandbox(terms, place, dir.to_owned(), python.clone())?));
    let runner = checkout::runner(&python.path, &JobPaths::inside());
    let warm = Warm::start(sandbox.clone(), Warmth { count: warm, runner }).await;
    Ok((sandbox, warm))
}

impl Local {
    /// Makes a pipeline known.
    pub async fn register(&self, pipeline: PipelineRow) -> Result<(), CliError> {
        let write =
            self.master.store().write(move |tx| Box::pin(async move { pipelines::register(tx, &pipeline).await }));
        write.await.map_err(CliError::infra)
    }

    /// A link that lets one browser in, once and soon.
    pub fn link(&self) -> String {
        format!("{}/login?token={}", self.url, self.auth.issue_link())
    }

    /// Asks it to stop. The jobs' task ends when they have.
    pub fn stop(&self, how: Stop) {
        let _ = self.stop.send(how);
    }

    /// Waits until the jobs' part has ended, which it does when it is told to stop; or until a part of it fails.
    pub async fn ended(&mut self) -> Result<(), CliError> {
        let store = self.master.store().clone();
        tokio::select! {
            failed = store.broken() => Err(CliError::infra(failed)),
            jobs = &mut self.jobs => jobs.map_err(CliError::infra)?.map_err(CliError::infra),
            server = &mut self.server => {
                server.map_err(CliError::infra)?.map_err(CliError::infra)?;
                Err(CliError::infra("the HTTP server ended by itself"))
            }
        }
    }

    /// Hangs up on everybody and closes the database. Call it when the jobs' part has ended.
    pub async fn close(self) {
        self.shutdown.cancel();
        // Its end was asked for, so how it ended is nobody's concern.
        let _ = self.server.await;
        // Another master may have the data directory next: nothing of this one may still be writing there.
        self.warm.end().await;
        let workshop = self.workshop;
        let _ = tokio::task::spawn_blocking(move || workshop.rest()).await;
        self.master.store().close().await;
    }
}
