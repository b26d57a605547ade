//! Serves the resolver's two sockets and decides what each question is answered.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use danube_core::egress::{Decision, EgressVerdict, is_localhost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::message::{Answer, Incoming, Kind, MAX_MESSAGE, Query, read};
use crate::egress::relay::Relay;
use crate::egress::upstream::Targets;

/// Questions that are worked on at once; more are dropped, and a resolver library asks again.
const MAX_QUESTIONS: usize = 512;
/// Streams that are open at once.
const MAX_STREAMS: usize = 64;
/// How long a stream may be silent.
const STREAM_IDLE: Duration = Duration::from_secs(10);

const NOT_LISTED: &str = "not in the egress list of this job";
const PRIVATE: &str = "leads to a private address; the egress list must say `private`";

/// Answers questions that come as datagrams, for ever.
pub(in crate::egress) async fn serve_datagrams(relay: Arc<Relay>, socket: UdpSocket) -> io::Error {
    let (socket, mut questions) = (Arc::new(socket), JoinSet::new());
    let mut buffer = [0; MAX_MESSAGE + 1];
    loop {
        while questions.try_join_next().is_some() {}
        let (length, asker) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => return error,
        };
        if length > MAX_MESSAGE || questions.len() >= MAX_QUESTIONS {
            continue;
        }
        let (message, relay, socket) = (buffer[..length].to_vec(), relay.clone(), socket.clone());
        questions.spawn(async move {
            if let Some(reply) = reply(&relay, &message).await {
                let _ = socket.send_to(&reply, asker).await;
            }
        });
    }
}

/// Answers questions that come over streams, for ever.
pub(in crate::egress) async fn serve_streams(relay: Arc<Relay>, listener: TcpListener) -> io::Error {
    let mut streams = JoinSet::new();
    loop {
        if streams.len() >= MAX_STREAMS {
            streams.join_next().await;
        }
        while streams.try_join_next().is_some() {}
        if let Some(stream) = crate::egress::relay::accept(&listener).await {
            streams.spawn(serve_stream(relay.clone(), stream));
        }
    }
}

async fn serve_stream(relay: Arc<Relay>, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let message = timeout(STREAM_IDLE, framed(&mut stream)).await??;
        let Some(reply) = reply(&relay, &message).await else { return Ok(()) };
        let mut frame = u16::try_from(reply.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
        frame.extend_from_slice(&reply);
        timeout(STREAM_IDLE, stream.write_all(&frame)).await??;
    }
}

async fn framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_MESSAGE {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn reply(relay: &Relay, message: &[u8]) -> Option<Vec<u8>> {
    match read(message) {
        Incoming::Ignored => None,
        Incoming::Refused(reply) => Some(reply),
        Incoming::Query(query) => Some(query.reply(answer(relay, &query).await)),
    }
}

async fn answer(relay: &Relay, query: &Query<'_>) -> Answer {
    let name = query.name.as_str();
    let asks_the_address = query.kind == Kind::A;
    if is_localhost(name) {
        return if asks_the_address { Answer::Address(Ipv4Addr::LOCALHOST) } else { Answer::Nothing };
    }
    // The root, and the reverse tree: who has an address has it from a name already.
    if name.is_empty() || name == "arpa" || name.ends_with(".arpa") {
        return Answer::Nothing;
    }
    let decision = relay.policy.decide(name, None);
    let Decision::Allowed { private } = decision else {
        // apt asks for `_http._tcp.NAME` before each NAME: recording that would only bury what matters.
        if query.kind != Kind::Service {
            relay.journal.looked_up(name, EgressVerdict::DeniedName);
        }
        return Answer::Blocked(NOT_LISTED);
    };
    match query.kind {
        Kind::A | Kind::Aaaa => existing(relay, name, private, asks_the_address).await,
        Kind::Service | Kind::Other => Answer::Nothing,
    }
}

/// Answers for an allowed name: first whether it exists for the host, so that a typing error is seen as one.
async fn existing(relay: &Relay, name: &str, private: bool, asks_the_address: bool) -> Answer {
    let (verdict, refusal) = match relay.upstream.targets(name, None, private).await {
        Targets::Found(_) | Targets::ThroughProxy(_) => (EgressVerdict::Allowed, None),
        Targets::OnlyPrivate => (EgressVerdict::DeniedPrivate, Some(Answer::Blocked(PRIVATE))),
        Targets::NoName => (EgressVerdict::Unreachable, Some(Answer::NoName)),
        Targets::Unknown => (EgressVerdict::Unreachable, Some(Answer::Failed)),
    };
    relay.journal.looked_up(name, verdict);
    if let Some(refusal) = refusal {
        return refusal;
    }
    match relay.address(name) {
        None => Answer::Failed,
        Some(address) if asks_the_address => Answer::Address(address),
        Some(_) => Answer::Nothing,
    }
}
