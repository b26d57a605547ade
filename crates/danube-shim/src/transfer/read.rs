//! Reads a regular file for the master, from an offset.

use std::fs::File;
use std::os::unix::fs::FileExt;

use danube_proto::limits::CHUNK_BYTES;
use danube_proto::v1::{GetFileReply, GetFileRequest};
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Sender;
use tonic::Status;

use crate::roots::{self, Roots};

/// A file being sent.
#[derive(Debug)]
pub struct Reading {
    file: File,
    size: u64,
    offset: u64,
}

/// Opens the file. Steps may swap folders for links at any time: the kernel resolves, and refuses every link.
pub fn open(roots: &Roots, request: &GetFileRequest) -> Result<Reading, Status> {
    let outside = || Status::invalid_argument(format!("{:?} is not below a folder of this job", request.path));
    let inside = roots.readable(&request.path).ok_or_else(outside)?;
    let failed = |errno: Errno| match errno {
        Errno::NOENT | Errno::NOTDIR => Status::not_found(format!("{} does not exist", request.path)),
        Errno::LOOP | Errno::XDEV => Status::invalid_argument(format!("{} leads through a link", request.path)),
        other => Status::failed_precondition(format!("cannot read {}: {other}", request.path)),
    };
    let root = roots::open_root(&inside.root).map_err(failed)?;
    // A FIFO or a device must not hold the shim up before it is recognised.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let file: File = roots::open_beneath(&root, &inside.below, flags).map_err(failed)?.into();
    let found =
        file.metadata().map_err(|e| Status::failed_precondition(format!("cannot read {}: {e}", request.path)))?;
    if !found.is_file() {
        return Err(Status::invalid_argument(format!("{} is not a regular file", request.path)));
    }
    if request.offset > found.len() {
        return Err(Status::out_of_range(format!("{} has {} bytes", request.path, found.len())));
    }
    Ok(Reading { file, size: found.len(), offset: request.offset })
}

impl Reading {
    /// Sends it all; a file that changes meanwhile ends where it ended when it was opened, or earlier.
    pub async fn send(mut self, to: Sender<Result<GetFileReply, Status>>) {
        let mut hash = Sha256::new();
        let mut first = true;
        loop {
            let reply = self.next(&mut hash, first);
            let last = reply.as_ref().map_or(true, |reply| reply.last);
            if to.send(reply).await.is_err() || last {
                return;
            }
            first = false;
        }
    }

    fn next(&mut self, hash: &mut Sha256, first: bool) -> Result<GetFileReply, Status> {
        let wanted = usize::try_from(self.size - self.offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut data = vec![0; wanted];
        let read = self.file.read_at(&mut data, self.offset).map_err(|e| Status::data_loss(e.to_string()))?;
        data.truncate(read);
        hash.update(&data);
        let (offset, size) = (self.offset, if first { self.size } else { 0 });
        self.offset += read as u64;
        let last = read == 0 || self.offset == self.size;
        let sha256 = if last { hash.clone().finalize().to_vec() } else { Vec::new() };
        Ok(GetFileReply { size, data: data.into(), offset, sha256: sha256.into(), last })
    }
}
