//! What every handler has at hand.

use std::sync::Arc;

use danube_engine::master::Master;
use danube_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::events::Boards;

/// Searches at a time: they take a core each, which jobs need more.
const SEARCHES: usize = 2;

/// Shared by all handlers.
pub(crate) type Ctx = Arc<Context>;

/// What every handler has at hand.
pub(crate) struct Context {
    pub master: Master,
    pub auth: Auth,
    pub boards: Boards,
    pub searches: Semaphore,
    /// Streams end when it is cancelled.
    pub shutdown: CancellationToken,
}

impl Context {
    pub(crate) fn new(master: Master, auth: Auth, shutdown: CancellationToken) -> Ctx {
        let boards = Boards::default();
        Arc::new(Self { master, auth, boards, searches: Semaphore::new(SEARCHES), shutdown })
    }

    pub(crate) fn store(&self) -> &Store {
        self.master.store()
    }
}
