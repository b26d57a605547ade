//! One request over HTTP: where it may go, through which proxy, and that nobody but its addressee learns a secret.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use super::credentials::Secret;
use super::error::RegistryError;

/// A registry that does not accept a connection for so long is not there.
const CONNECT: Duration = Duration::from_secs(15);
/// A registry that sends nothing for so long will send nothing more.
const SILENCE: Duration = Duration::from_secs(30);
/// Most follow one redirect, to a store of blobs.
const REDIRECTS: usize = 5;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Only the headers are wanted.
    pub head: bool,
    /// Where.
    pub uri: Uri,
    /// Which media types are understood; empty for any.
    pub accept: &'static str,
    /// Only the bytes from here on.
    pub from: u64,
}

impl Request {
    /// All of an address.
    pub fn get(uri: Uri) -> Self {
        Self { head: false, uri, accept: "", from: 0 }
    }
}

/// Makes requests.
#[derive(Debug)]
pub struct Transport {
    /// To other machines. Made when it is needed: reading all trusted certificates takes a moment.
    out: OnceCell<Agent>,
    /// To this one: never through a proxy.
    here: OnceCell<Agent>,
}

impl Transport {
    /// With this machine's proxy settings and its trusted certificates.
    pub fn new() -> Self {
        Self { out: OnceCell::new(), here: OnceCell::new() }
    }

    /// Makes a request and follows where it leads. Any status is an answer.
    ///
    /// # Errors
    /// When there is no answer (which may be different the next time), or the way leads where nobody may go.
    pub fn send(&self, request: &Request, secret: Option<&Secret>) -> Result<Response<Body>, RegistryError> {
        let mut request = request.clone();
        let first = host(&request.uri);
        for _ in 0..=REDIRECTS {
            let secret = secret.filter(|_| host(&request.uri) == first);
            let response = self.once(&request, secret)?;
            match redirect(&request.uri, &response)? {
                Some(uri) => request.uri = uri,
                None => return Ok(response),
            }
        }
        Err(RegistryError::Strange { host: first, why: format!("more than {REDIRECTS} redirects") })
    }

    fn once(&self, request: &Request, secret: Option<&Secret>) -> Result<Response<Body>, RegistryError> {
        let agent = match check(&request.uri)? {
            Place::Here => self.here.get_or_init(|| agent(None)),
            Place::Elsewhere => self.out.get_or_init(|| agent(Proxy::try_from_env())),
        };
        let mut call = if request.head { agent.head(&request.uri) } else { agent.get(&request.uri) };
        if !request.accept.is_empty() {
            call = call.header(header::ACCEPT, request.accept);
        }
        if request.from > 0 {
            call = call.header(header::RANGE, format!("bytes={}-", request.from));
        }
        if let Some(secret) = secret {
            call = call.header(header::AUTHORIZATION, secret.reveal());
        }
        call.call().map_err(|error| RegistryError::Unreachable { host: host(&request.uri), why: error.to_string() })
    }
}

fn agent(proxy: Option<Proxy>) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(trusted())
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("danube/", env!("CARGO_PKG_VERSION")))
        .proxy(proxy)
        .tls_config(tls.build())
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE));
    config.build().into()
}

/// Whom this machine trusts. Without any certificate each connection says that its issuer is not known.
fn trusted() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    let found: Vec<_> = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    RootCerts::new_with_certs(&found)
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Here,
    Elsewhere,
}

/// The scheme a registry is spoken to with.
pub fn scheme(authority: &str) -> &'static str {
    if is_loopback(authority.rsplit_once(':').map_or(authority, |(host, _)| host)) { "http" } else { "https" }
}

fn check(uri: &Uri) -> Result<Place, RegistryError> {
    let place = if is_loopback(uri.host().unwrap_or_default()) { Place::Here } else { Place::Elsewhere };
    match (uri.scheme_str(), place) {
        (Some("https"), _) | (Some("http"), Place::Here) => Ok(place),
        _ => Err(RegistryError::Insecure { url: harmless(uri) }),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Who gets a request: the host with its port.
pub fn host(uri: &Uri) -> String {
    uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default()
}

/// An address without what may be a secret in it.
fn harmless(uri: &Uri) -> String {
    format!("{}://{}{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default(), uri.path())
}

/// Whether one address may lead to another: never without TLS, and nobody elsewhere may point to this machine.
pub fn check_way(from: &Uri, to: &Uri) -> Result<(), RegistryError> {
    if check(from)? == Place::Elsewhere && check(to)? == Place::Here {
        return Err(RegistryError::Insecure { url: harmless(to) });
    }
    check(to).map(drop)
}

/// Where an answer points to.
fn redirect(from: &Uri, response: &Response<Body>) -> Result<Option<Uri>, RegistryError> {
    let moved = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !moved.contains(&response.status()) {
        return Ok(None);
    }
    let to = text(response.headers(), header::LOCATION).and_then(|location| absolute(from, location));
    let to = to.ok_or_else(|| RegistryError::Strange { host: host(from), why: "a redirect to nowhere".to_owned() })?;
    check_way(from, &to).map(|()| Some(to))
}

fn absolute(from: &Uri, location: &str) -> Option<Uri> {
    if !location.starts_with('/') || location.starts_with("//") {
        let scheme = if location.starts_with("//") { format!("{}:", from.scheme_str()?) } else { String::new() };
        return format!("{scheme}{location}")
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme().is_some() && uri.authority().is_some());
    }
    Uri::builder()
        .scheme(from.scheme_str()?)
        .authority(from.authority()?.as_str())
        .path_and_query(location)
        .build()
        .ok()
}

/// A header as text.
pub fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uri: &str) -> Option<Place> {
        check(&uri.parse().unwrap()).ok()
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for uri in ["http://127.0.0.1:5000/v2/", "http://localhost/v2/", "http://[::1]:5000/", "https://127.8.8.8/"] {
            assert_eq!(place(uri), Some(Place::Here), "{uri}");
        }
        assert_eq!(place("https://r.example/v2/"), Some(Place::Elsewhere));
        for uri in ["http://r.example/", "http://localhost.example/", "http://10.0.0.1/", "ftp://localhost/"] {
            assert_eq!(place(uri), None, "{uri}");
        }
        assert_eq!((scheme("127.0.0.1:5000"), scheme("localhost"), scheme("r.example:443")), ("http", "http", "https"));
    }

    #[test]
    fn nobody_elsewhere_points_to_this_machine() {
        let way = |from: &str, to: &str| check_way(&from.parse().unwrap(), &to.parse().unwrap()).is_ok();
        assert!(way("https://r.example/", "https://cdn.example/") && way("http://localhost/", "http://127.0.0.1:1/"));
        assert!(way("http://localhost/", "https://cdn.example/"));
        for to in ["http://127.0.0.1:1/", "https://localhost/", "http://cdn.example/"] {
            assert!(!way("https://r.example/", to), "{to}");
        }
    }

    #[test]
    fn a_redirect_leads_on_from_where_it_was_given() {
        let from: Uri = "https://r.example/v2/a/blobs/x".parse().unwrap();
        let to = |location: &str| absolute(&from, location).map(|uri| uri.to_string());
        assert_eq!(to("/b?sig=1").as_deref(), Some("https://r.example/b?sig=1"));
        assert_eq!(to("https://cdn.example/b").as_deref(), Some("https://cdn.example/b"));
        assert_eq!(to("//cdn.example/b").as_deref(), Some("https://cdn.example/b"));
        assert_eq!(to("b"), None);
    }
}
