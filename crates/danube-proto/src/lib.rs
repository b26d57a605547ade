//! The durable protocol between the master and the shim: gRPC messages, limits, the SDK's JSON lines.
//!
//! What each side does with them is in `docs/protocol.md`.

pub mod limits;
pub mod mailbox;

/// Messages and services of `danube/v1/shim.proto`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("danube.v1");
}
