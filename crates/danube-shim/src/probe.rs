//! Looks whether a service listens, from within the job's network: an image may have no tool that could.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Loopback answers at once, unless the listener's queue is full.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether something accepts a connection on 127.0.0.1 at this port. It is closed again without a byte.
pub async fn accepts(port: u16) -> bool {
    let connected = timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await;
    match connected {
        // A port that nobody listens on may be given to the connection itself, which then meets itself.
        Ok(Ok(stream)) => stream.local_addr().is_ok_and(|own| own.port() != port),
        // Who resets a connection has accepted it.
        Ok(Err(error)) => error.kind() == ErrorKind::ConnectionReset,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_accepts_from_listening_on_until_it_is_closed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        assert!(accepts(port).await);
        drop(listener);
        assert!(!accepts(port).await);
    }

    /// The job's way out to the network does so with connections to no name.
    #[tokio::test]
    async fn a_listener_that_resets_at_once_accepts_all_the_same() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (taken, each) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
                drop(stream);
                taken.send(()).expect("the test goes on");
            }
        });
        for _ in 0..2000 {
            assert!(accepts(port).await);
            // A queue that nobody empties on a busy machine would be full after some hundred.
            each.recv().expect("it was accepted");
        }
    }

    #[tokio::test]
    async fn a_connection_that_meets_itself_is_nobody() {
        // Any free port of the range from which the kernel takes a client's own.
        for port in 40_000..41_000 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            assert!(!free || !accepts(port).await, "{port}");
        }
    }
}
