//! Connects to the first of several addresses that answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The most addresses that are tried.
const MAX_TRIED: usize = 8;
/// After this long the next address is tried beside the ones before it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// How long one address may take: the kernel's own patience is two minutes, which nobody wants to watch.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tries the addresses in their order, each a little after the one before; the first to answer wins.
pub(super) async fn first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied().take(MAX_TRIED);
    let mut tries = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
    loop {
        let more = waiting.next().map(|address| tries.spawn(one(address))).is_some();
        tokio::select! {
            biased;
            done = tries.join_next() => match done {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => last = error,
                Some(Err(error)) => last = io::Error::other(error),
                None => return Err(last),
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

async fn one(address: SocketAddr) -> io::Result<TcpStream> {
    timeout(PATIENCE, TcpStream::connect(address)).await?
}
