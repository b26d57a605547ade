//! The mailbox's Unix socket: one connection per call, one line in, lines back.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use danube_proto::limits::CALL_BYTES;
use danube_proto::mailbox::{CallError, ErrorCode, ReplyLine};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use super::{CallId, Line, Mailbox, Outcome};
use crate::config::Config;
use crate::error::Error;
use crate::listen::{asynchronous, bind};
use crate::user::User;

/// Open connections at most: those that wait, and those whose line is being read.
const CONNECTIONS: usize = 2 * danube_proto::limits::CALLS;

/// Makes the socket and the outbox, and gives them to the steps' user. None on a worker.
pub fn open(config: &Config) -> Result<Option<UnixListener>, Error> {
    let Some(path) = &config.mailbox else { return Ok(None) };
    let socket = bind(path, 0o600)?;
    give_away(path, &config.user)?;
    if let Some(outbox) = &config.outbox {
        DirBuilder::new().recursive(true).mode(0o700).create(outbox).map_err(Error::path("make", outbox))?;
        give_away(outbox, &config.user)?;
    }
    asynchronous(socket).map(Some)
}

fn give_away(path: &Path, user: &User) -> Result<(), Error> {
    if user.is_current() {
        return Ok(());
    }
    chown(path, Some(user.uid), Some(user.gid)).map_err(Error::path("give away", path))
}

/// Serves calls for ever.
pub async fn serve(listener: UnixListener, mailbox: Arc<Mailbox>, user: User, pid_one: bool) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        if is_welcome(&stream, &user, pid_one) {
            let mailbox = mailbox.clone();
            tokio::spawn(async move {
                answer(stream, &mailbox).await;
                drop(place);
            });
        }
    }
}

/// The steps' user or root, and from this container: processes of others have no number here.
fn is_welcome(stream: &UnixStream, user: &User, pid_one: bool) -> bool {
    stream.peer_cred().is_ok_and(|peer| {
        let inside = !pid_one || peer.pid().is_some_and(|pid| pid != 0);
        inside && [user.uid, 0].contains(&peer.uid())
    })
}

async fn answer(stream: UnixStream, mailbox: &Mailbox) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let opened = match read_call(&mut read).await {
        Ok(Some((id, text))) => mailbox.open(id, text).map(|lines| (id, lines)),
        Ok(None) => return,
        Err(why) => Err(why),
    };
    match opened {
        Ok((id, lines)) => mailbox.close(id, converse(read, write, lines).await),
        Err(why) => {
            // Whoever sends what is no call may have left already.
            let _ = write.write_all(&refusal(why)).await;
        }
    }
}

/// What the shim itself reads of a call: everything else is between the SDK and the master.
#[derive(Deserialize)]
struct Head {
    id: String,
}

const NOT_A_CALL: &str = "not a call: one line of JSON with an id of 32 hexadecimal digits";
const TOO_LONG: &str = "the call is over 1 MiB; write a large script to a file in DANUBE_OUTBOX";

async fn read_call(read: &mut BufReader<OwnedReadHalf>) -> Result<Option<(CallId, Bytes)>, &'static str> {
    let mut line = Vec::new();
    let limited = read.take(CALL_BYTES as u64).read_until(b'\n', &mut line).await;
    match limited {
        Ok(0) | Err(_) => return Ok(None),
        Ok(_) if line.last() == Some(&b'\n') => line.pop(),
        Ok(CALL_BYTES) => return Err(TOO_LONG),
        Ok(_) => return Ok(None), // The process died while it wrote.
    };
    let head: Head = serde_json::from_slice(&line).map_err(|_| NOT_A_CALL)?;
    let mut id = CallId::default();
    hex::decode_to_slice(&head.id, &mut id).map_err(|_| NOT_A_CALL)?;
    Ok(Some((id, line.into())))
}

fn refusal(why: &str) -> Vec<u8> {
    let error = ReplyLine::Error(CallError { code: ErrorCode::Invalid, message: why.to_owned() });
    let mut line = serde_json::to_vec(&error).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Passes lines on until the last one has been read, or the process has closed its end.
async fn converse(
    mut read: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    mut lines: mpsc::Receiver<Line>,
) -> Outcome {
    loop {
        tokio::select! {
            _ = closed(&mut read) => return Outcome::Gone,
            line = lines.recv() => match line {
                None => return Outcome::Gone,
                Some(line) if write_line(&mut write, &line.text).await.is_err() => return Outcome::Gone,
                Some(line) if line.last => break,
                Some(_) => {}
            },
        }
    }
    // The kernel answers a close with unread lines by a reset: a plain end means that everything was read.
    let shut = write.shutdown().await;
    if shut.is_ok() && closed(&mut read).await { Outcome::Answered } else { Outcome::Gone }
}

async fn write_line(write: &mut OwnedWriteHalf, text: &[u8]) -> std::io::Result<()> {
    write.write_all(text).await?;
    write.write_all(b"\n").await
}

/// Waits for the process to close its end; whether it did so in peace. What else it sends means nothing.
async fn closed(read: &mut BufReader<OwnedReadHalf>) -> bool {
    let mut ignored = [0; 64];
    loop {
        match read.read(&mut ignored).await {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
