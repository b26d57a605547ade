//! One container's connection: opened through the runtime, greeted with Hello, opened again whenever in doubt, until
//! the runtime says the container is gone. Everyone who calls a shim borrows the present client and, when a call
//! fails for the connection's sake, says so and waits for the next one.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::Runtime;
use danube_proto::limits::{DEAD_SECONDS, MESSAGE_BYTES, PING_SECONDS, PROTOCOL, PROTOCOL_MIN};
use danube_proto::v1::HelloRequest;
use danube_proto::v1::shim_client::ShimClient;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// How long opening a stream and Hello may take before they are tried again; so much longer each time, for a cluster that
/// is slower than that would otherwise never be reached.
const GREETING: Duration = Duration::from_secs(10);
/// The longest is so many times as long.
const MOST_GREETING: u32 = 6;

/// A shim answers a call at once. One that has not for so long, on a connection that still answers pings, is asked anew.
pub const ANSWER: Duration = Duration::from_secs(30);

/// Between two streams: a shim that hangs up at once, again and again, must not keep this machine busy.
const SHORTEST: Duration = Duration::from_millis(5);

/// A client of one shim, as generated.
pub type Client = ShimClient<Channel>;

/// Whom a link belongs to, and what must come back from the other side.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The attempt.
    pub attempt: AttemptId,
    /// The container.
    pub container: ContainerName,
    /// The nonce of the group's spec (docs/protocol.md, rule 8).
    pub nonce: String,
    /// This master's epoch (rule 7).
    pub epoch: u64,
}

/// Why a link gives no client any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The runtime says the container ended.
    #[error("its container ended")]
    Ended,
    /// The peer is not the container that was made, or speaks no common protocol.
    #[error("{0}")]
    Stranger(String),
}

/// A master with a higher epoch has taken over. Nobody who waits for a link is told: whoever would act on it would touch
/// what is no longer this master's. The job's task learns of it, and stops (docs/protocol.md, rule 7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "another Danube has taken over this job (`{0}` answers only a newer one), so this one stops and leaves its containers, records and files to it"
)]
pub struct Fenced(pub ContainerName);

/// Why a call failed for good.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    /// There will be no connection any more.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The shim refused.
    #[error("the shim refused: {0}")]
    Refused(Status),
}

#[derive(Clone)]
enum State {
    Connecting,
    Up { generation: u64, client: Client },
    Gone(Gone),
}

/// A handle on the connection; clones share it.
#[derive(Clone)]
pub struct Link {
    state: watch::Receiver<State>,
    control: mpsc::UnboundedSender<Control>,
}

enum Control {
    Broken(u64),
    Ended,
}

impl Link {
    /// Starts connecting. The returned future keeps the connection; it ends when the container is gone, and fails when
    /// it is another master's.
    pub fn open<R>(runtime: Arc<R>, peer: Peer) -> (Self, impl Future<Output = Result<(), Fenced>> + Send)
    where
        R: Runtime,
        R::Stream: AsyncRead + AsyncWrite,
    {
        let (publish, state) = watch::channel(State::Connecting);
        let (control, orders) = mpsc::unbounded_channel();
        (Self { state, control }, Keeper { runtime, peer, publish, orders, generation: 0 }.run())
    }

    /// Says that the runtime saw the container end: nobody waits for it any longer.
    pub fn ended(&self) {
        let _ = self.control.send(Control::Ended);
    }

    /// Says that a call failed for this connection's sake.
    pub fn broken(&self, generation: u64) {
        let _ = self.control.send(Control::Broken(generation));
    }

    /// Waits for a connection; gives its generation and client.
    ///
    /// # Errors
    /// When there will be none any more.
    pub async fn client(&self) -> Result<(u64, Client), Gone> {
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                State::Up { generation, client } => return Ok((*generation, client.clone())),
                State::Gone(why) => return Err(why.clone()),
                State::Connecting => {}
            }
            if state.changed().await.is_err() {
                // Nobody keeps the connection any more: the job is over or another master's, and whoever waits here is
                // dropped with it. An answer would be acted on.
                return std::future::pending().await;
            }
        }
    }

    /// Calls until the shim has answered. Every call of the protocol may be repeated.
    ///
    /// # Errors
    /// When the shim refuses, or there will be no connection any more.
    pub async fn call<T, C, F>(&self, call: C) -> Result<T, CallFailed>
    where
        C: Fn(Client) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            let (generation, client) = self.client().await?;
            match tokio::time::timeout(ANSWER, call(client)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) if !is_connection(&status) => return Err(CallFailed::Refused(status)),
                Ok(Err(_)) | Err(_) => self.lost(generation).await,
            }
        }
    }

    /// Reports a broken connection and waits until it is no longer the present one.
    pub async fn lost(&self, generation: u64) {
        self.broken(generation);
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| !matches!(state, State::Up { generation: g, .. } if *g == generation)).await;
    }
}

