//! Whether a service is ready: its port accepts, or a program in its container ends with 0. The shim looks, for an image may
//! have no tool that could.

use std::time::Duration;

use bytes::Bytes;
use danube_core::id::StepId;
use danube_core::runtime::Runtime;
use danube_proto::mailbox::{CallError, Ready, ServiceStart};
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{Argv, AttachRequest, End, ProbeRequest, StartRequest};
use tokio::time::{Instant, sleep, timeout_at};

use super::step::failed;
use super::{infra, invalid, service};
use crate::job::shared::Shared;
use crate::job::shared::services::{Service, State, Wish};
use crate::records;
use crate::shim::link::{CallFailed, Client, Link};
use crate::shim::with_hash;
use danube_proto::v1::signal_request::What;

/// A service's name is at most so long.
const NAME: usize = 63;
/// Between the first two looks; each later pause is longer by half, up to [`SELDOM`].
const OFTEN: Duration = Duration::from_millis(50);
/// Between two looks at most.
const SELDOM: Duration = Duration::from_secs(1);
/// A program that looks may take so long.
const LOOK_MILLIS: u64 = 10_000;
/// Bytes of what it says that are kept for the reason.
const SAID: u64 = 4096;
/// Of these at most so many are shown.
const SHOWN: usize = 300;

/// Checks a call's parameters that need no container.
pub fn check(start: &ServiceStart) -> Result<(), CallError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if start.name.is_empty() || start.name.len() > NAME || !start.name.chars().all(plain) {
        return Err(invalid(format!("name: 1 to {NAME} characters of a-z, 0-9, `-`, `_` and `.`")));
    }
    if let Some(name) = start.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(invalid(format!("env: `{}` cannot be a variable's name", name.escape_default())));
    }
    let words = start.command.iter().flatten().chain(start.env.values());
    if words.chain(looks(start)).any(|text| text.contains('\0')) {
        return Err(invalid("command, env, ready: a NUL byte cannot be passed to a program".to_owned()));
    }
    let image = danube_core::runtime::ImageSource::parse(&start.image);
    if image == danube_core::runtime::ImageSource::Host && start.command.as_ref().is_none_or(Vec::is_empty) {
        return Err(invalid(
            "the image `host` has no program of its own: say by command= what the service runs".to_owned(),
        ));
    }
    match &start.ready {
        Some(Ready::Tcp(0)) => Err(invalid("ready: a port of 1 to 65535".to_owned())),
        Some(Ready::Cmd(argv)) if argv.first().is_none_or(String::is_empty) => {
            Err(invalid("ready: the program's name is empty".to_owned()))
        }
        _ => Ok(()),
    }
}

fn looks(start: &ServiceStart) -> &[String] {
    match &start.ready {
        Some(Ready::Cmd(argv)) => argv,
        _ => &[],
    }
}

/// The port by which it becomes ready.
pub fn port(start: &ServiceStart) -> Option<u16> {
    match start.ready {
        Some(Ready::Tcp(port)) => Some(port),
        _ => None,
    }
}

/// Refuses a port that somebody else in the job has: its listener would be taken for the service's.
pub async fn port_is_free(link: &Link, start: &ServiceStart) -> Result<(), CallError> {
    let Some(port) = port(start) else { return Ok(()) };
    if !accepts(link, port).await? {
        return Ok(());
    }
    Err(invalid(format!(
        "something in this job accepts connections on 127.0.0.1:{port} already, so the service `{}` cannot: another \
         service, a step, the way out to the network (docs/egress.md), or with the machine's own network any program. Let \
         it listen on another port",
        start.name
    )))
}

async fn accepts(link: &Link, port: u16) -> Result<bool, CallFailed> {
    let request = ProbeRequest { port: port.into() };
    let reply = link.call(|mut client| async move { client.probe(request).await }).await?;
    Ok(reply.accepts)
}

/// Waits until a service is ready, or is over; one that takes too long is ended.
pub async fn wait<R: Runtime>(shared: &Shared<R>, service: &Service, start: &ServiceStart) -> Result<(), CallError> {
    // Its container may have to be made first, which is not its own fault.
    service.until(|state| *state != State::Starting).await;
    if service.state() == State::Running {
        let mut look = Look { service, start, deadline: deadline(start), why: String::new() };
        let found = tokio::select! {
            biased;
            () = service.ended() => None,
            found = look.until_ready() => Some(found),
        };
        match found {
            Some(true) => {
                records::service_ready(shared, service.number).await.map_err(|error| failed(shared, error))?;
                service.is_ready_now();
            }
            Some(false) => {
                let words = shared.mask(&look.words());
                service::end(service, Wish::NotReady(words), What::Stop(true)).await;
                service.ended().await;
            }
            None => {}
        }
    }
    match service.state() {
        State::Ended(ending) => Err((&ending).into()),
        _ => Ok(()),
    }
}

fn deadline(start: &ServiceStart) -> Instant {
    let now = Instant::now();
    now.checked_add(Duration::from_millis(start.timeout_ms)).unwrap_or(now + Duration::from_secs(86_400))
}

/// Looking again and again.
struct Look<'a> {
    service: &'a Service,
    start: &'a ServiceStart,
    deadline: Instant,
    /// What the last look found.
    why: String,
}

