//! The master's side of one connection.

use std::path::Path;
use std::sync::{Arc, Mutex};

use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::shim_client::ShimClient;
use danube_proto::v1::signal_request::What;
use danube_proto::v1::{AttachReply, AttachRequest, Chunk, End, HelloReply, HelloRequest, SignalRequest, StartRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// One connection; it is never opened again behind the test's back.
#[derive(Clone)]
pub struct Master {
    pub client: ShimClient<Channel>,
}

/// What a step came to.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    pub chunks: Vec<Chunk>,
    pub end: End,
}

impl Ran {
    /// The output of both streams.
    pub fn output(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| chunk.data.iter().copied()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.output()).unwrap()
    }
}

impl Master {
    pub async fn connect(socket: &Path) -> Self {
        Self::over(UnixStream::connect(socket).await.unwrap()).await.unwrap()
    }

    /// Speaks over any byte stream.
    pub async fn over<S>(stream: S) -> Result<Self, tonic::transport::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let once = Arc::new(Mutex::new(Some(stream)));
        let connector = tower::service_fn(move |_| {
            let stream = once.lock().unwrap().take();
            async move { stream.map(TokioIo::new).ok_or_else(|| std::io::Error::other("this connection is over")) }
        });
        let endpoint = Endpoint::from_static("http://shim").initial_stream_window_size(4 << 20);
        let channel = endpoint.initial_connection_window_size(8 << 20).connect_with_connector(connector).await?;
        Ok(Self { client: ShimClient::new(channel).max_decoding_message_size(4 << 20) })
    }

    pub async fn hello(&mut self, epoch: u64) -> Result<HelloReply, Status> {
        let hello = HelloRequest { epoch, protocol_min: 1, protocol_max: 1, master_version: "test".into() };
        Ok(self.client.hello(hello).await?.into_inner())
    }

    pub async fn start(&mut self, request: &StartRequest) -> Result<bool, Status> {
        Ok(self.client.start(request.clone()).await?.into_inner().already_known)
    }

    pub async fn attach(&mut self, id: &[u8], offset: u64) -> Result<Attached, Status> {
        let (acks, requests) = mpsc::unbounded_channel();
        acks.send(AttachRequest { step_id: id.to_vec().into(), offset, release: false }).unwrap();
        let replies = self.client.attach(UnboundedReceiverStream::new(requests)).await?.into_inner();
        Ok(Attached { acks, replies })
    }

    /// Starts a step and follows it to its end, acknowledging everything.
    pub async fn run(&mut self, request: &StartRequest) -> Ran {
        self.start(request).await.unwrap();
        self.follow(&request.step_id).await
    }

    pub async fn follow(&mut self, id: &[u8]) -> Ran {
        let mut attached = self.attach(id, 0).await.unwrap();
        let mut ran = Ran::default();
        loop {
            match attached.next().await.unwrap() {
                Of::Chunk(chunk) => {
                    attached.ack(chunk.offset + chunk.data.len() as u64, false);
                    ran.chunks.push(chunk);
                }
                Of::End(end) => {
                    ran.end = end;
                    attached.finish().await;
                    return ran;
                }
            }
        }
    }

    /// Follows until the output so far contains a text.
    pub async fn until(&mut self, id: &[u8], text: &str) -> String {
        let mut attached = self.attach(id, 0).await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            match attached.next().await.unwrap() {
                Of::Chunk(chunk) => seen.extend_from_slice(&chunk.data),
                Of::End(end) => panic!("ended before {text:?}: {seen:?} {end:?}"),
            }
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    pub async fn signal(&mut self, id: &[u8], what: What) -> bool {
        let request = SignalRequest { step_id: id.to_vec().into(), what: Some(what) };
        self.client.signal(request).await.unwrap().into_inner().running
    }
}

/// A step being followed.
pub struct Attached {
    acks: mpsc::UnboundedSender<AttachRequest>,
    replies: Streaming<AttachReply>,
}

impl Attached {
    pub async fn next(&mut self) -> Result<Of, Status> {
        let reply = self.replies.message().await?.ok_or_else(|| Status::unavailable("the stream is over"))?;
        Ok(reply.of.expect("a chunk or an end"))
    }

    /// Closes this side and waits for the shim to close its own: it has then read every acknowledgement.
    pub async fn finish(mut self) {
        drop(self.acks);
        assert_eq!(self.replies.message().await.unwrap(), None);
    }

    pub fn ack(&self, offset: u64, release: bool) {
        // The connection may be gone by now.
        let _ = self.acks.send(AttachRequest { offset, release, ..AttachRequest::default() });
    }
}
