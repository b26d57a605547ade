//! Moving files into and out of a container, resumed where a cut left them (docs/protocol.md, rule 11).

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use danube_proto::limits::CHUNK_BYTES;
use danube_proto::v1::{
    GetFileReply, GetFileRequest, PutFileHeader, PutFileRequest, StatTransferReply, StatTransferRequest,
};
use sha2::{Digest, Sha256};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::link::{CallFailed, Client, Link, is_connection};

/// Why a transfer failed for good.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The shim refused, or its container is gone.
    #[error(transparent)]
    Call(#[from] CallFailed),
    /// The file is larger than allowed.
    #[error("`{path}` is larger than {limit} bytes")]
    TooLarge {
        /// Which file.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are not those that were announced.
    #[error("`{0}` changed while it was read, or its shim lies about it")]
    Untrue(String),
    /// This machine's disk said no.
    #[error("cannot keep a file in transit: {0}")]
    Disk(#[from] std::io::Error),
}

/// A file that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// Reads `path` from a container into `into`.
///
/// # Errors
/// When the shim refuses, is gone or lies, or the file is larger than `limit`.
pub async fn fetch(link: &Link, path: &str, limit: u64, into: &File) -> Result<Fetched, TransferError> {
    let mut fetch = Fetch { path, limit, into, at: 0, hash: Sha256::new() };
    loop {
        let (generation, client) = link.client().await.map_err(CallFailed::Gone)?;
        match fetch.go_on(client).await {
            Ok(true) => return Ok(Fetched { size: fetch.at, sha256: fetch.hash.finalize().into() }),
            Ok(false) => link.lost(generation).await,
            Err(Stop::Status(status)) if is_connection(&status) => link.lost(generation).await,
            Err(Stop::Status(status)) => return Err(CallFailed::Refused(status).into()),
            Err(Stop::Error(error)) => return Err(error),
        }
    }
}

enum Stop {
    Status(Status),
    Error(TransferError),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

struct Fetch<'a> {
    path: &'a str,
    limit: u64,
    into: &'a File,
    at: u64,
    hash: Sha256,
}

impl Fetch<'_> {
    /// Reads on from where the last connection broke; whether the file is whole.
    async fn go_on(&mut self, mut client: Client) -> Result<bool, Stop> {
        let request = GetFileRequest { path: self.path.to_owned(), offset: self.at };
        let mut replies: Streaming<GetFileReply> = client.get_file(request).await?.into_inner();
        let mut since = Sha256::new();
        while let Some(reply) = replies.message().await? {
            self.take(&reply, &mut since).map_err(Stop::Error)?;
            if reply.last {
                let same = reply.sha256[..] == since.finalize()[..];
                return if same { Ok(true) } else { Err(Stop::Error(TransferError::Untrue(self.path.to_owned()))) };
            }
        }
        Ok(false)
    }

    fn take(&mut self, reply: &GetFileReply, since: &mut Sha256) -> Result<(), TransferError> {
        let after = self.at + reply.data.len() as u64;
        if reply.size > self.limit || after > self.limit {
            return Err(TransferError::TooLarge { path: self.path.to_owned(), limit: self.limit });
        }
        if reply.data.len() > CHUNK_BYTES || (!reply.data.is_empty() && reply.offset != self.at) {
            return Err(TransferError::Untrue(self.path.to_owned()));
        }
        self.into.write_all_at(&reply.data, self.at)?;
        self.hash.update(&reply.data);
        since.update(&reply.data);
        self.at = after;
        Ok(())
    }
}

/// Whether a transfer has arrived whole, whoever sent it.
///
/// # Errors
/// When the shim is gone.
pub async fn is_whole(link: &Link, id: &str) -> Result<bool, CallFailed> {
    Ok(stat(link, id).await?.complete)
}

async fn stat(link: &Link, id: &str) -> Result<StatTransferReply, CallFailed> {
    let request = StatTransferRequest { transfer_id: id.to_owned() };
    let asked = link.call(|mut client| {
        let request = request.clone();
        async move { client.stat_transfer(request).await }
    });
    asked.await
}

/// Writes a file to a container under the header's name.
///
/// # Errors
/// When the shim refuses or is gone, or the file cannot be read here.
pub async fn put(link: &Link, header: PutFileHeader, from: &File) -> Result<(), TransferError> {
    loop {
        let known = stat(link, &header.transfer_id).await?;
        if known.complete {
            return Ok(());
        }
        let (generation, client) = link.client().await.map_err(CallFailed::Gone)?;
        match put_from(client, &header, from, known.offset).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(Stop::Status(status)) if is_connection(&status) => link.lost(generation).await,
            Err(Stop::Status(status)) => return Err(CallFailed::Refused(status).into()),
            Err(Stop::Error(error)) => return Err(error),
        }
    }
}

/// Sends everything from `offset` on; whether the transfer is complete.
async fn put_from(mut client: Client, header: &PutFileHeader, from: &File, offset: u64) -> Result<bool, Stop> {
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let feed = async move {
        let mut at = offset;
        let mut header = Some(header.clone());
        loop {
            let mut buffer = vec![0; CHUNK_BYTES];
            let length = from.read_at(&mut buffer, at).map_err(|error| Stop::Error(error.into()))?;
            buffer.truncate(length);
            if length == 0 && header.is_none() {
                return Ok(());
            }
            let request = PutFileRequest { header: header.take(), data: Bytes::from(buffer), offset: at };
            at += length as u64;
            if sender.send(request).await.is_err() {
                return Ok(());
            }
        }
    };
    let call = client.put_file(ReceiverStream::new(receiver));
    let (fed, reply): (Result<(), Stop>, _) = tokio::join!(feed, call);
    fed?;
    Ok(reply?.into_inner().complete)
}
