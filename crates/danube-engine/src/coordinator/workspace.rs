//! Files of the workspace, as the shim of the default image's worker reads them: a danubefile only says which.

use std::fs::File;

use danube_core::artifact::ArtifactName;
use danube_proto::mailbox::{CallError, ErrorCode};
use danube_proto::v1::PutFileHeader;
use tonic::Code;

use super::{infra, invalid};
use crate::shim::link::{CallFailed, Link};
use crate::shim::transfer::{self, Fetched, TransferError};

/// Where a step's files are.
const WORKSPACE: &str = "/workspace";

/// A file's path as the danubefile says it. It follows the rules of artifacts' names: it leads nowhere else.
pub fn below(path: &str) -> Result<ArtifactName, CallError> {
    path.parse()
        .map_err(|_| invalid(format!("{path:?} is not a file below {WORKSPACE}: give its path relative to that")))
}

/// Reads a file into another one.
pub async fn fetch(
    link: &Link,
    path: &ArtifactName,
    largest: u64,
    missing: ErrorCode,
    into: &File,
) -> Result<Fetched, CallError> {
    let fetched = transfer::fetch(link, &self::path(path), largest, into).await;
    fetched.map_err(|error| failed(path, missing, error))
}

/// A file's path as a shim knows it.
pub fn path(below: &ArtifactName) -> String {
    format!("{WORKSPACE}/{below}")
}

/// Writes a file of the master's into the workspace.
pub async fn put(link: &Link, header: PutFileHeader, path: &ArtifactName, from: &File) -> Result<(), CallError> {
    let sent = transfer::put(link, header, from).await;
    sent.map_err(|error| match error {
        // The shim's words: a folder is there, a link leads out, the disk is full.
        TransferError::Call(CallFailed::Refused(status)) => invalid(format!("`{path}`: {}", status.message())),
        other => infra(format!("`{path}`: {other}")),
    })
}

fn failed(path: &ArtifactName, missing: ErrorCode, error: TransferError) -> CallError {
    match error {
        TransferError::Call(CallFailed::Refused(status)) if status.code() == Code::NotFound => {
            CallError { code: missing, message: format!("there is no file `{path}` in the workspace") }
        }
        TransferError::Call(CallFailed::Refused(status)) => invalid(format!("`{path}`: {}", status.message())),
        TransferError::TooLarge { limit, .. } => invalid(format!("`{path}` is larger than {} MiB", limit >> 20)),
        TransferError::Disk(error) => infra(format!("`{path}` cannot be kept: {error}: make room, then run again")),
        other => infra(format!("`{path}`: {other}")),
    }
}
