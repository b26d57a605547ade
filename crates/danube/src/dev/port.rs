//! Where the master is spoken to: the port that was wished for, or the next free one.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;

use crate::error::CliError;

/// The port that everybody knows.
pub const USUAL: u16 = 8080;
/// How many after it are tried.
const TRIES: u16 = 20;

/// Listens on the loopback. A port that was chosen must be free; the usual one may move up.
pub async fn listen(chosen: Option<u16>) -> Result<TcpListener, CliError> {
    if let Some(port) = chosen {
        let taken =
            |error| CliError::config(format!("--port {port}: {error}")).hint("choose another one, or leave it out");
        return on(port).await.map_err(taken);
    }
    for port in USUAL..USUAL + TRIES {
        match on(port).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            listening => return listening.map_err(CliError::infra),
        }
    }
    on(0).await.map_err(CliError::infra)
}

async fn on(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_passed_over_unless_it_was_chosen() {
        let (first, second) = (listen(None).await.expect("a port"), listen(None).await.expect("another"));
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        assert_ne!(port(&first), port(&second));
        let error = listen(Some(port(&first))).await.expect_err("it is taken");
        assert!(error.message().starts_with(&format!("--port {}: ", port(&first))), "{}", error.message());
    }
}
