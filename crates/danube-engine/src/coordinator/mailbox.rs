//! The coordinator's mailbox, the master's end: calls of the SDK come in, replies go out. A call is handled once, however
//! often it is delivered; its reply is kept until the shim says that it reached the SDK's process.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use danube_core::id::StepId;
use danube_proto::limits::{CALL_BYTES, CALLS};
use danube_proto::mailbox::{CallError, CallLine, ErrorCode, ReplyLine};
use danube_proto::v1::coordinate_request::Of;
use danube_proto::v1::{CoordinateReply, CoordinateRequest};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use crate::EngineError;
use crate::shim::link::{ANSWER, Gone, Link};

/// So often in a row may the shim break the rules of the mailbox before it is not believed any more.
const STRIKES: u32 = 3;
/// After so long without a word the mailbox is asked anew.
const SILENCE: Duration = Duration::from_secs(60);
/// Replies waiting for the connection at most; more wait in their calls.
const OUTGOING: usize = 64;

/// What happens to calls. Cloned for each.
pub trait Handler: Clone + Send + 'static {
    /// Answers a call. Runs on after a lost connection.
    fn call(&self, id: StepId, call: CallLine) -> impl Future<Output = ReplyLine> + Send;
    /// The SDK's process no longer waits for this call.
    fn gone(&self, id: StepId) -> impl Future<Output = ()> + Send;
    /// The reply has reached the SDK's process.
    fn answered(&self, id: StepId) -> impl Future<Output = ()> + Send;
}

/// Bytes of calls that are being handled at most, so that many large ones cannot fill this machine's memory.
const HANDLED_BYTES: usize = 64 * 1024 * 1024;

enum Call {
    /// It is handled; so many bytes came with it, and its caller may have left meanwhile.
    Running { bytes: usize, gone: bool },
    /// Its reply waits to be read.
    Replied(Bytes),
}

/// Serves calls until the coordinator's container is gone.
///
/// # Errors
/// When a call's task died: nobody would ever answer that call.
pub async fn serve<H: Handler>(link: Link, handler: H) -> Result<Gone, EngineError> {
    let mut mailbox = Mailbox { handler, calls: HashMap::new(), running: JoinSet::new() };
    let mut strikes = 0;
    while strikes < STRIKES {
        let (generation, mut client) = match link.client().await {
            Ok(up) => up,
            Err(gone) => return Ok(gone),
        };
        let (replies, outgoing) = mpsc::channel(OUTGOING);
        if let Ok(Ok(calls)) = timeout(ANSWER, client.coordinate(ReceiverStream::new(outgoing))).await {
            strikes = match mailbox.connected(calls.into_inner(), replies).await {
                Parted::Cut => 0,
                // On the same connection, which carries the steps' output.
                Parted::Silent => continue,
                Parted::Broken => strikes + 1,
                Parted::Died(error) => return Err(error),
            };
        }
        link.lost(generation).await;
    }
    Ok(Gone::Stranger("its mailbox broke the protocol".to_owned()))
}

/// Why a connection is served no more.
enum Parted {
    /// It was cut.
    Cut,
    /// Nothing came for a while. That is usual while a step runs; asking anew costs nothing, and whatever was not handed
    /// over then is.
    Silent,
    /// The peer broke the protocol.
    Broken,
    /// A task of ours panicked.
    Died(EngineError),
}

struct Mailbox<H> {
    handler: H,
    calls: HashMap<StepId, Call>,
    running: JoinSet<Option<(StepId, Bytes)>>,
}

