//! A shim in the process: the protocol's server side as its script tells it.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use danube_core::runtime::Role;
use danube_proto::limits::{CHUNK_BYTES, PROTOCOL};
use danube_proto::v1::coordinate_request::Of;
use danube_proto::v1::{
    AttachReply, AttachRequest, CoordinateReply, CoordinateRequest, GetFileReply, GetFileRequest, HelloReply,
    HelloRequest, InfoReply, InfoRequest, ListReply, ListRequest, ProbeReply, ProbeRequest, PutFileReply,
    PutFileRequest, ShutdownReply, ShutdownRequest, SignalReply, SignalRequest, StartReply, StartRequest,
    StatTransferReply, StatTransferRequest, attach_reply, signal_request::What,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::replies::{chunks, end, honest, sha256};
use crate::script::{Gate, Hello, Script, call_id};

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Exit = Arc<dyn Fn(i32) + Send + Sync>;

/// One container's PID 1.
#[derive(Clone)]
pub struct Shim(Arc<Inner>);

struct Inner {
    role: Role,
    nonce: String,
    script: Script,
    exit: Exit,
    /// How each step ends, made once: a step is told of again after each cut.
    ends: Vec<AttachReply>,
    /// The ids of the script's steps, in order.
    ids: Vec<[u8; 16]>,
    state: Mutex<State>,
    /// How the danubefile ended.
    runner: watch::Sender<Option<i32>>,
    /// Bytes of each step that were acknowledged.
    acked: watch::Sender<HashMap<Vec<u8>, u64>>,
}

#[derive(Default)]
struct State {
    /// Hashes of the steps started, in order, by id.
    starts: HashMap<Vec<u8>, Vec<Bytes>>,
    /// Calls of Start so far.
    asked: u32,
    coordinates: u32,
    /// Attaches that were told nothing.
    silenced: usize,
    attaches: HashMap<Vec<u8>, usize>,
    /// By call: whether its final reply was a success.
    answered: HashMap<Vec<u8>, bool>,
    transfers: HashMap<String, Vec<u8>>,
    complete: Vec<String>,
}

impl fmt::Debug for Shim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shim").field("role", &self.0.role).finish_non_exhaustive()
    }
}

impl Shim {
    pub fn new(role: Role, nonce: String, script: Script, exit: Exit) -> Self {
        let ends = script.steps.iter().map(|step| end(&step.output, step.exit_code)).collect();
        let ids = (0..script.steps.len()).map(|n| call_id(&nonce, n)).collect();
        let (state, runner, acked) = (Mutex::default(), watch::channel(None).0, watch::channel(HashMap::new()).0);
        Self(Arc::new(Inner { role, nonce, script, exit, ends, ids, state, runner, acked }))
    }

    pub fn hello_script(&self) -> Hello {
        match self.0.role {
            Role::Coordinator => self.0.script.coordinator_hello,
            Role::Worker | Role::Service => self.0.script.worker_hello,
        }
    }

    pub fn exit(&self, code: i32) {
        (self.0.exit)(code);
    }

    pub fn starts(&self) -> Vec<([u8; 16], u32)> {
        let known = |(id, starts): (&Vec<u8>, &Vec<Bytes>)| {
            Some((<[u8; 16]>::try_from(id.as_slice()).ok()?, u32::try_from(starts.len()).ok()?))
        };
        self.state().starts.iter().filter_map(known).collect()
    }

    pub fn attached(&self) -> usize {
        self.state().attaches.values().sum()
    }

    pub fn silenced(&self) -> usize {
        self.state().silenced
    }

