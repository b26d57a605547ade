//! `danube-shim bridge SOCKET`: copies between its own streams and the shim's socket. On a cluster the API server starts
//! it in the container for each stream that the master opens, and nobody stops it: when the client dies it gets no signal,
//! and its output is no longer read. So it ends by itself: when either side closes, also while it waits in a write, and
//! when the master has said nothing for a while, who pings every ten seconds.
//!
//! What was under way is lost then, which the protocol allows at any byte.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::DumpableBehavior;

use crate::error::Error;

/// How long a master may be silent: three pings.
pub const SILENCE: Duration = Duration::from_secs(30);
/// Bytes that are held each way.
const BLOCK: usize = 64 * 1024;

/// The exit code when a side was closed.
const CLOSED: i32 = 0;
/// The exit code when the master fell silent.
const SILENT: i32 = 3;

/// Copies until an end comes; its exit code.
pub fn run(socket: &Path, silence: Duration) -> Result<i32, Error> {
    // Its environment is the container's, and holds the nonce that no step may read.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(Error::system("forbid being traced (PR_SET_DUMPABLE)"))?;
    let shim = UnixStream::connect(socket).map_err(Error::path("connect to", socket))?;
    let (input, output) = (io::stdin(), io::stdout());
    for stream in [shim.as_fd(), input.as_fd(), output.as_fd()] {
        without_waiting(stream).map_err(Error::system("copy without waiting"))?;
    }
    let bridge = Bridge { shim, input, output, to_shim: Held::default(), to_master: Held::default() };
    bridge.copy(silence).map_err(Error::system("copy between the master and the shim"))
}

fn without_waiting(stream: impl AsFd) -> Result<(), Errno> {
    let flags = rustix::fs::fcntl_getfl(&stream)?;
    rustix::fs::fcntl_setfl(&stream, flags | OFlags::NONBLOCK)
}

struct Bridge {
    shim: UnixStream,
    input: io::Stdin,
    output: io::Stdout,
    to_shim: Held,
    to_master: Held,
}

/// What the system says of the three streams.
struct Ready {
    input: PollFlags,
    shim: PollFlags,
    output: PollFlags,
}

impl Bridge {
    fn copy(mut self, silence: Duration) -> Result<i32, Errno> {
        let mut heard = Instant::now();
        while let Some(left) = silence.checked_sub(heard.elapsed()) {
            let ready = self.wait(left)?;
            if self.is_over(&ready) {
                return Ok(CLOSED);
            }
            if ready.input.contains(PollFlags::IN) {
                heard = Instant::now();
            }
            if !self.carry(&ready)? {
                return Ok(CLOSED);
            }
        }
        Ok(SILENT)
    }

    /// Waits for whatever can be done next, at most for so long.
    fn wait(&self, at_most: Duration) -> Result<Ready, Errno> {
        let when = |wanted: bool, flags: PollFlags| if wanted { flags } else { PollFlags::empty() };
        let of_shim = when(self.to_master.is_empty(), PollFlags::IN)
            | when(!self.to_shim.is_empty(), PollFlags::OUT)
            | PollFlags::RDHUP;
        let mut polled = [
            PollFd::new(&self.input, when(self.to_shim.is_empty(), PollFlags::IN)),
            PollFd::new(&self.shim, of_shim),
            PollFd::new(&self.output, when(!self.to_master.is_empty(), PollFlags::OUT)),
        ];
        let at_most = Timespec::try_from(at_most).map_err(|_| Errno::INVAL)?;
        match rustix::event::poll(&mut polled, Some(&at_most)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let [input, shim, output] = polled.map(|fd| fd.revents());
        Ok(Ready { input, shim, output })
    }

    /// Whether a side has gone, and nothing of it is left that could be passed on.
    fn is_over(&self, ready: &Ready) -> bool {
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        let input = ready.input.intersects(gone) && !ready.input.contains(PollFlags::IN);
        let shim = ready.shim.intersects(gone | PollFlags::RDHUP) && !ready.shim.contains(PollFlags::IN);
        let stuck = !self.to_master.is_empty() && !ready.output.contains(PollFlags::OUT);
        ready.output.intersects(gone) || input || shim && (stuck || self.to_master.is_empty())
    }

    /// Copies what can be copied; false when a side has come to its end.
    fn carry(&mut self, ready: &Ready) -> Result<bool, Errno> {
        if ready.output.contains(PollFlags::OUT) {
            self.to_master.give(&self.output)?;
        }
        if ready.shim.contains(PollFlags::OUT) {
            self.to_shim.give(&self.shim)?;
        }
        let from_input = !ready.input.contains(PollFlags::IN) || self.to_shim.take(&self.input)?;
        let from_shim = !ready.shim.contains(PollFlags::IN) || self.to_master.take(&self.shim)?;
        Ok(from_input && from_shim)
    }
}

/// Bytes on their way.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    given: usize,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.given == self.bytes.len()
    }

    /// Reads a block; false at the end of the stream.
    fn take(&mut self, from: impl AsFd) -> Result<bool, Errno> {
        self.given = 0;
        self.bytes.resize(BLOCK, 0);
        let read = rustix::io::read(from, &mut self.bytes);
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            other => other.map(|read| read > 0),
        }
    }

    /// Writes what the stream takes now.
    fn give(&mut self, into: impl AsFd) -> Result<(), Errno> {
        match rustix::io::write(into, &self.bytes[self.given..]) {
            Ok(written) => self.given += written,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
