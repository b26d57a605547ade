//! One connection of the job's: a verdict, then a copy of bytes.

mod copy;
mod gate;
mod hello;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use danube_core::egress::{Decision, EgressPolicy, EgressVerdict};
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};

use super::is_served;
use super::journal::Journal;
use super::names::Names;
use super::upstream::{Targets, Upstream};
use copy::Activity;
use gate::Passed;

/// After this long without traffic the kernel asks whether the other side still lives, which also keeps routers
/// between here and there from forgetting a quiet connection.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Why a connection ends before both sides have said all.
enum Broken {
    /// The client asked a TLS server for another name.
    OtherName,
    /// One side went away.
    Off,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Off
    }
}

/// What all connections and questions of a job share.
pub(super) struct Relay {
    pub(super) policy: EgressPolicy,
    pub(super) upstream: Upstream,
    pub(super) journal: Journal,
    names: Mutex<Names>,
}

impl Relay {
    pub(super) fn new(policy: EgressPolicy, upstream: Upstream, journal: Journal) -> Self {
        Self { policy, upstream, journal, names: Mutex::default() }
    }

    /// The address that a name has inside the job; none when there are too many names.
    pub(super) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).address(name)
    }

    fn name(&self, address: Ipv4Addr) -> Option<Arc<str>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).name(address)
    }

    /// Serves one accepted connection to its end.
    pub(super) async fn serve(self: Arc<Self>, client: TcpStream) {
        let Ok(SocketAddr::V4(asked)) = client.local_addr() else { return reset(&client) };
        // A wildcard listener also takes connections to the job's own loopback; those are nobody's.
        if !is_served(*asked.ip()) {
            return reset(&client);
        }
        let name = self.name(*asked.ip());
        let opened = match &name {
            Some(name) => self.open(name, asked.port()).await,
            None => Err(EgressVerdict::DeniedName),
        };
        let name = name.unwrap_or_else(|| asked.ip().to_string().into());
        match opened {
            Ok(server) => self.join(&name, asked.port(), client, server).await,
            Err(verdict) => {
                self.journal.connection(&name, asked.port(), verdict);
                reset(&client);
            }
        }
    }

    /// Connects to what the name leads to now, if the policy lets it.
    async fn open(&self, name: &str, port: u16) -> Result<TcpStream, EgressVerdict> {
        let Decision::Allowed { private } = self.policy.decide(name, Some(port)) else {
            return Err(EgressVerdict::DeniedName);
        };
        let connected = match self.upstream.targets(name, Some(port), private).await {
            Targets::Found(addresses) => self.upstream.connect(&addresses, port).await,
            Targets::ThroughProxy(proxy) => self.upstream.connect_through(proxy, name, port).await,
            Targets::OnlyPrivate => return Err(EgressVerdict::DeniedPrivate),
            Targets::NoName | Targets::Unknown => return Err(EgressVerdict::Unreachable),
        };
        let server = connected.map_err(|_| EgressVerdict::Unreachable)?;
        let _ = sockopt::set_socket_keepalive(&server, true);
        let _ = sockopt::set_tcp_keepidle(&server, KEEPALIVE);
        let _ = server.set_nodelay(true);
        Ok(server)
    }

    /// Copies both ways. What the server says passes at once, because many protocols begin with it; what the
    /// client says passes once it is seen not to ask for another name.
    async fn join(&self, name: &str, port: u16, client: TcpStream, server: TcpStream) {
        let _ = client.set_nodelay(true);
        let activity = Activity::default();
        let up = async {
            let passed = gate::first_bytes(&client, name, &activity).await;
            let refused = matches!(passed, Ok(Passed::No));
            let verdict = if refused { EgressVerdict::DeniedServerName } else { EgressVerdict::Allowed };
            self.journal.connection(name, port, verdict);
            let Passed::Yes(bytes) = passed? else { return Err(Broken::OtherName) };
            copy::write(&server, &bytes, &activity).await?;
            drop(bytes);
            Ok(copy::until_end(&client, &server, &activity).await?)
        };
        let down = async { Ok(copy::until_end(&server, &client, &activity).await?) };
        let Err(broken) = tokio::try_join!(up, down) else { return };
        reset(&server);
        match broken {
            Broken::OtherName => gate::alert(&client),
            Broken::Off => reset(&client),
        }
    }
}

/// Accepts a connection; none when the process has no descriptor or memory left for it, after a pause.
pub(super) async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    const PAUSE: Duration = Duration::from_millis(50);
    match listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(_) => {
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

/// Makes the end of a connection an error for its other side, so that a broken transfer is not taken for a
/// complete one.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