    pub fn received(&self) -> Vec<(String, Vec<u8>)> {
        self.state().transfers.iter().map(|(id, content)| (id.clone(), content.clone())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of the script's steps an id names.
    fn step(&self, id: &[u8]) -> Option<usize> {
        self.0.ids.iter().position(|known| known == id)
    }

    /// Counts the calls of Coordinate, from 1.
    fn coordinated(&self) -> u32 {
        let mut state = self.state();
        state.coordinates += 1;
        state.coordinates
    }

    /// The calls that wait for an answer.
    fn waiting(&self) -> Vec<CoordinateRequest> {
        let answered = self.state().answered.clone();
        let open = (0..self.0.script.steps.len()).filter(|n| !answered.contains_key(&self.0.ids[*n][..]));
        open.map(|n| self.call(n)).collect()
    }

    fn call(&self, n: usize) -> CoordinateRequest {
        let call = self.0.ids[n];
        let id: String = call.iter().map(|byte| format!("{byte:02x}")).collect();
        let command = match self.0.script.steps[n].script_file {
            Some(_) => serde_json::json!({"name": "step", "script_file": "/danube/outbox/script"}),
            None => serde_json::json!({"name": "step", "argv": ["true"]}),
        };
        let line = serde_json::json!({"v": 1, "id": id, "method": "step.run", "params": command});
        CoordinateRequest { call_id: Bytes::copy_from_slice(&call), of: Some(Of::Call(line.to_string().into())) }
    }

    /// Takes a reply as the SDK would; the danubefile ends when it has all.
    fn take(&self, reply: &CoordinateReply) -> Option<CoordinateRequest> {
        self.step(&reply.call_id)?;
        let line: serde_json::Value = serde_json::from_slice(&reply.line).unwrap_or_default();
        let ok = line["ok"]["exit_code"] == 0 && line["ok"]["cause"] == "exited";
        let mut state = self.state();
        state.answered.insert(reply.call_id.to_vec(), ok);
        if state.answered.len() == self.0.script.steps.len() {
            let code = i32::from(!state.answered.values().all(|ok| *ok));
            self.end_runner(code);
        }
        Some(CoordinateRequest { call_id: reply.call_id.clone(), of: Some(Of::Answered(true)) })
    }

    fn end_runner(&self, code: i32) {
        self.0.runner.send_if_modified(|end| end.is_none() && end.replace(code).is_none());
    }

    async fn runner_replies(&self, nth: usize, offset: u64) -> Vec<AttachReply> {
        let ended = self.0.runner.subscribe().wait_for(Option::is_some).await.map_or(None, |end| *end);
        let replies = honest(b"", ended.unwrap_or(1), 0);
        match &self.0.script.runner_tells {
            Some(tells) => tells(nth, offset, replies),
            None => replies,
        }
    }

    fn step_replies(&self, step: usize, nth: usize, offset: u64) -> Vec<AttachReply> {
        let end = self.0.ends[step].clone();
        let replies = chunks(&self.0.script.steps[step].output, offset).chain([end]).collect();
        match &self.0.script.tells {
            Some(tells) => tells(nth, offset, replies),
            None => replies,
        }
    }

    fn acknowledged(&self, step: &Bytes, offset: u64) {
        self.0.acked.send_modify(|acked| {
            let known = acked.entry(step.to_vec()).or_default();
            *known = offset.max(*known);
        });
    }

    /// Holds back what a spool that is full could not have taken.
    fn within_the_spool(self, step: Bytes, replies: Vec<AttachReply>) -> Replies<AttachReply> {
        let Some(spool) = self.0.script.spool else { return all(replies.into_iter()) };
        let acked = self.0.acked.subscribe();
        Box::pin(tokio_stream::iter(replies).then(move |reply| {
            let (mut acked, step) = (acked.clone(), step.clone());
            async move {
                if let Some(attach_reply::Of::Chunk(chunk)) = &reply.of {
                    let end = chunk.offset + chunk.data.len() as u64;
                    let fits = |acked: &HashMap<_, u64>| end <= spool + acked.get(&step[..]).copied().unwrap_or(0);
                    drop(acked.wait_for(fits).await);
                }
                Ok(reply)
            }
        }))
    }

    /// Notes a start, unless it was noted before, and gives whether it was; none when nobody is to be told.
    fn started(&self, request: StartRequest) -> Option<bool> {
        let mut state = self.state();
        let starts = state.starts.entry(request.step_id.to_vec()).or_default();
        // The same id again starts nothing; with another hash it would be another step.
        let already_known = starts.contains(&request.spec_hash);
        if !already_known {
            starts.push(request.spec_hash);
        }
        state.asked += 1;
        (state.asked > self.0.script.unanswered_starts).then_some(already_known)
    }

    fn put(&self, id: &str, size: u64, request: &PutFileRequest) -> Result<bool, Status> {
        let mut state = self.state();
        let content = state.transfers.entry(id.to_owned()).or_default();
        let known = content.len() as u64;
        if request.offset > known {
            return Err(Status::invalid_argument("offset"));
        }
        // What a connection that was cut had still under way may have come before.
        let again = usize::try_from(known - request.offset).unwrap_or(usize::MAX).min(request.data.len());
        content.extend_from_slice(&request.data[again..]);
        let complete = content.len() as u64 >= size;
        if complete {
            state.complete.push(id.to_owned());
        }
        Ok(complete)
    }
}

fn all<T: Send + 'static>(replies: impl Iterator<Item = T> + Send + 'static) -> Replies<T> {
    Box::pin(tokio_stream::iter(replies.map(Ok)))
}

/// Lets the last reply through when the gate is open.
fn held(gate: Option<Gate>, replies: Replies<AttachReply>) -> Replies<AttachReply> {
    let Some(gate) = gate else { return replies };
    Box::pin(replies.then(move |reply| {
        let mut gate = gate.clone();
        async move {
            if matches!(&reply, Ok(AttachReply { of: Some(attach_reply::Of::End(_)) })) {
                // Who gave the gate up lets everything through.
                let _ = gate.wait_for(|open| *open).await;
            }
            reply
        }
    }))
}

/// An honest file.
fn file(content: &Bytes, offset: u64) -> Box<dyn Iterator<Item = GetFileReply> + Send> {
    let rest = content.slice(usize::try_from(offset).unwrap_or(usize::MAX).min(content.len())..);
    let (size, hash) = (content.len() as u64, sha256(&rest));
    let chunks = rest.len().div_ceil(CHUNK_BYTES).max(1);
    Box::new((0..chunks).map(move |n| {
        let data = rest.slice(n * CHUNK_BYTES..rest.len().min((n + 1) * CHUNK_BYTES));
        let last = n + 1 == chunks;
        let offset = offset + (n * CHUNK_BYTES) as u64;
        GetFileReply { size, data, offset, sha256: if last { hash.clone() } else { Bytes::new() }, last }
    }))
}

#[tonic::async_trait]
impl danube_proto::v1::shim_server::Shim for Shim {
    type AttachStream = Replies<AttachReply>;
    type CoordinateStream = Replies<CoordinateRequest>;
    type GetFileStream = Replies<GetFileReply>;

    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let nonce = match self.hello_script() {
            Hello::Fenced => return Err(Status::aborted("fenced")),
            Hello::OldProtocol => return Err(Status::failed_precondition("protocol: this shim speaks 0 to 0")),
            Hello::OtherNonce => "0".repeat(32),
            Hello::Honest | Hello::Garbage => self.0.nonce.clone(),
        };
        Ok(Response::new(HelloReply { protocol: PROTOCOL, shim_version: String::new(), nonce }))
    }

    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoReply>, Status> {
        Ok(Response::new(self.0.script.info.clone()))
    }

