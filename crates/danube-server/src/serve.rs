//! Connections: accepted up to a number, each in its own task, all ended within a few seconds of the shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 1024;
/// How long a request's head may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of a head, and of an answer that waits to be sent.
const BUFFER: usize = 64 * 1024;
/// How long open connections have after the shutdown.
const DEADLINE: Duration = Duration::from_secs(5);
/// After an error that more of the same would only repeat.
const PAUSE: Duration = Duration::from_millis(100);

/// What stops the server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It cannot be known where it listens.
    #[error("the listener's address cannot be read: {0}")]
    Address(std::io::Error),
}

/// Serves until `shutdown`; then no connection is accepted, streams end, and what is open after 5 seconds is cut.
///
/// # Errors
///
/// When the listener is no good.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> Result<(), ServerError> {
    let address = listener.local_addr().map_err(ServerError::Address)?;
    tracing::debug!(%address, "the API is served");
    let (mut connections, places) = (JoinSet::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => note(ended),
            (stream, place) = accept(&listener, &places) => {
                connections.spawn(connection(stream, place, router.clone(), shutdown.clone()));
            }
        }
    }
    drop(listener);
    let all = async {
        while let Some(ended) = connections.join_next().await {
            note(ended)
        }
    };
    if tokio::time::timeout(DEADLINE, all).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // It is never closed.
    let place = places.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    place: Option<OwnedSemaphorePermit>,
    router: Router,
    shutdown: CancellationToken,
) {
    // What is written shall be seen at once.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(place);
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task died");
    }
}
