//! How the shim ends: told to by the master, by the runtime's SIGTERM, or for want of a master.

use std::sync::Arc;
use std::time::Duration;

use danube_proto::v1::EndCause;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::connection::Masters;
use crate::step::context::Context;
use crate::step::registry::Steps;

/// Exit code after SIGTERM, as of a process that it ended.
const TERMINATED: i32 = 128 + libc::SIGTERM;
/// Exit code of a shim that no master came back to: EX_TEMPFAIL.
const ORPHANED: i32 = 75;
/// How long an ending shim keeps serving; the runtime's own KILL may come earlier.
const SERVE_ON: Duration = Duration::from_secs(30);
/// How often an ending shim looks whether it may go.
const LOOK: Duration = Duration::from_millis(20);

/// The exit code, once it is known.
#[derive(Clone, Debug)]
pub struct Ending {
    code: Arc<watch::Sender<Option<i32>>>,
    exiting: CancellationToken,
}

impl Default for Ending {
    fn default() -> Self {
        Self { code: Arc::new(watch::Sender::new(None)), exiting: CancellationToken::new() }
    }
}

impl Ending {
    /// Ends the shim; the first code counts.
    pub fn exit(&self, code: i32) {
        self.code.send_if_modified(|known| known.is_none() && known.replace(code).is_none());
        self.exiting.cancel();
    }

    /// Cancelled when the shim is about to exit: calls that wait for more need not.
    pub fn exiting(&self) -> CancellationToken {
        self.exiting.clone()
    }

    /// The code to exit with.
    pub fn code(&self) -> i32 {
        self.code.borrow().unwrap_or(TERMINATED)
    }
}

/// What an ending needs to see.
#[derive(Debug)]
pub struct Watcher {
    /// Whose steps stop.
    pub steps: Arc<Steps>,
    /// Which processes run.
    pub context: Arc<Context>,
    /// Who is connected.
    pub masters: Arc<Masters>,
    /// Where the end is declared.
    pub ending: Ending,
}

impl Watcher {
    /// SIGTERM from the runtime: steps stop, and the shim serves until all is acknowledged or time is up.
    pub async fn evict(&self) {
        self.steps.close(EndCause::Evicted);
        self.serve_on(|| false).await;
        self.ending.exit(TERMINATED);
    }

    /// Without a master for `grace`, steps stop and the shim exits.
    pub async fn orphan(&self, grace: Duration) {
        let mut present = self.masters.present();
        loop {
            // The sender lives as long as this watcher.
            let _ = present.wait_for(|present| !present).await;
            if tokio::time::timeout(grace, present.wait_for(|present| *present)).await.is_err() {
                break;
            }
        }
        self.steps.close(EndCause::Orphaned);
        let alone = || !*self.masters.present().borrow() && self.context.claims().is_empty();
        self.serve_on(alone).await;
        self.ending.exit(ORPHANED);
    }

    async fn serve_on(&self, enough: impl Fn() -> bool) {
        let until = Instant::now() + SERVE_ON;
        while Instant::now() < until && !enough() && !self.steps.all().iter().all(|record| record.is_settled()) {
            sleep(LOOK).await;
        }
    }
}
