//! One call to a server: where it goes, with what token, and what its answer means.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use super::error::CallError;
use super::find::Instance;

/// A server that does not accept a connection for so long is not there.
const CONNECT: Duration = Duration::from_secs(15);
/// Who sends nothing for so long will send nothing more: a live stream has a sign of life every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);
/// A longer document is none of Danube's.
const LONGEST: u64 = 64 << 20;

/// Speaks to one server.
#[derive(Clone)]
pub struct Http {
    agent: Agent,
    instance: Instance,
}

/// What is asked for besides the path.
#[derive(Default)]
pub struct Wanted<'a> {
    /// Only the bytes from here on.
    pub from: u64,
    /// The live stream's events after this one.
    pub after: &'a str,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    message: String,
    #[serde(default)]
    request_id: String,
}

impl Http {
    /// For this server.
    pub fn new(instance: Instance) -> Self {
        Self { agent: agent(&instance), instance }
    }

    /// The server, for messages.
    pub fn url(&self) -> &str {
        &self.instance.url
    }

    /// Gets a document.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.read(self.open(path, &Wanted::default())?)
    }

    /// Gets a text.
    pub fn text(&self, path: &str) -> Result<String, CallError> {
        let body = bytes(self.open(path, &Wanted::default())?);
        let body = body.map_err(|error| CallError::broke_off(&self.instance.url, &error))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Gets what is read while it arrives.
    pub fn open(&self, path: &str, wanted: &Wanted<'_>) -> Result<Response<Body>, CallError> {
        let mut call = self.agent.get(self.address(path)).header(header::AUTHORIZATION, self.instance.bearer());
        if wanted.from > 0 {
            call = call.header(header::RANGE, format!("bytes={}-", wanted.from));
        }
        if !wanted.after.is_empty() {
            call = call.header("Last-Event-ID", wanted.after);
        }
        self.checked(call.call())
    }

    /// Asks for a change.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let call = self.agent.post(self.address(path)).header(header::AUTHORIZATION, self.instance.bearer());
        let call = call.header(header::CONTENT_TYPE, "application/json");
        self.read(self.checked(call.send(body.to_string()))?)
    }

    fn address(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.instance.url)
    }

    fn checked(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, CallError> {
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refusal(answer)) }
    }

    fn unreachable(&self, error: &ureq::Error) -> CallError {
        let why = match error {
            ureq::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        CallError::Unreachable { url: self.instance.url.clone(), why }
    }

    /// The server's own words, if they are Danube's.
    fn refusal(&self, answer: Response<Body>) -> CallError {
        let status = answer.status();
        let body = bytes(answer).unwrap_or_default();
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error: ErrorFields { message, request_id } }) => {
                CallError::Refused { status: status.as_u16(), message, request_id }
            }
            Err(_) => self.strange(status.to_string()),
        }
    }

    fn read<T: DeserializeOwned>(&self, answer: Response<Body>) -> Result<T, CallError> {
        let body = bytes(answer).map_err(|error| CallError::broke_off(&self.instance.url, &error))?;
        serde_json::from_slice(&body).map_err(|error| self.strange(error))
    }

    /// An answer that makes no sense.
    pub fn strange(&self, why: impl ToString) -> CallError {
        CallError::Strange { url: self.instance.url.clone(), why: why.to_string() }
    }
}

fn bytes(answer: Response<Body>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    answer.into_body().into_reader().take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// No redirect is followed: the token is for this server alone.
fn agent(instance: &Instance) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("danube/", env!("CARGO_PKG_VERSION")))
        .proxy(if instance.is_here() { None } else { Proxy::try_from_env() })
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE));
    // Reading all certificates takes a moment, which nobody waits for without need.
    match instance.url.starts_with("https:") {
        true => config.tls_config(tls()).build().into(),
        false => config.build().into(),
    }
}

fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let found: Vec<_> = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&found))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// A text as one part of a path, or as a value of a query.
pub fn part(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// A path whose parts are texts.
pub fn parts(path: &str) -> String {
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_part_of_a_path() {
        assert_eq!(part("unit tests/ä?&#%"), "unit%20tests%2F%C3%A4%3F%26%23%25");
        assert_eq!(parts("dist/a b.whl"), "dist/a%20b.whl");
    }
}
