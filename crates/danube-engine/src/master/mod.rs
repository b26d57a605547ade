//! The master: jobs come in ([`intake`]), wait for their turn ([`queue`]), and are run, each in a supervised task
//! ([`orchestrator`], [`line`]). Whoever looks follows rows and logs and is told when there is more ([`live`]). What
//! only the composition root knows, how a pipeline's files become a plan, is its [`Workshop`].

pub mod health;
pub mod intake;
mod line;
pub mod live;
mod orchestrator;
mod queue;
mod workshop;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use danube_core::queue::Limits;
use danube_core::runtime::Runtime;
use danube_store::Store;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::EngineError;
use crate::artifacts::ArtifactDir;
use crate::job::Services;
use crate::logs::LogDir;
pub use health::{Health, Part};
pub use intake::{Accepted, Cancelled, Submission, SubmitError, given_params};
pub use live::{Live, LiveJob, LiveLists};
pub use orchestrator::Stop;
use orchestrator::{Orchestrator, Wake};
pub use queue::Waiting;
pub use workshop::{Asked, Between, Checked, Description, Given, Prepared, Refused, Workshop};

/// A handle on the master, for whoever lets jobs in or looks at them. Cheap to clone.
#[derive(Clone)]
pub struct Master(Arc<Inner>);

struct Inner {
    store: Store,
    logs: LogDir,
    artifacts: ArtifactDir,
    workshop: Arc<dyn Workshop>,
    limits: Limits,
    draining: AtomicBool,
    live: Live,
    health: Health,
    wake: mpsc::UnboundedSender<Wake>,
}

/// Makes a master. The future does the work: it takes up what an earlier master left, then runs jobs until it is told
/// to stop.
pub fn start<R>(
    services: Services<R>,
    workshop: Arc<dyn Workshop>,
    limits: Limits,
    stop: mpsc::UnboundedReceiver<Stop>,
) -> (Master, impl Future<Output = Result<(), EngineError>> + Send)
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let (wake, woken) = mpsc::unbounded_channel();
    let master = Master(Arc::new(Inner {
        store: services.store.clone(),
        logs: services.logs.clone(),
        artifacts: services.artifacts.clone(),
        workshop,
        limits,
        draining: AtomicBool::new(false),
        live: Live::default(),
        health: Health::default(),
        wake,
    }));
    let orchestrator = Orchestrator::new(master.clone(), services, woken);
    (master, orchestrator.run(stop))
}

impl Master {
    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &LogDir {
        &self.0.logs
    }

    /// The artifacts' files.
    #[must_use]
    pub fn artifacts(&self) -> &ArtifactDir {
        &self.0.artifacts
    }

    /// What tells readers that there is more to read.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.0.live
    }

    /// Where parts beside the queue say how they are.
    pub(crate) fn board(&self) -> &Health {
        &self.0.health
    }

    /// Which parts are well.
    #[must_use]
    pub fn health(&self) -> Vec<Part> {
        self.0.health.parts()
    }
}
