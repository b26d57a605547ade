//! `danube-shim bridge PATH`: one stream between whoever started this (`kubectl exec`, a runtime) and the shim's socket.
//!
//! A runtime tells nobody that its client is gone: no signal comes, stdin stays open, and what is written is read by no
//! one. So the bridge ends by itself: when the shim closes its side, which it does when its pings are not answered, also
//! while the bridge is held up in a write; and when nothing has come from the shim for so long that it must be dead.
//! Whatever a bridge's exit code is, it says nothing about the job.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use danube_proto::limits::DEAD_SECONDS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::DumpableBehavior;

use crate::error::Error;

/// Seconds without a byte from the shim after which the bridge ends; for tests, which set it for a container's life.
const SILENCE: &str = "DANUBE_SHIM_BRIDGE_SILENCE_S";
/// How long what the shim said last may take to leave, after it has closed.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Held of each direction.
const ROOM: usize = 64 << 10;
/// The shim closed, or the client did and the shim after it.
const CLOSED: i32 = 0;
/// Nothing came from the shim, or nobody read what did.
const SILENT: i32 = 75;

/// Carries bytes both ways until the end; answers the exit code.
pub fn run(socket: &Path) -> Result<i32, Error> {
    unreadable()?;
    let silence = silence()?;
    let shim = UnixStream::connect(socket).map_err(Error::path("connect to the shim at", socket))?;
    shim.set_nonblocking(true).map_err(Error::system("set up the shim's stream"))?;
    let (input, output) = (standard(io::stdin().as_fd())?, standard(io::stdout().as_fd())?);
    Bridge { shim, input, output, up: Held::default(), down: Held::default() }
        .carry(silence)
        .map_err(Error::system("carry bytes"))
}

/// What passes here may be a secret of another step, and whoever traces this process speaks to the shim as its master.
fn unreadable() -> Result<(), Error> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(Error::system("forbid being traced (PR_SET_DUMPABLE)"))?;
    let status = std::fs::read_to_string("/proc/self/status").map_err(Error::system("read /proc/self/status"))?;
    let untraced = status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() == "0"));
    if untraced { Ok(()) } else { Err(Error::Traced) }
}

fn silence() -> Result<Duration, Error> {
    let Some(text) = std::env::var_os(SILENCE) else { return Ok(Duration::from_secs(DEAD_SECONDS)) };
    let text = text.to_string_lossy().into_owned();
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or(Error::Invalid { name: SILENCE, value: text, expected: "a number of seconds" })
}

/// Standard input or output as a file that never blocks.
fn standard(fd: BorrowedFd<'_>) -> Result<File, Error> {
    let set = |fd: BorrowedFd<'_>| -> io::Result<File> {
        let flags = rustix::fs::fcntl_getfl(fd)?;
        rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
        Ok(File::from(fd.try_clone_to_owned()?))
    };
    set(fd).map_err(Error::system("set up standard input and output"))
}

/// Bytes that were read and not yet written.
#[derive(Debug)]
struct Held {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
    /// The side that is read has ended.
    ended: bool,
}

impl Default for Held {
    fn default() -> Self {
        Self { bytes: vec![0; ROOM].into(), from: 0, to: 0, ended: false }
    }
}

impl Held {
    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Reads once if nothing is held.
    fn fill(&mut self, source: &mut impl Read) {
        if !self.is_empty() || self.ended {
            return;
        }
        match source.read(&mut self.bytes) {
            Ok(0) => self.ended = true,
            Ok(read) => (self.from, self.to) = (0, read),
            Err(error) if would_block(&error) => {}
            // A side that was reset, or a terminal that was hung up, is one that has ended.
            Err(_) => self.ended = true,
        }
    }

    /// Writes once; whether bytes left.
    fn drain(&mut self, sink: &mut impl Write) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(false);
        }
        match sink.write(&self.bytes[self.from..self.to]) {
            Ok(written) => {
                self.from += written;
                Ok(written > 0)
            }
            Err(error) if would_block(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[derive(Debug)]
struct Bridge {
    shim: UnixStream,
    input: File,
    output: File,
    /// From the client to the shim.
    up: Held,
    /// From the shim to the client.
    down: Held,
}

impl Bridge {
    fn carry(mut self, silence: Duration) -> io::Result<i32> {
        let mut until = Instant::now() + silence;
        let (mut told, mut closed) = (false, false);
        loop {
            let now = Instant::now();
            if self.down.ended && self.down.is_empty() {
                return Ok(CLOSED);
            }
            if now >= until {
                return Ok(if closed { CLOSED } else { SILENT });
            }
            let gone = self.wait(until - now, closed)?;
            if gone && !closed {
                closed = true;
                until = until.min(Instant::now() + LAST_WORDS);
            }
            if self.downwards() && !closed {
                until = Instant::now() + silence;
            }
            self.upwards(&mut told);
        }
    }

    /// Waits until something can move; whether the shim has closed its side, which is told also while nothing is read of it.
    fn wait(&self, at_most: Duration, closed: bool) -> io::Result<bool> {
        let mut shim = PollFlags::empty();
        shim.set(PollFlags::RDHUP, !closed);
        shim.set(PollFlags::IN, self.down.is_empty() && !self.down.ended);
        shim.set(PollFlags::OUT, !self.up.is_empty());
        let mut polled = vec![PollFd::new(&self.shim, shim)];
        // A descriptor that is asked nothing of still tells, for ever, that its other end is gone.
        if self.up.is_empty() && !self.up.ended {
            polled.push(PollFd::new(&self.input, PollFlags::IN));
        }
        if !self.down.is_empty() {
            polled.push(PollFd::new(&self.output, PollFlags::OUT));
        }
        // After the shim has closed, only what is left for the client counts.
        if closed && !self.down.is_empty() {
            polled.remove(0);
        }
        let timeout = Timespec {
            tv_sec: at_most.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: at_most.subsec_nanos().into(),
        };
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(closed || polled[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR))
    }

    /// Whether anything came from the shim, or left for the client.
    fn downwards(&mut self) -> bool {
        let had = !self.down.is_empty();
        self.down.fill(&mut self.shim);
        let came = !had && !self.down.is_empty();
        let Ok(left) = self.down.drain(&mut self.output) else {
            // Nobody reads any more, and says so.
            self.down = Held { ended: true, ..Held::default() };
            return false;
        };
        came || left
    }

    /// A client that has ended is told to the shim, which then closes.
    fn upwards(&mut self, told: &mut bool) {
        self.up.fill(&mut self.input);
        if self.up.drain(&mut self.shim).is_err() {
            self.up = Held { ended: true, ..Held::default() };
        }
        if self.up.ended && self.up.is_empty() && !*told {
            *told = true;
            // Refused when the shim has closed already.
            let _ = self.shim.shutdown(std::net::Shutdown::Write);
        }
    }
}
