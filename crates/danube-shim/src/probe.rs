//! Looks whether a service listens, from within the job's network: an image may have no tool that could.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Loopback answers at once, unless the listener's queue is full.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether something accepts a connection on 127.0.0.1 at this port. It is closed again without a byte.
pub async fn accepts(port: u16) -> bool {
    let connected = timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await;
    let Ok(Ok(stream)) = connected else { return false };
    // A port that nobody listens on may be given to the connection itself, which then meets itself.
    stream.local_addr().is_ok_and(|own| own.port() != port)
}
