//! The HTTP client that speaks to the API server: as kube makes its own, but that what is written leaves at once. A stream
//! into a container is many small messages to and fro; without this, each waits 40 ms until the one before it is
//! acknowledged (Nagle's algorithm against delayed acknowledgements, RFC 896 and RFC 1122 §4.2.3.2).

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config, Error};
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

/// A client for a cluster. Nothing is sent yet.
///
/// # Errors
/// When the keys and certificates in the configuration cannot be used.
pub fn client(config: &Config) -> Result<Client, Error> {
    // Only the first one of a process is taken, and all are this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(plain())?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Builder::new(TokioExecutor::new()).build::<_, Body>(connector));
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// Connections without encryption: the lowest layer.
fn plain() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn what_is_written_to_the_api_server_leaves_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("its address"));
        let connected = plain().oneshot(url.parse().expect("an address")).await.expect("a connection");
        assert!(connected.inner().nodelay().expect("known"));
    }
}
