//! What the containers of one job do.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use danube_core::runtime::Role;
use danube_proto::v1::{AttachReply, CoordinateRequest, GetFileReply, InfoReply};
use tokio::sync::watch;

use crate::cut::Cut;
use crate::replies::sha256;

/// One step that the scripted danubefile asks for.
#[derive(Clone, Debug, Default)]
pub struct StepScript {
    /// What it writes.
    pub output: Vec<u8>,
    /// How it exits.
    pub exit_code: i32,
    /// Its script goes by file, with this content.
    pub script_file: Option<Vec<u8>>,
}

/// How a shim answers Hello.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hello {
    /// As it should.
    #[default]
    Honest,
    /// It is another container.
    OtherNonce,
    /// It speaks only an older protocol.
    OldProtocol,
    /// Another master was there.
    Fenced,
    /// It speaks no HTTP/2 at all, without end.
    Garbage,
}

/// Changes what a shim tells of a worker's step: the attach's number from 0, the offset asked for, the honest replies.
pub type Tells = Arc<dyn Fn(usize, u64, Vec<AttachReply>) -> Vec<AttachReply> + Send + Sync>;
/// Changes which requests the mailbox hands over at each Coordinate.
pub type Mails = Arc<dyn Fn(Vec<CoordinateRequest>) -> Vec<CoordinateRequest> + Send + Sync>;
/// What GetFile answers, from an offset, without end if it likes.
pub type Files = Arc<dyn Fn(Bytes, u64) -> Box<dyn Iterator<Item = GetFileReply> + Send> + Send + Sync>;
/// When the n-th stream into a container is cut.
pub type Cuts = Arc<dyn Fn(Role, u64) -> Option<Cut> + Send + Sync>;

/// Tells when held steps may go on.
pub type Gate = watch::Receiver<bool>;

/// One job's script. The default is an honest job without steps.
#[derive(Clone, Default)]
pub struct Script {
    /// What the danubefile asks for, all at once.
    pub steps: Vec<StepScript>,
    /// How the coordinator's shim answers Hello.
    pub coordinator_hello: Hello,
    /// How the worker's does.
    pub worker_hello: Hello,
    /// What the worker's shim says it is.
    pub info: InfoReply,
    /// What the worker's shim tells of steps.
    pub tells: Option<Tells>,
    /// What the coordinator's shim tells of the danubefile itself.
    pub runner_tells: Option<Tells>,
    /// What the mailbox hands over.
    pub mails: Option<Mails>,
    /// What files look like.
    pub files: Option<Files>,
    /// When streams are cut.
    pub cuts: Option<Cuts>,
    /// Bytes of a step that are told before some are acknowledged.
    pub spool: Option<u64>,
    /// So many attaches to each of the worker's steps, the first ones, are told nothing at all.
    pub silent_attaches: usize,
    /// So many calls of Start, the first ones, start their step and are never answered.
    pub unanswered_starts: u32,
    /// So many calls of Coordinate, the first ones, are never answered.
    pub unanswered_coordinates: u32,
    /// So many calls of Coordinate, those after them, are answered and told nothing.
    pub silent_coordinates: u32,
    /// After so many streams into it the worker's container ends.
    pub worker_ends_after: Option<u32>,
    /// The worker's steps write their output and end only when this says so.
    pub gate: Option<Gate>,
    /// The exit code that the runtime sees of the coordinator, if not the one that Shutdown asks for.
    pub coordinator_exit: Option<i32>,
}

impl Script {
    /// A job with these steps.
    #[must_use]
    pub fn of(steps: &[StepScript]) -> Self {
        Self { steps: steps.to_vec(), ..Self::default() }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

/// The id of the n-th step of a group with this nonce.
#[must_use]
pub fn call_id(nonce: &str, n: usize) -> [u8; 16] {
    let hash = sha256(format!("{nonce} {n}").as_bytes());
    std::array::from_fn(|at| hash[at])
}