impl Look<'_> {
    /// False when the time is up.
    async fn until_ready(&mut self) -> bool {
        let mut pause = OFTEN;
        loop {
            match timeout_at(self.deadline, once(&self.service.link, self.start)).await {
                Ok(Ok(())) => return true,
                Ok(Err(why)) => self.why = why,
                Err(_) => return false,
            }
            if timeout_at(self.deadline, sleep(pause)).await.is_err() {
                return false;
            }
            pause = (pause * 3 / 2).min(SELDOM);
        }
    }

    fn words(&self) -> String {
        let after = self.start.timeout_ms as f64 / 1000.0;
        let why = if self.why.is_empty() { "its container did not answer" } else { &self.why };
        format!("was not ready after {after} s: {why}")
    }
}

/// One look; else why it is not ready.
async fn once(link: &Link, start: &ServiceStart) -> Result<(), String> {
    match &start.ready {
        None => Ok(()),
        Some(Ready::Tcp(port)) => match accepts(link, *port).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("nothing accepts connections on 127.0.0.1:{port}")),
            Err(error) => Err(error.to_string()),
        },
        Some(Ready::Cmd(argv)) => {
            let end = ran(link, start, argv).await.map_err(|error| error.message)?;
            if end.exit_code == 0 { Ok(()) } else { Err(found(argv, &end)) }
        }
    }
}

/// `pg_isready` ended with exit code 2: no response.
fn found(argv: &[String], end: &End) -> String {
    let said: Vec<u8> = end.stdout.iter().chain(&end.stderr).copied().collect();
    let said = String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ");
    let said = if end.message.is_empty() { said } else { end.message.clone() };
    let said: String = said.chars().take(SHOWN).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    format!("`{}` ended with exit code {}{colon}{said}", argv.join(" "), end.exit_code)
}

/// Runs a program beside the service, without a row: it only looks.
async fn ran(link: &Link, start: &ServiceStart, argv: &[String]) -> Result<End, CallError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(infra)?;
    let id = StepId::from_bytes(id);
    let request = with_hash(StartRequest {
        step_id: Bytes::copy_from_slice(id.as_bytes()),
        command: Some(Command::Argv(Argv { args: argv.to_vec() })),
        env: start.env.clone().into_iter().collect(),
        timeout_ms: LOOK_MILLIS,
        capture_limit: SAID,
        ..StartRequest::default()
    });
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.start(request).await }
    };
    link.call(call).await?;
    Ok(link.call(|client| end_of(client, id)).await?)
}

/// Reads past the output to the end, and lets the shim forget both.
async fn end_of(mut client: Client, id: StepId) -> Result<tonic::Response<End>, tonic::Status> {
    let id = Bytes::copy_from_slice(id.as_bytes());
    let request = AttachRequest { step_id: id, offset: 0, release: false };
    let (acks, requests) = tokio::sync::mpsc::unbounded_channel();
    let _ = acks.send(request);
    let requests = tokio_stream::wrappers::UnboundedReceiverStream::new(requests);
    let mut replies = client.attach(requests).await?.into_inner();
    while let Some(reply) = replies.message().await? {
        match reply.of {
            Some(Of::End(end)) => return Ok(tonic::Response::new(end)),
            Some(Of::Chunk(chunk)) => {
                let offset = chunk.offset.saturating_add(chunk.data.len() as u64);
                let _ = acks.send(AttachRequest { step_id: Bytes::new(), offset, release: false });
            }
            None => {}
        }
    }
    Err(tonic::Status::unavailable("the stream ended before the program did"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(rest: &str) -> ServiceStart {
        serde_json::from_str(&format!(r#"{{"timeout_ms":1000,{rest}}}"#)).expect("parameters")
    }

    #[test]
    fn a_service_s_parameters_are_checked() {
        check(&start(r#""name":"db-1.a_b","image":"postgres:17","ready":{"tcp":5432}"#)).expect("right");
        check(&start(r#""name":"web","image":"host","command":["./server"]"#)).expect("right");
        for (wrong, word) in [
            (r#""name":"","image":"a""#, "name:"),
            (r#""name":"Db","image":"a""#, "name:"),
            (r#""name":"a b","image":"a""#, "name:"),
            (r#""name":"a","image":"host""#, "command="),
            (r#""name":"a","image":"host","command":[]"#, "command="),
            (r#""name":"a","image":"a","env":{"A=B":""}"#, "env:"),
            (r#""name":"a","image":"a","env":{"A":"\u0000"}"#, "NUL"),
            (r#""name":"a","image":"a","command":["\u0000"]"#, "NUL"),
            (r#""name":"a","image":"a","ready":{"tcp":0}"#, "ready:"),
            (r#""name":"a","image":"a","ready":{"cmd":[]}"#, "ready:"),
            (r#""name":"a","image":"a","ready":{"cmd":["a\u0000"]}"#, "NUL"),
        ] {
            let error = check(&start(wrong)).expect_err(wrong);
            assert!(error.message.contains(word), "{wrong}: {}", error.message);
        }
    }

    #[test]
    fn what_a_look_found_is_told_in_one_line() {
        let end = End { exit_code: 2, stderr: "no\n  response\n".into(), ..End::default() };
        assert_eq!(
            found(&["pg_isready".into(), "-q".into()], &end),
            "`pg_isready -q` ended with exit code 2: no response"
        );
    }
}
