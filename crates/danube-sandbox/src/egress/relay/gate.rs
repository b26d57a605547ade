//! Holds what the client says first until it is known whether it asks a TLS server for another name.

use std::io;
use std::time::Duration;

use danube_core::egress::host_name;
use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::copy::Activity;
use super::hello::{Seen, see};

/// A hello comes at once or not at all; one that trickles in is an attack or a dead client.
const HELLO_TIME: Duration = Duration::from_secs(30);
/// The longest hello. Real ones have up to some 2 KiB, with keys that withstand quantum computers.
const MAX_HELLO: usize = 16 * 1024;

/// What became of the first bytes.
pub(super) enum Passed {
    /// They may go on; empty when the client said nothing and ended.
    Yes(Vec<u8>),
    /// They ask for another name.
    No,
}

/// Waits for the client's first bytes, for as long as the connection lives, and then briefly for the whole hello
/// if they begin one.
pub(super) async fn first_bytes(client: &TcpStream, name: &str, activity: &Activity) -> io::Result<Passed> {
    activity.wait(client.readable()).await?;
    timeout(HELLO_TIME, whole_hello(client, name)).await?
}

async fn whole_hello(client: &TcpStream, name: &str) -> io::Result<Passed> {
    let (mut bytes, mut wanted) = (Vec::new(), 1);
    loop {
        let mut chunk = [0; 4096];
        client.readable().await?;
        match client.try_read(&mut chunk) {
            // Who ends in the middle of a hello has asked for nothing yet; the server sees the same stump.
            Ok(0) => return Ok(Passed::Yes(bytes)),
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if bytes.len() < wanted {
            continue;
        }
        match see(&bytes) {
            Seen::More(more) if bytes.len() + more <= MAX_HELLO => wanted = bytes.len() + more,
            Seen::NotTls | Seen::Hello(None) => return Ok(Passed::Yes(bytes)),
            Seen::Hello(Some(asked)) if host_name(&asked).is_ok_and(|asked| asked == name) => {
                return Ok(Passed::Yes(bytes));
            }
            Seen::More(_) | Seen::Hello(Some(_)) | Seen::Malformed => return Ok(Passed::No),
        }
    }
}

/// Tells a TLS client that it may not, in its own words: the fatal alert "access denied".
pub(super) fn alert(client: &TcpStream) {
    const ACCESS_DENIED: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 49];
    let _ = client.try_write(&ACCESS_DENIED);
    let _ = rustix::net::shutdown(client, Shutdown::Write);
}
