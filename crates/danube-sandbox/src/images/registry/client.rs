//! Asking a registry: with its permission, and again when that may help.

use std::io::Read;
use std::thread::sleep;
use std::time::Duration;

use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, StatusCode, Uri, header};

use super::cache::Partial;
use super::challenge::Challenge;
use super::credentials::{Credentials, Secret};
use super::error::RegistryError;
use super::patience::Patience;
use super::pull::Watch;
use super::reference::Reference;
use super::transport::{self, Request, Transport};
use crate::images::digest::Digest;
use crate::images::error::{ImageError, Result, harmless};
use crate::images::oci;

/// Bytes of an answer that is a document at most.
const LARGEST_DOCUMENT: u64 = 8 << 20;
/// Bytes that are read of what a registry says about a failure.
const LARGEST_COMPLAINT: u64 = 8 << 10;
/// A pause looks so often whether the job was stopped.
const BLINK: Duration = Duration::from_millis(100);

/// Asks one registry about one repository.
pub struct Client<'a> {
    transport: Transport,
    reference: &'a Reference,
    credentials: &'a Credentials,
    patience: Patience,
    watch: &'a dyn Watch,
    permission: Option<Secret>,
}

impl<'a> Client<'a> {
    pub fn new(
        reference: &'a Reference,
        credentials: &'a Credentials,
        patience: Patience,
        watch: &'a dyn Watch,
    ) -> Self {
        Self { transport: Transport::new(), reference, credentials, patience, watch, permission: None }
    }

    /// What a tag names, if the registry tells without sending it: a look costs nothing where pulls are counted.
    pub fn digest_of(&mut self, tag: &str) -> Result<Option<Digest>> {
        let request = Request { head: true, accept: oci::MANIFESTS, ..Request::get(self.uri("manifests", tag)?) };
        let response = match self.ask(&request) {
            // A registry need not know this way of asking.
            Err(RegistryError::Strange { .. }) => return Ok(None),
            response => response?,
        };
        Ok(response.headers().get("docker-content-digest").and_then(|digest| digest.to_str().ok()?.parse().ok()))
    }

    /// An index or manifest, by tag or digest.
    pub fn manifest(&mut self, name: &str) -> Result<Vec<u8>> {
        let request = Request { accept: oci::MANIFESTS, ..Request::get(self.uri("manifests", name)?) };
        let mut failures = 0;
        loop {
            let mut bytes = Vec::new();
            let body = self.ask(&request)?.into_body();
            match body.into_reader().take(LARGEST_DOCUMENT + 1).read_to_end(&mut bytes) {
                Ok(_) if bytes.len() as u64 > LARGEST_DOCUMENT => {
                    return Err(self.strange("an endless manifest").into());
                }
                Ok(_) => return Ok(bytes),
                Err(error) => self.pause(&mut failures, 1, None, self.lost(&error.to_string()))?,
            }
        }
    }

    /// Downloads a blob to its end, from where it was left off. Its content is not judged here.
    pub fn download(&mut self, digest: &Digest, size: u64, to: &mut Partial, progress: &dyn Fn(u64)) -> Result<()> {
        let uri = self.uri("blobs", &digest.to_string())?;
        let mut failures = 0;
        if to.len() > size {
            to.restart()?;
        }
        while to.len() < size {
            let before = to.len();
            let response = self.ask(&Request { from: before, ..Request::get(uri.clone()) })?;
            if before > 0 && !continues(&response, before) {
                to.restart()?;
            }
            let read = self.append(response.into_body(), size, to, progress);
            let Err(why) = read? else { break };
            failures = if to.len() > before { 0 } else { failures };
            self.pause(&mut failures, 1, None, self.lost(&why))?;
        }
        Ok(())
    }

    /// Appends a body; the inner error is the connection's, which may be tried again.
    fn append(
        &self,
        body: Body,
        size: u64,
        to: &mut Partial,
        progress: &dyn Fn(u64),
    ) -> Result<std::result::Result<(), String>> {
        let mut reader = body.into_reader();
        let mut buffer = vec![0; 128 << 10];
        loop {
            if self.watch.stopped() {
                return Err(RegistryError::Stopped.into());
            }
            match reader.read(&mut buffer) {
                Ok(0) if to.len() < size => return Ok(Err("the connection was closed too early".to_owned())),
                Ok(0) => return Ok(Ok(())),
                Ok(count) if to.len() + count as u64 > size => {
                    let (blob, found) = ("a blob".to_owned(), to.len() + count as u64);
                    return Err(ImageError::WrongSize { blob, expected: size, found });
                }
                Ok(count) => to.write(&buffer[..count])?,
                Err(error) => return Ok(Err(error.to_string())),
            }
            progress(to.len());
        }
    }