impl<H: Handler> Mailbox<H> {
    /// Serves one connection until it breaks.
    async fn connected(
        &mut self,
        mut calls: impl Stream<Item = Result<CoordinateRequest, Status>> + Unpin,
        replies: mpsc::Sender<CoordinateReply>,
    ) -> Parted {
        loop {
            let reply = tokio::select! {
                request = calls.next() => match request {
                    Some(Ok(request)) => self.request(request),
                    None | Some(Err(_)) => return Parted::Cut,
                },
                Some(done) = self.running.join_next() => match done {
                    Ok(done) => Ok(self.done(done)),
                    Err(died) => return Parted::Died(EngineError::TaskDied(died.to_string())),
                },
                () = sleep(SILENCE) => return Parted::Silent,
            };
            let Ok(reply) = reply else { return Parted::Broken };
            if let Some(reply) = reply
                && replies.send(reply).await.is_err()
            {
                return Parted::Cut;
            }
        }
    }

    /// Takes a request; gives a reply that is at hand. `Err`: the peer is broken or hostile.
    fn request(&mut self, request: CoordinateRequest) -> Result<Option<CoordinateReply>, ()> {
        let id = StepId::from_bytes(request.call_id[..].try_into().map_err(|_| ())?);
        match request.of.ok_or(())? {
            Of::Call(line) => return self.called(id, &line),
            Of::Answered(_) => self.was_answered(id)?,
            Of::Gone(_) => self.is_gone(id),
        }
        Ok(None)
    }

    /// What was never replied to cannot have been read: forgetting it would make place for one more, without end.
    fn was_answered(&mut self, id: StepId) -> Result<(), ()> {
        match self.calls.get(&id) {
            Some(Call::Running { .. }) => return Err(()),
            Some(Call::Replied(_)) => {
                self.calls.remove(&id);
                self.tell(move |handler| async move { handler.answered(id).await });
            }
            None => {}
        }
        Ok(())
    }

    fn is_gone(&mut self, id: StepId) {
        if let Some(Call::Running { gone: gone @ false, .. }) = self.calls.get_mut(&id) {
            *gone = true;
            self.tell(move |handler| async move { handler.gone(id).await });
        }
    }

    fn called(&mut self, id: StepId, line: &[u8]) -> Result<Option<CoordinateReply>, ()> {
        match self.calls.get(&id) {
            Some(Call::Running { .. }) => return Ok(None),
            Some(Call::Replied(line)) => return Ok(Some(reply(id, line.clone()))),
            None if line.len() > CALL_BYTES || self.calls.len() >= CALLS => return Err(()),
            None => {}
        }
        let handled = self.calls.values().map(Call::bytes).sum::<usize>();
        self.calls.insert(id, Call::Running { bytes: line.len(), gone: false });
        let call = if handled + line.len() > HANDLED_BYTES { Err(too_much()) } else { parse(id, line) };
        match call {
            Ok(call) => {
                let handler = self.handler.clone();
                self.running.spawn(async move { Some((id, encode(&handler.call(id, call).await))) });
                Ok(None)
            }
            Err(error) => Ok(self.done(Some((id, encode(&ReplyLine::Error(error)))))),
        }
    }

    fn done(&mut self, done: Option<(StepId, Bytes)>) -> Option<CoordinateReply> {
        done.map(|(id, line)| {
            self.calls.insert(id, Call::Replied(line.clone()));
            reply(id, line)
        })
    }

    fn tell<T, F>(&mut self, what: T)
    where
        T: FnOnce(H) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let told = what(self.handler.clone());
        self.running.spawn(async move {
            told.await;
            None
        });
    }
}

impl Call {
    const fn bytes(&self) -> usize {
        match self {
            Self::Running { bytes, .. } => *bytes,
            Self::Replied(_) => 0,
        }
    }
}

fn too_much() -> CallError {
    let most = HANDLED_BYTES >> 20;
    let message =
        format!("the calls that wait for their answers have more than {most} MiB: run fewer at once (limit=)");
    CallError { code: ErrorCode::Invalid, message }
}

