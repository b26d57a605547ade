//! The durable protocol between the master and the shim: gRPC messages, limits, the SDK's JSON lines.
//!
//! What each side does with them is in `docs/protocol.md`.

pub mod limits;
pub mod mailbox;

/// Messages and services of `danube/v1/shim.proto`. Generated and committed, so that building needs no protocol
/// compiler; `tests/generated.rs` holds the two together and makes the file again.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    include!("../generated/danube.v1.rs");
}
