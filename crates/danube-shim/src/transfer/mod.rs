//! Files that the master sends: staged in an unnamed file, resumable by id, put in place when the hash is right.

mod place;
pub mod read;
mod unpack;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danube_proto::limits::{CHUNK_BYTES, SCRIPT_BYTES};
use danube_proto::v1::{PutFileHeader, PutFileReply, PutFileRequest, PutTarget, StatTransferReply};
use sha2::{Digest, Sha256};
use tonic::{Status, Streaming};

use crate::roots::{Inside, Roots};
use crate::unnamed::Unnamed;
use crate::user::User;

/// Transfers of one container at most, over its life.
const TRANSFERS: usize = 10_000;

/// All transfers of the container's life.
#[derive(Debug)]
pub struct Transfers {
    files: Arc<Unnamed>,
    roots: Roots,
    user: User,
    known: Mutex<HashMap<String, Arc<Transfer>>>,
}

/// One of them.
#[derive(Debug)]
struct Transfer {
    header: PutFileHeader,
    state: Mutex<State>,
    /// Held while the content is put in place, so that it happens once.
    placing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    file: Option<Arc<File>>,
    offset: u64,
    hash: Sha256,
    complete: bool,
}

impl Transfers {
    /// No transfer yet.
    pub fn new(files: Arc<Unnamed>, roots: Roots, user: User) -> Self {
        Self { files, roots, user, known: Mutex::default() }
    }

    /// Takes what a connection brings; what arrived stays when the connection dies.
    pub async fn put(&self, mut stream: Streaming<PutFileRequest>) -> Result<PutFileReply, Status> {
        let first = stream.message().await?.ok_or_else(|| Status::invalid_argument("no header"))?;
        let header = first.header.clone().ok_or_else(|| Status::invalid_argument("no header"))?;
        let transfer = self.open(header)?;
        transfer.take(&first)?;
        while !transfer.is_full() {
            let Some(next) = stream.message().await? else { break };
            transfer.take(&next)?;
        }
        if transfer.is_full() {
            self.complete(&transfer).await?;
        }
        let state = transfer.state();
        Ok(PutFileReply { offset: state.offset, complete: state.complete })
    }

    /// How far a transfer has come; an unknown one has not begun.
    pub fn stat(&self, id: &str) -> StatTransferReply {
        let known = self.known().get(id).cloned();
        known.map_or_else(StatTransferReply::default, |transfer| {
            let state = transfer.state();
            StatTransferReply { offset: state.offset, complete: state.complete }
        })
    }

