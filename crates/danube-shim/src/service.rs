//! The gRPC service: each call checks who calls, and hands over.

use std::pin::Pin;
use std::sync::Arc;

use danube_proto::limits::{PROTOCOL, PROTOCOL_MIN};
use danube_proto::v1::shim_server::Shim;
use danube_proto::v1::signal_request::What;
use danube_proto::v1::{
    AttachReply, AttachRequest, CoordinateReply, CoordinateRequest, EndCause, GetFileReply, GetFileRequest, HelloReply,
    HelloRequest, InfoReply, InfoRequest, ListReply, ListRequest, ProbeReply, ProbeRequest, PutFileReply,
    PutFileRequest, ShutdownReply, ShutdownRequest, SignalReply, SignalRequest, StartReply, StartRequest,
    StatTransferReply, StatTransferRequest,
};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::attach::Attach;
use crate::connection::Connection;
use crate::ending::Ending;
use crate::mailbox::Mailbox;
use crate::probe;
use crate::roots::Roots;
use crate::step::record::Command;
use crate::step::registry::Steps;
use crate::transfer::{Transfers, read};

/// Chunks that wait for HTTP/2 on one call: with its own buffers enough to keep the stream busy.
const CHUNKS_AHEAD: usize = 2;

/// Everything a call may need.
#[derive(Clone, Debug)]
pub struct Service {
    /// What `Info` answers.
    pub info: InfoReply,
    /// The steps.
    pub steps: Arc<Steps>,
    /// The transfers.
    pub transfers: Arc<Transfers>,
    /// The folders that may be read.
    pub roots: Roots,
    /// A coordinator's calls.
    pub mailbox: Option<Arc<Mailbox>>,
    /// How the shim ends.
    pub ending: Ending,
}

/// The connection a call came over.
fn connection<T>(request: &Request<T>) -> Result<Connection, Status> {
    request.extensions().get::<Connection>().cloned().ok_or_else(|| Status::internal("a call without a connection"))
}

/// The same; refused to everybody but the master.
fn master<T>(request: &Request<T>) -> Result<Connection, Status> {
    let connection = connection(request)?;
    connection.require_master()?;
    Ok(connection)
}

/// The highest protocol that both sides speak.
fn negotiate(request: &HelloRequest) -> Result<u32, Status> {
    let highest = request.protocol_max.min(PROTOCOL);
    let lowest = request.protocol_min.max(PROTOCOL_MIN);
    let spoken = format!("protocol: this shim speaks {PROTOCOL_MIN} to {PROTOCOL}");
    if highest < lowest { Err(Status::failed_precondition(spoken)) } else { Ok(highest) }
}

#[tonic::async_trait]
impl Shim for Service {
    type AttachStream = ReceiverStream<Result<AttachReply, Status>>;
    type CoordinateStream = Pin<Box<dyn Stream<Item = Result<CoordinateRequest, Status>> + Send>>;
    type GetFileStream = ReceiverStream<Result<GetFileReply, Status>>;

    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let connection = connection(&request)?;
        let protocol = negotiate(request.get_ref())?;
        connection.hello(request.get_ref().epoch)?;
        let shim_version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Response::new(HelloReply { protocol, shim_version, nonce: self.info.nonce.clone() }))
    }

    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoReply>, Status> {
        master(&request)?;
        Ok(Response::new(self.info.clone()))
    }

    async fn start(&self, request: Request<StartRequest>) -> Result<Response<StartReply>, Status> {
        master(&request)?;
        let already_known = self.steps.start(request.into_inner())?;
        Ok(Response::new(StartReply { already_known }))
    }

    async fn attach(&self, request: Request<Streaming<AttachRequest>>) -> Result<Response<Self::AttachStream>, Status> {
        let connection = master(&request)?;
        let mut acks = request.into_inner();
        let first = acks.message().await?.ok_or_else(|| Status::invalid_argument("no step named"))?;
        let record = self.steps.get(&first.step_id)?;
        let attach = Attach::begin(record, connection, acks, &first)?;
        let (to, replies) = mpsc::channel(CHUNKS_AHEAD);
        tokio::spawn(attach.run(to, self.ending.exiting()));
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    async fn signal(&self, request: Request<SignalRequest>) -> Result<Response<SignalReply>, Status> {
        master(&request)?;
        let request = request.into_inner();
        let record = self.steps.get(&request.step_id)?;
        let command = match request.what {
            Some(What::Stop(true)) => Command::Stop(EndCause::Stopped),
            Some(What::Kill(true)) => Command::Kill(EndCause::Stopped),
            Some(What::Signal(signal)) if (1..=64).contains(&signal) => Command::Signal(signal),
            _ => return Err(Status::invalid_argument("stop, kill, or a signal of 1 to 64")),
        };
        Ok(Response::new(SignalReply { running: record.command(command) }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        master(&request)?;
        let steps = self.steps.all().iter().map(|record| record.state()).collect();
        Ok(Response::new(ListReply { steps }))
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        master(&request)?;
        let port = u16::try_from(request.get_ref().port).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| Status::invalid_argument("a port of 1 to 65535"))?;
        Ok(Response::new(ProbeReply { accepts: probe::accepts(port).await }))
    }

    async fn coordinate(
        &self,
        request: Request<Streaming<CoordinateReply>>,
    ) -> Result<Response<Self::CoordinateStream>, Status> {
        let connection = master(&request)?;
        let worker = || Status::failed_precondition("this is a worker's shim: it has no mailbox");
        let mailbox = self.mailbox.clone().ok_or_else(worker)?;
        let (sender, calls) = mpsc::unbounded_channel();
        let (mut waiting, mut replies) = (mailbox.follow(), request.into_inner());
        let exiting = self.ending.exiting();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    // At the end the call ends by itself: a server waits for open ones before it goes.
                    () = exiting.cancelled() => return,
                    call = waiting.recv() => {
                        if call.is_none_or(|call| sender.send(Ok(call)).is_err()) {
                            return;
                        }
                    }
                    reply = replies.message() => match reply {
                        Ok(Some(reply)) if connection.is_master() => mailbox.reply(reply),
                        _ => return,
                    },
                }
            }
        });
        let calls = UnboundedReceiverStream::new(calls);
        Ok(Response::new(Box::pin(calls)))
    }

    async fn put_file(&self, request: Request<Streaming<PutFileRequest>>) -> Result<Response<PutFileReply>, Status> {
        master(&request)?;
        self.transfers.put(request.into_inner()).await.map(Response::new)
    }

    async fn stat_transfer(
        &self,
        request: Request<StatTransferRequest>,
    ) -> Result<Response<StatTransferReply>, Status> {
        master(&request)?;
        Ok(Response::new(self.transfers.stat(&request.get_ref().transfer_id)))
    }

    async fn get_file(&self, request: Request<GetFileRequest>) -> Result<Response<Self::GetFileStream>, Status> {
        master(&request)?;
        let reading = read::open(&self.roots, request.get_ref())?;
        let (to, replies) = mpsc::channel(CHUNKS_AHEAD);
        tokio::spawn(reading.send(to));
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    async fn shutdown(&self, request: Request<ShutdownRequest>) -> Result<Response<ShutdownReply>, Status> {
        master(&request)?;
        self.steps.all().iter().for_each(|record| {
            record.command(Command::Kill(EndCause::Stopped));
        });
        self.ending.exit(request.get_ref().exit_code);
        Ok(Response::new(ShutdownReply {}))
    }
}