    /// Asks; an answer is a success.
    fn ask(&mut self, request: &Request) -> std::result::Result<Response<Body>, RegistryError> {
        let mut response = self.patiently(request, self.permission.as_ref())?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.permission = self.permit(&request.uri, &response)?;
            response = self.patiently(request, self.permission.as_ref())?;
        }
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response)) }
    }

    /// Asks until there is an answer that will not change by itself.
    fn patiently(
        &self,
        request: &Request,
        secret: Option<&Secret>,
    ) -> std::result::Result<Response<Body>, RegistryError> {
        let mut failures = 0;
        loop {
            match self.transport.send(request, secret) {
                Ok(response) if may_change(response.status()) => {
                    let wait = transport::text(response.headers(), header::RETRY_AFTER);
                    let wait = wait.and_then(|seconds| Some(Duration::from_secs(seconds.trim().parse().ok()?)));
                    self.pause(&mut failures, 1, wait, self.refusal(response))?;
                }
                // No way there: less is to be hoped for from asking again.
                Err(error @ RegistryError::Unreachable { .. }) => self.pause(&mut failures, 3, None, error)?,
                answer => return answer,
            }
        }
    }

    /// Waits before the next try, unless that was the last one.
    fn pause(
        &self,
        failures: &mut u32,
        more: u32,
        asked: Option<Duration>,
        why: RegistryError,
    ) -> std::result::Result<(), RegistryError> {
        *failures += more;
        let Some(pause) = self.patience.pause(*failures, asked) else { return Err(why) };
        self.watch.tell(format!("{}; trying again", why.short()));
        let mut left = pause;
        while !left.is_zero() {
            if self.watch.stopped() {
                return Err(RegistryError::Stopped);
            }
            sleep(left.min(BLINK));
            left = left.saturating_sub(BLINK);
        }
        Ok(())
    }

    /// Gets what the registry asks for.
    fn permit(&self, from: &Uri, response: &Response<Body>) -> std::result::Result<Option<Secret>, RegistryError> {
        let asked = response.headers().get_all(header::WWW_AUTHENTICATE);
        let mut asked: Vec<Challenge> =
            asked.iter().filter_map(|header| Challenge::parse(header.to_str().ok()?)).collect();
        asked.sort_by_key(|challenge| *challenge == Challenge::Basic);
        let own = self.credentials.of_host(self.reference.host());
        match asked.into_iter().next() {
            Some(Challenge::Bearer { realm, service, scope }) => {
                self.token(from, &realm, &[("service", service), ("scope", scope)]).map(Some)
            }
            Some(Challenge::Basic) => Ok(own.cloned()),
            None => Err(self.strange("it wants to be asked in a way that is not known here")),
        }
    }

    /// A token from the service that the registry names.
    fn token(
        &self,
        from: &Uri,
        realm: &str,
        parameters: &[(&str, Option<String>)],
    ) -> std::result::Result<Secret, RegistryError> {
        let pairs = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_ref()?))));
        let query = pairs.collect::<Vec<_>>().join("&");
        let separator = if realm.contains('?') { '&' } else { '?' };
        let uri: Uri = format!("{realm}{separator}{query}")
            .parse()
            .map_err(|_| self.strange("a token service without address"))?;
        transport::check_way(from, &uri)?;
        let response = self.patiently(&Request::get(uri), self.credentials.of_host(self.reference.host()))?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let mut text = Vec::new();
        let read = response.into_body().into_reader().take(LARGEST_DOCUMENT).read_to_end(&mut text);
        read.map_err(|error| self.lost(&error.to_string()))?;
        let token = serde_json::from_slice::<Token>(&text).ok().and_then(|token| token.token.or(token.access_token));
        let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        token
            .map(|token| Secret::new(format!("Bearer {token}")))
            .ok_or_else(|| self.strange("a token service without token"))
    }

    fn uri(&self, kind: &str, name: &str) -> std::result::Result<Uri, RegistryError> {
        let (authority, repository) = (self.reference.authority(), self.reference.repository());
        let uri = format!("{}://{authority}/v2/{repository}/{kind}/{name}", transport::scheme(authority));
        uri.parse().map_err(|_| self.strange("no address can be made of its name"))
    }

    fn host(&self) -> String {
        self.reference.host().to_owned()
    }

    fn strange(&self, why: &str) -> RegistryError {
        RegistryError::Strange { host: self.host(), why: why.to_owned() }
    }

    fn lost(&self, why: &str) -> RegistryError {
        RegistryError::Unreachable { host: self.host(), why: format!("the connection broke: {why}") }
    }

    fn refusal(&self, response: Response<Body>) -> RegistryError {
        let (host, status) = (self.host(), response.status());
        let said = complaint(response.into_body());
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { host, said },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let hint = self.credentials.hint(&host);
                RegistryError::NoAccess { host, said, hint }
            }
            StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited { host, said },
            status if may_change(status) => RegistryError::Failing { host, status: status.as_u16(), said },
            status => RegistryError::Strange { host, why: format!("{}{said}", status.as_u16()) },
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn may_change(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// Whether a body goes on where it was asked to.
fn continues(response: &Response<Body>, from: u64) -> bool {
    let range = transport::text(response.headers(), header::CONTENT_RANGE).unwrap_or_default();
    let begin = range.strip_prefix("bytes ").and_then(|range| range.split_once('-')?.0.parse().ok());
    response.status() == StatusCode::PARTIAL_CONTENT && begin == Some(from)
}

/// What a registry says about a failure, as it may stand in a message.
fn complaint(body: Body) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        message: String,
    }
    let mut text = Vec::new();
    // It fails already: what it says about that is a courtesy.
    let _ = body.into_reader().take(LARGEST_COMPLAINT).read_to_end(&mut text);
    let errors = serde_json::from_slice::<Errors>(&text).map(|said| said.errors).unwrap_or_default();
    let message = errors.first().map(|one| harmless(&one.message)).filter(|message| !message.is_empty());
    message.map(|message| format!(" ({message})")).unwrap_or_default()
}

/// A text as a value in an address.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