/// Whether a status speaks of the connection rather than of the call.
#[must_use]
pub fn is_connection(status: &Status) -> bool {
    // A call that another master cut off is aborted; the next Hello tells whether that one is the newer.
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded | Code::Aborted
    ) || of_this_side(status)
}

/// Whether the transport made it up: what a shim says has no source here. HTTP/2 gives its own errors codes that a shim
/// uses for other things: many small frames that nobody reads yet end as "resource exhausted".
fn of_this_side(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Why there is no connection.
enum NoClient {
    /// Not yet: try again.
    Yet,
    /// Never again.
    Gone(Gone),
    /// It is another master's.
    Fenced,
}

struct Keeper<R> {
    runtime: Arc<R>,
    peer: Peer,
    publish: watch::Sender<State>,
    orders: mpsc::UnboundedReceiver<Control>,
    generation: u64,
}

impl<R> Keeper<R>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    async fn run(mut self) -> Result<(), Fenced> {
        let mut failures = 0;
        loop {
            let since = tokio::time::Instant::now();
            let patience = GREETING * (failures + 1).min(MOST_GREETING);
            let attempt = tokio::select! {
                done = tokio::time::timeout(patience, greet(&*self.runtime, &self.peer)) => {
                    done.unwrap_or(Err(NoClient::Yet))
                }
                () = told_ended(&mut self.orders) => Err(NoClient::Gone(Gone::Ended)),
            };
            match attempt {
                Ok(client) => {
                    failures = 0;
                    if self.serve(client).await {
                        return self.give_up(Gone::Ended);
                    }
                }
                Err(NoClient::Gone(why)) => return self.give_up(why),
                Err(NoClient::Fenced) => return Err(Fenced(self.peer.container)),
                Err(NoClient::Yet) => failures += 1,
            }
            let pause = backoff(failures).max(SHORTEST.saturating_sub(since.elapsed()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told_ended(&mut self.orders) => return self.give_up(Gone::Ended),
            }
        }
    }

    /// Publishes a client until somebody says it is broken (`false`) or the container ended (`true`).
    async fn serve(&mut self, client: Client) -> bool {
        self.generation += 1;
        let _ = self.publish.send(State::Up { generation: self.generation, client });
        while let Some(order) = self.orders.recv().await {
            match order {
                Control::Broken(generation) if generation < self.generation => {}
                Control::Broken(_) => {
                    let _ = self.publish.send(State::Connecting);
                    return false;
                }
                Control::Ended => return true,
            }
        }
        true
    }

    fn give_up(&self, why: Gone) -> Result<(), Fenced> {
        let _ = self.publish.send(State::Gone(why));
        Ok(())
    }
}

/// Waits until the container's end is reported. Reports about old connections are passed over.
async fn told_ended(orders: &mut mpsc::UnboundedReceiver<Control>) {
    while let Some(order) = orders.recv().await {
        if matches!(order, Control::Ended) {
            return;
        }
    }
}

/// 5 ms, doubled up to about a second, with jitter so that many links do not knock together.
fn backoff(failures: u32) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let mut byte = [0; 1];
    let jitter = if getrandom::fill(&mut byte).is_ok() { u64::from(byte[0]) } else { 0 };
    let base = 5_u64 << failures.min(8);
    Duration::from_millis(base + base * jitter / 512)
}

/// Opens a stream and says Hello.
async fn greet<R>(runtime: &R, peer: &Peer) -> Result<Client, NoClient>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let stream = runtime.open(&peer.attempt, &peer.container).await.map_err(|error| {
        tracing::debug!(container = %peer.container, %error, "no stream yet");
        NoClient::Yet
    })?;
    let channel = connect(stream).await.map_err(|_| NoClient::Yet)?;
    let limit = MESSAGE_BYTES + 64 * 1024;
    let mut client = ShimClient::new(channel).max_decoding_message_size(limit).max_encoding_message_size(limit);
    let hello = HelloRequest {
        epoch: peer.epoch,
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL,
        master_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let reply = client.hello(hello).await.map_err(|status| refusal(&status))?.into_inner();
    if reply.nonce != peer.nonce {
        let why = format!("`{}` answered with another nonce: not our container", peer.container);
        return Err(NoClient::Gone(Gone::Stranger(why)));
    }
    Ok(client)
}

fn refusal(status: &Status) -> NoClient {
    match status.code() {
        Code::Aborted => NoClient::Fenced,
        Code::FailedPrecondition => NoClient::Gone(Gone::Stranger(
            "upgraded past running jobs: this Danube and the job's shim share no protocol".to_owned(),
        )),
        _ => NoClient::Yet,
    }
}

