//! To which host a request was sent. A page that a name leads first to its own server and then to this machine (DNS
//! rebinding) still says that name, so only known ones are answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::problem::Problem;

/// This machine's own names.
const OWN: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The hosts under which this server may be asked, as `Host` headers say them.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Arc<BTreeSet<String>>);

impl Hosts {
    /// This machine's own names at `port`, and `others`.
    pub(crate) fn new(port: u16, others: impl IntoIterator<Item = String>) -> Self {
        let own = OWN.map(|name| format!("{name}:{port}"));
        Self(Arc::new(own.into_iter().chain(others).map(|host| host.to_ascii_lowercase()).collect()))
    }

    fn know(&self, host: &str) -> bool {
        self.0.contains(&host.to_ascii_lowercase())
    }
}

/// Whether a request came to this machine's own name, where nothing is encrypted; under any other there is TLS before us.
pub(crate) fn is_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(host))
}

/// Refuses what was sent to another host.
pub(crate) async fn check_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Result<Response, Problem> {
    let mut named = request.headers().get_all(header::HOST).into_iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Err(Problem::bad_request("A request names one host, in the header Host."));
    };
    // A full address in the request line must not say something else.
    let line = request.uri().authority().map(|authority| authority.as_str().to_owned());
    if !host.to_str().is_ok_and(|host| hosts.know(host)) || line.is_some_and(|host| !hosts.know(&host)) {
        let message = "Danube does not answer under this name: use the address that it printed, or add the name to \
                       its hosts.";
        return Err(Problem::bad_request(message).with_status(StatusCode::MISDIRECTED_REQUEST));
    }
    Ok(next.run(request).await)
}