    /// The content of a complete script.
    pub fn script(&self, id: &str) -> io::Result<impl Read + use<>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no complete script transfer {id}"));
        let transfer = self.known().get(id).cloned().ok_or_else(missing)?;
        let state = transfer.state();
        let complete = state.complete && transfer.header.target() == PutTarget::Script;
        let file = state.file.clone().filter(|_| complete).ok_or_else(missing)?;
        Ok(FromStart { file, offset: 0 })
    }

    fn open(&self, header: PutFileHeader) -> Result<Arc<Transfer>, Status> {
        check(&header)?;
        self.inside(&header)?;
        let mut known = self.known();
        if let Some(transfer) = known.get(&header.transfer_id) {
            let same = transfer.header == header;
            return if same { Ok(transfer.clone()) } else { Err(Status::already_exists("TRANSFER_CONFLICT")) };
        }
        if known.len() >= TRANSFERS {
            return Err(Status::resource_exhausted("this container has had its 10000 transfers"));
        }
        let file = self.files.create().map_err(|e| Status::internal(format!("cannot stage a transfer: {e}")))?;
        let state = State { file: Some(Arc::new(file)), offset: 0, hash: Sha256::new(), complete: false };
        let transfer = Arc::new(Transfer { state: Mutex::new(state), placing: Default::default(), header });
        known.insert(transfer.header.transfer_id.clone(), transfer.clone());
        Ok(transfer)
    }

    fn inside(&self, header: &PutFileHeader) -> Result<Option<Inside>, Status> {
        if header.target() == PutTarget::Script {
            return Ok(None);
        }
        let outside = || Status::invalid_argument(format!("{:?} is not below a folder of this job", header.path));
        let inside = self.roots.writable(&header.path).ok_or_else(outside)?;
        let names_a_file = header.target() == PutTarget::Tree || inside.below.file_name().is_some();
        if names_a_file { Ok(Some(inside)) } else { Err(outside()) }
    }

    async fn complete(&self, transfer: &Arc<Transfer>) -> Result<(), Status> {
        let _placing = transfer.placing.lock().await;
        let file = {
            let state = transfer.state();
            if state.complete {
                return Ok(());
            }
            state.file.clone().ok_or_else(|| Status::internal("the staged file is gone"))?
        };
        transfer.check_hash().inspect_err(|_| self.forget(transfer))?;
        if let Some(inside) = self.inside(&transfer.header)? {
            let (header, user) = (transfer.header.clone(), self.user.clone());
            let placed = tokio::task::spawn_blocking(move || place::place(&header, &inside, &user, file)).await;
            let placed = placed.map_err(|e| Status::internal(e.to_string()))?;
            placed
                .map_err(|why| Status::failed_precondition(why.to_string()))
                .inspect_err(|_| self.forget(transfer))?;
            transfer.state().file = None;
        }
        transfer.state().complete = true;
        Ok(())
    }

    /// A transfer that failed begins anew.
    fn forget(&self, transfer: &Transfer) {
        self.known().remove(&transfer.header.transfer_id);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Transfer>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        self.state().offset == self.header.size
    }

    /// Stages the part that is new. What came twice over two connections is skipped; the hash covers all.
    fn take(&self, message: &PutFileRequest) -> Result<(), Status> {
        if message.data.len() > CHUNK_BYTES {
            return Err(Status::invalid_argument("at most 64 KiB at a time"));
        }
        let mut state = self.state();
        let known = state.offset.checked_sub(message.offset).ok_or_else(|| Status::out_of_range("a gap"))?;
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(message.data.len());
        let new = &message.data[known..];
        if new.is_empty() {
            return Ok(());
        }
        if state.offset + new.len() as u64 > self.header.size {
            return Err(Status::invalid_argument("more bytes than the header says"));
        }
        let file = state.file.clone().ok_or_else(|| Status::internal("the staged file is gone"))?;
        file.write_all_at(new, state.offset).map_err(|e| Status::resource_exhausted(format!("cannot stage: {e}")))?;
        state.hash.update(new);
        state.offset += new.len() as u64;
        Ok(())
    }

    fn check_hash(&self) -> Result<(), Status> {
        let hash = self.state().hash.clone().finalize();
        let same = hash.as_slice() == self.header.sha256.as_ref();
        if same { Ok(()) } else { Err(Status::data_loss("the bytes do not have the hash of the header; send again")) }
    }
}

fn check(header: &PutFileHeader) -> Result<(), Status> {
    let id = header.transfer_id.as_bytes();
    let is_id = (1..=64).contains(&id.len()) && id.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let size = header.target() != PutTarget::Script || header.size <= SCRIPT_BYTES;
    match header.target() {
        _ if !is_id => Err(Status::invalid_argument("transfer_id is 1 to 64 of a-z 0-9 -")),
        _ if header.sha256.len() != 32 => Err(Status::invalid_argument("sha256 must be 32 bytes")),
        _ if !size => Err(Status::invalid_argument("a script has at most 64 MiB")),
        PutTarget::Unspecified => Err(Status::invalid_argument("no target")),
        _ => Ok(()),
    }
}

/// Reads a shared file from its beginning, whatever others do with its position.
#[derive(Debug)]
struct FromStart {
    file: Arc<File>,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