/// A gRPC channel over one stream. It is never reopened by itself: the keeper does that.
async fn connect<S>(stream: S) -> Result<Channel, tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: tonic::codegen::http::Uri| {
        let stream = once.take().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected));
        std::future::ready(stream)
    });
    Endpoint::from_static("http://shim")
        .http2_keep_alive_interval(Duration::from_secs(PING_SECONDS))
        .keep_alive_timeout(Duration::from_secs(DEAD_SECONDS - PING_SECONDS))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .connect_with_connector(connector)
        .await
}

#[cfg(test)]
pub(crate) mod tests {
    use danube_core::egress::{EgressMode, EgressPolicy};
    use danube_core::runtime::{ContainerSpec, GroupSpec, ImageSource, Resources, Role, Workspace};
    use danube_proto::v1::{AttachRequest, InfoRequest, StartRequest};
    use danube_testutils::{Script, Scripted};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// A group that has a coordinator only.
    pub(crate) fn group() -> GroupSpec {
        let coordinator = ContainerSpec {
            name: ContainerName::coordinator(),
            role: Role::Coordinator,
            image: ImageSource::Host,
            program: None,
            resources: Resources::default(),
        };
        GroupSpec {
            attempt: AttemptId { job: "job-1".parse().expect("a job id"), number: 1 },
            nonce: "ab".repeat(16),
            pipeline: "test".to_owned(),
            containers: vec![coordinator],
            workspace: Workspace::Empty,
            source: None,
            egress: EgressPolicy { mode: EgressMode::Enforce, rules: Vec::new() },
            orphan_grace: Duration::from_secs(60),
            time: Duration::from_secs(60),
            warm: 0,
        }
    }

    /// Calls that nothing is said on, because the danubefile only computes. Time is the test's, so no pause is real.
    #[tokio::test(start_paused = true)]
    async fn ten_minutes_of_silence_end_no_link() {
        let (runtime, group) = (Arc::new(Scripted::new(Script::default())), group());
        runtime.create(&group).await.expect("a group");
        let peer =
            Peer { attempt: group.attempt, container: ContainerName::coordinator(), nonce: group.nonce, epoch: 1 };
        let (link, keeper) = Link::open(runtime.clone(), peer);
        let keeper = tokio::spawn(keeper);
        let (generation, client) = link.client().await.expect("a client");
        let (mut attaching, mut coordinating) = (client.clone(), client);
        let mut calls = coordinating.coordinate(tokio_stream::pending()).await.expect("a mailbox").into_inner();
        tokio::select! {
            ended = attaching.attach(tokio_stream::once(AttachRequest::default())) => panic!("{ended:?}"),
            call = calls.message() => panic!("{call:?}"),
            () = sleep(Duration::from_secs(11 * 60)) => {}
        }
        link.call(|mut client| async move { client.info(InfoRequest {}).await }).await.expect("an answer");
        let (now, _) = link.client().await.expect("a client");
        assert_eq!((now, runtime.opened(), keeper.is_finished()), (generation, 1, false), "it is the same connection");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_is_made_again_on_another_connection() {
        let script = Script { unanswered_starts: 1, ..Script::default() };
        let (runtime, group) = (Arc::new(Scripted::new(script)), group());
        runtime.create(&group).await.expect("a group");
        let peer =
            Peer { attempt: group.attempt, container: ContainerName::coordinator(), nonce: group.nonce, epoch: 1 };
        let (link, keeper) = Link::open(runtime.clone(), peer);
        let keeper = tokio::spawn(keeper);
        let start = StartRequest { step_id: vec![1; 16].into(), ..StartRequest::default() };
        let answer = link.call(|mut client| {
            let start = start.clone();
            async move { client.start(start).await }
        });
        // On the stopped clock: a call that is never made again fails here instead of waiting for ever.
        let answer = tokio::time::timeout(ANSWER * 3, answer).await.expect("it is made again");
        assert!(answer.expect("an answer").already_known, "it was started by the call that nobody answered");
        assert_eq!((runtime.opened(), runtime.starts()), (2, vec![([1; 16], 1)]));
        keeper.abort();
    }

    /// HTTP/2 gives a connection up when thousands of small frames wait unread, as they do while this disk is full.
    #[test]
    fn a_connection_given_up_here_is_lost_and_a_refusal_is_not() {
        let given_up = Status::from_error(Box::new(h2::Error::from(h2::Reason::ENHANCE_YOUR_CALM)));
        assert_eq!(given_up.code(), Code::ResourceExhausted);
        assert!(is_connection(&given_up));
        assert!(!is_connection(&Status::resource_exhausted("512 steps run in this container already")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_ping_is_lost() {
        let (engine, _held) = tokio::io::duplex(64 * 1024);
        let mut client = ShimClient::new(connect(engine).await.expect("a channel"));
        let since = Instant::now();
        let status = client.info(InfoRequest {}).await.expect_err("nobody answers");
        assert!(is_connection(&status), "{status:?}");
        assert_eq!(since.elapsed().as_secs(), DEAD_SECONDS);
    }
}