fn parse(id: StepId, line: &[u8]) -> Result<CallLine, CallError> {
    let invalid = |message| CallError { code: ErrorCode::Invalid, message };
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|error| invalid(format!("the call is not JSON: {error}")))?;
    let method = value.get("method").and_then(|method| method.as_str()).unwrap_or_default().to_owned();
    if !METHODS.contains(&method.as_str()) {
        let message = format!("this Danube does not know `{method}`; it knows {}", METHODS.join(", "));
        return Err(CallError { code: ErrorCode::Unsupported, message });
    }
    let call: CallLine = serde_json::from_value(value).map_err(|error| invalid(format!("`{method}`: {error}")))?;
    let same = call.id.parse() == Ok(id);
    if same { Ok(call) } else { Err(invalid("the call's id is not the one it was sent under".to_owned())) }
}

/// Every method of docs/protocol.md §6.
const METHODS: [&str; 9] = [
    "step.run",
    "step.cancel",
    "service.start",
    "service.stop",
    "secrets.get",
    "artifacts.upload",
    "artifacts.download",
    "reports.junit",
    "summary.markdown",
];

fn encode(line: &ReplyLine) -> Bytes {
    serde_json::to_vec(line).map_or_else(|_| Bytes::from_static(BROKEN), Bytes::from)
}

/// Replies are plain data and always encode; should one not, the SDK is told so.
const BROKEN: &[u8] = br#"{"error":{"code":"infra","message":"the reply cannot be encoded"}}"#;

