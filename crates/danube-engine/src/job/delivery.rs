//! The job's files travel over its containers' streams, where the runtime takes over no folder: the tree of the commit to
//! the first worker, whose image's user then owns it, and the danubefile's modules to the coordinator. A tree is sent
//! once, whoever is the master: the shim knows which transfers are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use danube_core::id::ContainerName;
use danube_core::runtime::{Role, Runtime};
use danube_proto::v1::{PutFileHeader, PutTarget};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::shared::Shared;
use crate::shim::link::Link;
use crate::shim::transfer::{self, TransferError};

/// Where the files are on this machine; they stay until the attempt has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Becomes what is in `/workspace`.
    pub workspace: PathBuf,
    /// Becomes what is in `/danube/src`.
    pub source: PathBuf,
}

/// Sends what has not arrived yet; nothing where the runtime took the folders over.
///
/// # Errors
/// When a file cannot be read, or a container refuses it or is gone.
pub async fn deliver<R: Runtime>(shared: &Shared<R>) -> Result<(), TransferError> {
    let Some(delivery) = &shared.plan.delivery else { return Ok(()) };
    let containers = &shared.plan.group.containers;
    let worker = containers.iter().find(|spec| spec.role == Role::Worker).map(|spec| spec.name.clone());
    let to_worker = send(shared, worker, ("workspace", "/workspace"), &delivery.workspace);
    let to_coordinator = send(shared, Some(ContainerName::coordinator()), ("source", "/danube/src"), &delivery.source);
    tokio::try_join!(to_worker, to_coordinator).map(drop)
}

async fn send<R: Runtime>(
    shared: &Shared<R>,
    container: Option<ContainerName>,
    (id, path): (&str, &str),
    dir: &Path,
) -> Result<(), TransferError> {
    let Some(link) = container.and_then(|name| shared.link(&name)) else { return Ok(()) };
    if transfer::is_whole(&link, id).await? {
        return Ok(());
    }
    let (dir, file) = (dir.to_owned(), shared.services.logs.unnamed_file()?);
    let packed = tokio::task::spawn_blocking(move || pack(&dir, file)).await.map_err(io::Error::other)??;
    put(&link, id, path, packed).await
}

async fn put(link: &Link, id: &str, path: &str, packed: Packed) -> Result<(), TransferError> {
    let header = PutFileHeader {
        transfer_id: id.to_owned(),
        target: PutTarget::Tree.into(),
        path: path.to_owned(),
        size: packed.size,
        sha256: Bytes::copy_from_slice(&packed.sha256),
        mode: 0,
    };
    transfer::put(link, header, &packed.file).await
}

/// A tree as one file.
struct Packed {
    file: File,
    size: u64,
    sha256: [u8; 32],
}

/// Packs a folder: always the same bytes for the same files, so that another master can go on with a transfer.
fn pack(dir: &Path, file: File) -> io::Result<Packed> {
    let sink = Hashed { file: BufWriter::new(file), size: 0, hash: Sha256::new() };
    let mut tar = tar::Builder::new(sink);
    tar.follow_symlinks(false);
    append(&mut tar, dir, Path::new(""))?;
    let sink = tar.into_inner()?;
    let file = sink.file.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(Packed { file, size: sink.size, sha256: sink.hash.finalize().into() })
}

fn append(tar: &mut tar::Builder<Hashed>, dir: &Path, below: &Path) -> io::Result<()> {
    let mut names =
        fs::read_dir(dir.join(below))?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        let path = below.join(name);
        tar.append_path_with_name(dir.join(&path), &path)?;
        if dir.join(&path).symlink_metadata()?.is_dir() {
            append(tar, dir, &path)?;
        }
    }
    Ok(())
}

struct Hashed {
    file: BufWriter<File>,
    size: u64,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
