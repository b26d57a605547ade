//! The job line, in reading order: the master lets jobs in and starts them ([`master`]), a checkout becomes a snapshot
//! ([`snapshot`]), a job's task feeds events to the pure machine and performs its effects ([`job`]), the coordinator's
//! calls are served ([`coordinator`]), each container's shim is spoken to over a stream that may die at any byte
//! ([`shim`]), and output becomes durable logs ([`logs`]). Beside the line, the configuration repository is followed ([`sync`]).

pub mod artifacts;
mod clock;
pub mod coordinator;
mod error;
mod failpoint;
pub mod job;
mod junit;
pub mod logs;
pub mod master;
mod records;
pub mod shim;
pub mod snapshot;
pub mod sync;

pub use error::EngineError;
pub use failpoint::{FAILPOINTS, MASTER_FAILPOINTS, RETRY_FAILPOINTS};
