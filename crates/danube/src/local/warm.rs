//! Keeps job surroundings ready ahead of the jobs.

use std::sync::Arc;
use std::time::Duration;

use danube_kube::Kubernetes;
use danube_sandbox::{Sandbox, Warmth};
use tokio::task::JoinHandle;

/// When one could not be made, so long is waited before the next try.
const AGAIN: Duration = Duration::from_secs(60);

/// The task that keeps them ready.
pub struct Warm {
    sandbox: Option<Arc<Sandbox>>,
    task: Option<JoinHandle<()>>,
}

impl Warm {
    /// Removes what an earlier master left and, if any are wanted, keeps them ready from now on. Call it before the first
    /// job is taken up: what is removed must be nobody's.
    pub async fn start(sandbox: Arc<Sandbox>, warmth: Warmth) -> Self {
        clear(&sandbox).await;
        let task = (warmth.count > 0).then(|| tokio::spawn(keep(sandbox.clone(), warmth)));
        Self { sandbox: Some(sandbox), task }
    }

    /// Keeps the pods that pipelines wish for. What stands when it ends is the next master's.
    pub fn of_pods(pods: Kubernetes) -> Self {
        let task = tokio::spawn(async move { match pods.keep_warm().await {} });
        Self { sandbox: None, task: Some(task) }
    }

    /// Ends it, and what it kept ready.
    pub async fn end(self) {
        if let Some(task) = self.task {
            task.abort();
            // Its end was asked for, so how it ended is nobody's concern.
            let _ = task.await;
        }
        if let Some(sandbox) = self.sandbox {
            clear(&sandbox).await;
        }
    }
}

async fn keep(sandbox: Arc<Sandbox>, warmth: Warmth) {
    loop {
        let Err(error) = sandbox.keep_spares(&warmth).await;
        // Jobs run without as well.
        tracing::warn!(%error, "nothing is kept ready for the next job");
        tokio::time::sleep(AGAIN).await;
    }
}

async fn clear(sandbox: &Sandbox) {
    if let Err(error) = sandbox.clear_spares().await {
        tracing::warn!(%error, "what was kept ready for a job is left; the next start removes it");
    }
}
