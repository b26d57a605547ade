//! Serves the sockets of one job, for as long as the job lives.

use std::io;
use std::net as std_net;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use danube_core::egress::{EgressEvent, EgressPolicy};
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::journal::{Journal, Totals};
use super::relay::{self, Relay};
use super::{EgressError, EgressSockets, Upstream, dns};

/// The most connections at once; more wait in the kernel until others end.
const MAX_CONNECTIONS: usize = 1024;
/// Descriptors that are left for everything else the monitor does.
const SPARE_DESCRIPTORS: u64 = 128;

/// The monitor's side of a job's network.
pub struct Relays {
    relay: Arc<Relay>,
    sockets: EgressSockets,
}

impl Relays {
    /// Serves `sockets` by `policy`. `journal` is told what was decided, in order; it must not block.
    #[must_use]
    pub fn new(
        policy: EgressPolicy,
        sockets: EgressSockets,
        upstream: Upstream,
        journal: impl FnMut(EgressEvent) + Send + 'static,
    ) -> Self {
        Self { relay: Arc::new(Relay::new(policy, upstream, Journal::new(journal))), sockets }
    }

    /// Counts that can be read while the relays run and after.
    #[must_use]
    pub fn totals(&self) -> Arc<Totals> {
        self.relay.journal.totals()
    }

    /// Serves until dropped. Needs a tokio runtime with its network and time drivers; one thread is enough.
    ///
    /// Each connection takes two descriptors: raise the soft limit beforehand, or fewer connections run at once.
    ///
    /// # Errors
    /// When the sockets cannot be served at all. What happens to one connection never ends the others.
    pub async fn run(self) -> Result<(), EgressError> {
        let mut tasks = JoinSet::new();
        self.start(&mut tasks).map_err(EgressError::Serve)?;
        match tasks.join_next().await {
            Some(Ok(error)) => Err(EgressError::Serve(error)),
            Some(Err(panic)) => Err(EgressError::Serve(io::Error::other(panic))),
            None => Ok(()),
        }
    }

    fn start(self, tasks: &mut JoinSet<io::Error>) -> io::Result<()> {
        let EgressSockets { dns_datagrams, dns_streams, listeners } = self.sockets;
        let datagrams = std_net::UdpSocket::from(dns_datagrams);
        datagrams.set_nonblocking(true)?;
        tasks.spawn(dns::serve_datagrams(self.relay.clone(), UdpSocket::from_std(datagrams)?));
        tasks.spawn(dns::serve_streams(self.relay.clone(), listener(dns_streams)?));
        let slots = Arc::new(Semaphore::new(most_connections()));
        for socket in listeners {
            tasks.spawn(serve_port(self.relay.clone(), listener(socket)?, slots.clone()));
        }
        Ok(())
    }
}

async fn serve_port(relay: Arc<Relay>, listener: TcpListener, slots: Arc<Semaphore>) -> io::Error {
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return io::Error::other("no more connections") };
        while connections.try_join_next().is_some() {}
        let Some(client) = relay::accept(&listener).await else { continue };
        let serve = relay.clone().serve(client);
        connections.spawn(async move {
            serve.await;
            drop(slot);
        });
    }
}

fn listener(socket: OwnedFd) -> io::Result<TcpListener> {
    let listener = std_net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn most_connections() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let fit = descriptors.saturating_sub(SPARE_DESCRIPTORS) / 2;
    usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, MAX_CONNECTIONS)
}
