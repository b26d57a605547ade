//! From the step's pipe to its output: read, and close a chunk at 64 KiB or 20 ms. Nothing is read for which the
//! spool has no room: the step then blocks in `write`, as in any pipeline.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use danube_proto::limits::CHUNK_BYTES;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::record::Record;
use crate::events;

/// How often bytes that the spool refused (a full disk) are tried again after the step has ended.
const TRIES_AFTER_THE_END: u32 = 10;
/// How long between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Milliseconds since the Unix epoch; for display.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// One stream of a step.
pub struct Pump<'a> {
    record: &'a Record,
    stream: u8,
    source: AsyncFd<OwnedFd>,
    /// One chunk long while a chunk is open; an idle step holds no buffer.
    buffer: Vec<u8>,
    filled: usize,
    opened_ms: u64,
    lost: u64,
}

/// What a read came to.
#[derive(PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
    Over,
}

impl<'a> Pump<'a> {
    /// Reads `source` as stream 1 or 2.
    pub fn new(record: &'a Record, stream: u8, source: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&source, true)?;
        let source = events::readable(source)?;
        Ok(Self { record, stream, source, buffer: Vec::new(), filled: 0, opened_ms: 0, lost: 0 })
    }

    /// Pumps until the stream ends, or `finish` is set and nothing is left to read. Answers how many bytes the
    /// spool would not take.
    pub async fn run(mut self, finish: &CancellationToken) -> u64 {
        let mut closes = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        while self.turn(closes.as_mut(), finish).await {}
        self.close(finish).await;
        self.lost
    }

    /// Waits for one thing to happen; false when nothing more will.
    async fn turn(&mut self, mut closes: Pin<&mut Sleep>, finish: &CancellationToken) -> bool {
        let (open, finishing) = (self.filled > 0, finish.is_cancelled());
        let room = tokio::select! {
            biased;
            () = closes.as_mut(), if open => {
                self.close(finish).await;
                self.buffer = Vec::new();
                return true;
            }
            () = finish.cancelled(), if !finishing => return true,
            room = readable(self.record, &self.source, finishing) => room,
        };
        let read = self.read(room, finishing);
        if self.filled > 0 && !open {
            closes.reset(self.open_chunk());
        }
        if self.filled == CHUNK_BYTES {
            self.close(finish).await;
        }
        match read {
            Read::Some => true,
            Read::Nothing => !finishing,
            Read::Over => false,
        }
    }

    fn open_chunk(&mut self) -> Instant {
        self.opened_ms = now_ms();
        Instant::now() + Duration::from_millis(self.record.output().chunk_millis())
    }

    fn read(&mut self, room: u64, finishing: bool) -> Read {
        self.buffer.resize(CHUNK_BYTES, 0);
        let end = CHUNK_BYTES.min(self.filled.saturating_add(usize::try_from(room).unwrap_or(CHUNK_BYTES)));
        let free = &mut self.buffer[self.filled..end];
        let read = if finishing {
            // What was written last may not have been announced yet: look without asking.
            rustix::io::read(self.source.get_ref(), free).map_err(io::Error::from)
        } else {
            self.source.try_io(Interest::READABLE, |source| Ok(rustix::io::read(source, free)?))
        };
        match read {
            Ok(0) => Read::Over,
            Ok(bytes) => {
                self.filled += bytes;
                self.record.output().reserve(bytes);
                Read::Some
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Read::Nothing
            }
            // A terminal whose last user is gone answers EIO: its end of file.
            Err(_) => Read::Over,
        }
    }

    /// Ends the open chunk: into the spool, the hash and the index.
    async fn close(&mut self, finish: &CancellationToken) {
        let mut tries = 0;
        while self.filled > 0 {
            let appended = self.record.output().append(self.stream, self.opened_ms, &self.buffer[..self.filled]);
            if appended.is_ok() {
                self.record.has_grown();
                self.filled = 0;
            } else if tries == TRIES_AFTER_THE_END {
                self.record.output().lose(self.filled);
                self.lost += std::mem::take(&mut self.filled) as u64;
            } else {
                tries += u32::from(finish.is_cancelled());
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// Waits until there is room in the spool and, unless the step has ended, something to read.
async fn readable(record: &Record, source: &AsyncFd<OwnedFd>, finishing: bool) -> u64 {
    let room = record.room().await;
    if !finishing {
        // An error here is one of the read that follows.
        let _ = source.readable().await;
    }
    room
}