    async fn start(&self, request: Request<StartRequest>) -> Result<Response<StartReply>, Status> {
        let Some(already_known) = self.started(request.into_inner()) else { return std::future::pending().await };
        if already_known || self.0.role != Role::Coordinator || !self.0.script.steps.is_empty() {
            return Ok(Response::new(StartReply { already_known }));
        }
        self.end_runner(0);
        Ok(Response::new(StartReply { already_known }))
    }

    async fn attach(&self, request: Request<Streaming<AttachRequest>>) -> Result<Response<Self::AttachStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.ok_or_else(|| Status::invalid_argument("no step"))?;
        if first.release {
            return Ok(Response::new(all(std::iter::empty())));
        }
        let nth = {
            let mut state = self.state();
            let attaches = state.attaches.entry(first.step_id.to_vec()).or_default();
            *attaches += 1;
            *attaches - 1
        };
        if self.0.role == Role::Worker && nth < self.0.script.silent_attaches {
            self.state().silenced += 1;
            // The request is kept, or the call would end.
            return Ok(Response::new(Box::pin(tokio_stream::pending().map(move |reply| (reply, &requests).0))));
        }
        let gate = self.0.script.gate.clone().filter(|_| self.0.role == Role::Worker);
        let replies = match (self.0.role, self.step(&first.step_id)) {
            (Role::Coordinator, _) => self.runner_replies(nth, first.offset).await,
            (_, Some(step)) => self.step_replies(step, nth, first.offset),
            (_, None) => return Err(Status::not_found("no such step")),
        };
        // The acknowledgements must be read, or the call ends when the client's half does.
        let (id, shim) = (first.step_id, self.clone());
        let step = id.clone();
        tokio::spawn(async move {
            while let Ok(Some(ack)) = requests.message().await {
                shim.acknowledged(&step, ack.offset);
            }
        });
        Ok(Response::new(held(gate, self.clone().within_the_spool(id, replies))))
    }

    async fn signal(&self, request: Request<SignalRequest>) -> Result<Response<SignalReply>, Status> {
        if self.0.role == Role::Coordinator {
            self.end_runner(if matches!(request.into_inner().what, Some(What::Kill(_))) { 137 } else { 143 });
        }
        Ok(Response::new(SignalReply { running: false }))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        Ok(Response::new(ListReply::default()))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        Ok(Response::new(ProbeReply { accepts: false }))
    }

    async fn coordinate(
        &self,
        request: Request<Streaming<CoordinateReply>>,
    ) -> Result<Response<Self::CoordinateStream>, Status> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let nth = self.coordinated();
        let (unanswered, silent) = (self.0.script.unanswered_coordinates, self.0.script.silent_coordinates);
        if nth <= unanswered {
            std::future::pending::<()>().await;
        }
        let mails = self.0.script.mails.clone();
        let waiting = if nth <= unanswered + silent { Vec::new() } else { self.waiting() };
        let calls = mails.map_or_else(|| waiting.clone(), |mails| mails(waiting.clone()));
        calls.into_iter().for_each(|call| drop(sender.send(Ok(call))));
        let (shim, mut replies) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(reply)) = replies.message().await {
                if let Some(outcome) = shim.take(&reply) {
                    let _ = sender.send(Ok(outcome));
                }
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }

    async fn put_file(&self, request: Request<Streaming<PutFileRequest>>) -> Result<Response<PutFileReply>, Status> {
        let mut requests = request.into_inner();
        let (mut header, mut complete) = (None, false);
        while let Some(request) = requests.next().await.transpose()? {
            let header = header.get_or_insert_with(|| request.header.clone().unwrap_or_default());
            complete = self.put(&header.transfer_id, header.size, &request)?;
        }
        Ok(Response::new(PutFileReply { offset: 0, complete }))
    }

    async fn stat_transfer(
        &self,
        request: Request<StatTransferRequest>,
    ) -> Result<Response<StatTransferReply>, Status> {
        let id = request.into_inner().transfer_id;
        let state = self.state();
        let offset = state.transfers.get(&id).map_or(0, |content| content.len() as u64);
        Ok(Response::new(StatTransferReply { offset, complete: state.complete.contains(&id) }))
    }

    async fn get_file(&self, request: Request<GetFileRequest>) -> Result<Response<Self::GetFileStream>, Status> {
        let content = self.0.script.steps.iter().find_map(|step| step.script_file.clone());
        let content = Bytes::from(content.ok_or_else(|| Status::not_found("no file"))?);
        let offset = request.into_inner().offset;
        let replies = match &self.0.script.files {
            Some(files) => files(content, offset),
            None => file(&content, offset),
        };
        Ok(Response::new(all(replies)))
    }

    async fn shutdown(&self, request: Request<ShutdownRequest>) -> Result<Response<ShutdownReply>, Status> {
        self.exit(request.into_inner().exit_code);
        Ok(Response::new(ShutdownReply {}))
    }
}
