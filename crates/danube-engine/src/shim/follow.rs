//! Following a step to its end: chunks become durable log, then are acknowledged. Over any number of cuts the log gets
//! each byte once, and the step's record must agree with what was received (docs/protocol.md, rules 2 to 4).

use std::time::Duration;

use bytes::Bytes;
use danube_core::id::StepId;
use danube_proto::limits::CHUNK_BYTES;
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::{AttachRequest, Chunk, End};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status};

use super::link::{ANSWER, CallFailed, Client, Gone, Link, is_connection};
use crate::failpoint::failpoint;
use crate::job::room::Room;
use crate::logs::{LogError, StepLog};

/// Received bytes are made durable at least this often, so that a reader of the committed log is never far behind.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
/// And after so many bytes, so that the shim's spool stays far from full.
const COMMIT_BYTES: u64 = 8 * 1024 * 1024;
/// A step that says nothing for so long is attached to anew: should anything have got lost between the two of us, it
/// shows then.
const SILENCE: Duration = Duration::from_secs(60);
/// So often in a row may a peer break the protocol before it is not believed any more.
const STRIKES: u32 = 3;

/// Why a step could not be followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Its container is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The shim refuses to tell of it.
    #[error("the shim refused: {0}")]
    Refused(Status),
    /// What the shim says cannot be true.
    #[error("{0}")]
    Untrue(String),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Follows a step; when this returns, its whole output is durable and `End` agrees with it. The last commit is left to
/// the caller, who writes it in one transaction with the step's end.
///
/// # Errors
/// When the container is gone, the shim lies, or the log cannot be written.
pub async fn follow(link: &Link, id: StepId, log: &mut StepLog, room: &Room) -> Result<End, FollowError> {
    let mut strikes = 0;
    loop {
        let (generation, client) = link.client().await?;
        match attached(client, id, log, room).await {
            Ok(end) => return Ok(end),
            Err(Cut::Silence) => continue,
            Err(Cut::Connection) => strikes = 0,
            Err(Cut::Broken(why)) if strikes + 1 < STRIKES => {
                tracing::warn!(step = %id, why, "the shim broke the protocol; attaching again");
                strikes += 1;
            }
            Err(Cut::Broken(why)) => return Err(FollowError::Untrue(format!("protocol: {why}"))),
            Err(Cut::Final(error)) => return Err(error),
        }
        link.lost(generation).await;
    }
}

/// Tells the shim that the step's end is durable and answered, so that it may drop what it captured.
pub async fn release(link: &Link, id: StepId, offset: u64) {
    let request = move || AttachRequest { step_id: id_bytes(id), offset, release: true };
    let _ = link
        .call(move |mut client| async move {
            let mut replies = client.attach(tokio_stream::once(request())).await?.into_inner();
            while replies.message().await?.is_some() {}
            Ok(tonic::Response::new(()))
        })
        .await;
}

/// Why one connection's attach ended.
enum Cut {
    Connection,
    Silence,
    Broken(&'static str),
    Final(FollowError),
}

impl From<LogError> for Cut {
    fn from(error: LogError) -> Self {
        Self::Final(error.into())
    }
}

impl From<Status> for Cut {
    fn from(status: Status) -> Self {
        match status.code() {
            _ if is_connection(&status) => Self::Connection,
            Code::OutOfRange => {
                Self::Final(FollowError::Untrue("the shim no longer has output that was never acknowledged".into()))
            }
            _ => Self::Final(FollowError::Refused(status)),
        }
    }
}

fn id_bytes(id: StepId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// Reads one attach to its end.
async fn attached(mut client: Client, id: StepId, log: &mut StepLog, room: &Room) -> Result<End, Cut> {
    let (acks, requests) = mpsc::unbounded_channel();
    let _ = acks.send(AttachRequest { step_id: id_bytes(id), offset: log.received(), release: false });
    let attaching = timeout(ANSWER, client.attach(UnboundedReceiverStream::new(requests)));
    let mut replies = attaching.await.map_err(|_| Cut::Connection)??.into_inner();
    // What an earlier connection brought may not be durable yet, or its acknowledgement was lost: a shim whose spool is
    // full sends nothing more before it has one.
    let mut due = (log.received() > 0).then(Instant::now);
    loop {
        let reply = tokio::select! {
            reply = replies.message() => reply?.ok_or(Cut::Connection)?,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                commit(log, &acks, room).await?;
                due = None;
                continue;
            }
            () = sleep(SILENCE), if due.is_none() => return Err(Cut::Silence),
        };
        match reply.of.ok_or(Cut::Broken("an empty reply"))? {
            Of::End(end) => return ended(log, end),
            Of::Chunk(chunk) => append(log, &chunk, room).await?,
        }
        if log.uncommitted() >= COMMIT_BYTES {
            commit(log, &acks, room).await?;
            due = None;
        } else {
            due.get_or_insert_with(|| Instant::now() + COMMIT_EVERY);
        }
    }
}

async fn commit(log: &mut StepLog, acks: &mpsc::UnboundedSender<AttachRequest>, room: &Room) -> Result<(), Cut> {
    let offset = committed(log, room).await?;
    let _ = acks.send(AttachRequest { step_id: Bytes::new(), offset, release: false });
    Ok(())
}

/// While the disk is full nothing more is read: the connection's window fills, then the spool, then the step waits.
async fn committed(log: &mut StepLog, room: &Room) -> Result<u64, LogError> {
    loop {
        match log.commit().await {
            Err(error) if error.is_full() => room.wait().await,
            offset => {
                room.found();
                return offset;
            }
        }
    }
}

async fn append(log: &mut StepLog, chunk: &Chunk, room: &Room) -> Result<(), Cut> {
    let sound = (1..=CHUNK_BYTES).contains(&chunk.data.len()) && (1..=2).contains(&chunk.stream);
    if !sound {
        return Err(Cut::Broken("a chunk of a wrong size or stream"));
    }
    if chunk.offset != log.received() {
        return Err(Cut::Broken("a chunk at another offset than the next"));
    }
    // The bound was checked above.
    let stream = if chunk.stream == 2 { 2 } else { 1 };
    match log.append(stream, chunk.at_ms, &chunk.data) {
        // It is taken and waits in memory: nothing more is taken until it is written.
        Err(error) if error.is_full() => drop(committed(log, room).await?),
        appended => appended?,
    }
    failpoint("step-output");
    Ok(())
}

fn ended(log: &mut StepLog, end: End) -> Result<End, Cut> {
    match log.check_end(end.bytes, &end.sha256) {
        Ok(()) => Ok(end),
        Err(differs @ LogError::Differs { .. }) => Err(Cut::Final(FollowError::Untrue(differs.to_string()))),
        Err(error) => Err(error.into()),
    }
}

impl From<CallFailed> for FollowError {
    fn from(failed: CallFailed) -> Self {
        match failed {
            CallFailed::Gone(gone) => Self::Gone(gone),
            CallFailed::Refused(status) => Self::Refused(status),
        }
    }
}
