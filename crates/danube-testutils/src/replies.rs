//! What an honest shim tells of a step.

use bytes::Bytes;
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::{AttachReply, Chunk, End, EndCause};
use sha2::{Digest, Sha256};

/// Bytes of an honest chunk: small, so that a step has several.
const CHUNK: usize = 1000;

/// SHA-256.
#[must_use]
pub fn sha256(data: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest(data))
}

/// One chunk of the first stream.
#[must_use]
pub fn chunk(offset: u64, data: &[u8]) -> AttachReply {
    let seq = offset / CHUNK as u64;
    let data = Bytes::copy_from_slice(data);
    AttachReply { of: Some(Of::Chunk(Chunk { seq, stream: 1, offset, at_ms: 1_700_000_000_000, data })) }
}

/// The end of a step that wrote this.
#[must_use]
pub fn end(output: &[u8], exit_code: i32) -> AttachReply {
    AttachReply {
        of: Some(Of::End(End {
            exit_code,
            cause: EndCause::Exited.into(),
            bytes: output.len() as u64,
            sha256: sha256(output),
            ..End::default()
        })),
    }
}

/// Everything an honest shim tells from an offset on.
#[must_use]
pub fn honest(output: &[u8], exit_code: i32, from: u64) -> Vec<AttachReply> {
    chunks(output, from).chain([end(output, exit_code)]).collect()
}

/// The output from an offset on.
pub fn chunks(output: &[u8], from: u64) -> impl Iterator<Item = AttachReply> {
    let at = usize::try_from(from).unwrap_or(usize::MAX).min(output.len());
    let chunks = output[at..].chunks(CHUNK).enumerate();
    chunks.map(move |(n, data)| chunk((at + n * CHUNK) as u64, data))
}