fn reply(id: StepId, line: Bytes) -> CoordinateReply {
    CoordinateReply { call_id: Bytes::copy_from_slice(id.as_bytes()), line, r#final: true }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use danube_core::id::ContainerName;
    use danube_core::runtime::Runtime as _;
    use danube_testutils::{Script, Scripted, StepScript};

    use super::*;
    use crate::shim::link::{Peer, tests::group};

    fn error(line: &str) -> CallError {
        parse(StepId::from_bytes([0; 16]), line.as_bytes()).expect_err("refused")
    }

    /// Whatever it is asked for, it never answers.
    #[derive(Clone)]
    struct Busy;

    impl Handler for Busy {
        async fn call(&self, _: StepId, _: CallLine) -> ReplyLine {
            std::future::pending().await
        }
        async fn gone(&self, _: StepId) {
            std::future::pending().await
        }
        async fn answered(&self, _: StepId) {}
    }

    /// A bug of ours.
    #[derive(Clone)]
    struct Dying;

    impl Handler for Dying {
        async fn call(&self, _: StepId, _: CallLine) -> ReplyLine {
            panic!("a bug");
        }
        async fn gone(&self, _: StepId) {}
        async fn answered(&self, _: StepId) {}
    }

    /// Tells which calls it was given.
    #[derive(Clone)]
    struct Told(mpsc::UnboundedSender<StepId>);

    impl Handler for Told {
        async fn call(&self, id: StepId, _: CallLine) -> ReplyLine {
            let _ = self.0.send(id);
            std::future::pending().await
        }
        async fn gone(&self, _: StepId) {}
        async fn answered(&self, _: StepId) {}
    }

    /// What the mailbox is told of a danubefile that called once, and over how many connections. Time is the test's.
    async fn told(script: Script) -> (Vec<StepId>, usize) {
        let script = Script { steps: vec![StepScript::default()], ..script };
        let (runtime, group) = (Arc::new(Scripted::new(script)), group());
        runtime.create(&group).await.expect("a group");
        let peer =
            Peer { attempt: group.attempt, container: ContainerName::coordinator(), nonce: group.nonce, epoch: 1 };
        let (link, keeper) = Link::open(runtime.clone(), peer);
        let (sender, mut calls) = mpsc::unbounded_channel();
        let tasks =
            [tokio::spawn(async { drop(keeper.await) }), tokio::spawn(async { drop(serve(link, Told(sender)).await) })];
        sleep((ANSWER + SILENCE) * 4).await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        (std::iter::from_fn(|| calls.try_recv().ok()).collect(), runtime.opened() as usize)
    }

    #[tokio::test(start_paused = true)]
    async fn a_mailbox_that_does_not_answer_is_asked_on_another_connection() {
        let (calls, connections) = told(Script { unanswered_coordinates: 1, ..Script::default() }).await;
        assert_eq!((calls.len(), connections), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_not_handed_over_is_asked_for_again_and_handled_once() {
        let (calls, connections) = told(Script { silent_coordinates: 1, ..Script::default() }).await;
        assert_eq!((calls.len(), connections), (1, 1));
    }

    fn request(n: u32, of: Of) -> CoordinateRequest {
        CoordinateRequest { call_id: [n.to_le_bytes(); 4].concat().into(), of: Some(of) }
    }

    fn step_run(n: u32, bytes: usize) -> CoordinateRequest {
        let id: String = [n.to_le_bytes(); 4].concat().iter().map(|byte| format!("{byte:02x}")).collect();
        let params = format!(r#"{{"name":"a","script":"{}"}}"#, "x".repeat(bytes));
        let line = format!(r#"{{"v":1,"id":"{id}","method":"step.run","params":{params}}}"#);
        request(n, Of::Call(line.into()))
    }

    fn busy() -> Mailbox<Busy> {
        Mailbox { handler: Busy, calls: HashMap::new(), running: JoinSet::new() }
    }

    #[tokio::test]
    async fn calls_that_wait_have_a_bounded_size() {
        let mut mailbox = busy();
        let replies = (0..500).map(|n| mailbox.request(step_run(n, 200 * 1024)).expect("no strike"));
        let refused: Vec<_> = replies.flatten().collect();
        assert!(mailbox.running.len() * 200 * 1024 <= HANDLED_BYTES, "{} are handled", mailbox.running.len());
        assert_eq!(mailbox.running.len() + refused.len(), 500);
        assert!(refused.iter().all(|reply| reply.line.starts_with(br#"{"error":{"code":"invalid""#)));
    }

    #[tokio::test]
    async fn a_call_whose_task_dies_is_not_waited_for() {
        let mut mailbox = Mailbox { handler: Dying, calls: HashMap::new(), running: JoinSet::new() };
        assert!(mailbox.request(step_run(1, 10)).is_ok());
        let (replies, _outgoing) = mpsc::channel(1);
        let parted = mailbox.connected(tokio_stream::pending(), replies).await;
        let Parted::Died(error) = parted else { panic!("it goes on as if nothing were wrong") };
        assert!(error.to_string().contains("a bug"), "{error}");
    }

    #[tokio::test]
    async fn an_answer_nobody_gave_and_leaving_twice_make_no_place_for_more() {
        let mut mailbox = busy();
        assert!(mailbox.request(step_run(1, 10)).is_ok());
        assert!(mailbox.request(request(1, Of::Answered(true))).is_err(), "it was not answered yet");
        (0..1000).for_each(|_| assert!(mailbox.request(request(1, Of::Gone(true))).is_ok()));
        assert_eq!(mailbox.running.len(), 2, "the call, and that its caller is gone");
    }

    #[test]
    fn a_wrong_call_is_refused_in_words() {
        assert_eq!(error("{").code, ErrorCode::Invalid);
        let unknown = error(r#"{"v":1,"id":"x","method":"job.run","params":{}}"#);
        assert_eq!(unknown.code, ErrorCode::Unsupported);
        assert!(unknown.message.contains("`job.run`"), "{}", unknown.message);
        let wrong = error(r#"{"v":1,"id":"x","method":"secrets.get","params":{"nam":"A"}}"#);
        assert!(wrong.message.contains("unknown field `nam`"), "{}", wrong.message);
        let other = r#"{"v":1,"id":"ffffffffffffffffffffffffffffffff","method":"secrets.get","params":{"name":"A"}}"#;
        assert!(error(other).message.contains("id"));
    }
}
