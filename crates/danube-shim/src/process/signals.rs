//! The two signals the shim listens to, each with its sender.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tokio::io::unix::AsyncFd;

use crate::events::readable;

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Some child ended.
    Child,
    /// The runtime wants the container to end.
    Terminate,
    /// Somebody inside tried to end the shim.
    Ignored,
}

/// SIGCHLD and SIGTERM as a descriptor. Blocked signals are queued even for PID 1, so the sender can be looked at.
#[derive(Debug)]
pub struct Signals {
    fd: AsyncFd<OwnedFd>,
    pid_one: bool,
}

impl Signals {
    /// Blocks both signals in this thread (and those it starts) and listens to them.
    #[expect(unsafe_code, reason = "signalfd has no safe wrapper")]
    pub fn listen(pid_one: bool) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set before it is read; the descriptor is new and owned here alone.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            match libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                -1 => return Err(io::Error::last_os_error()),
                fd => OwnedFd::from_raw_fd(fd),
            }
        };
        Ok(Self { fd: readable(fd)?, pid_one })
    }

    /// Waits for the next one.
    pub async fn next(&self) -> io::Result<Arrived> {
        loop {
            let mut ready = self.fd.readable().await?;
            if let Ok(read) = ready.try_io(|fd| read_one(fd.get_ref())) {
                return Ok(self.judge(&read?));
            }
        }
    }

    fn judge(&self, info: &libc::signalfd_siginfo) -> Arrived {
        match info.ssi_signo.cast_signed() {
            libc::SIGCHLD => Arrived::Child,
            _ if !self.pid_one || from_outside(info) => Arrived::Terminate,
            _ => Arrived::Ignored,
        }
    }
}

/// A sender in an outer PID namespace has no number here. A negative code would prove nothing: `sigqueue` lets
/// anybody fill in the sender.
fn from_outside(info: &libc::signalfd_siginfo) -> bool {
    matches!(info.ssi_code, libc::SI_USER | libc::SI_KERNEL) && info.ssi_pid == 0
}

#[expect(unsafe_code, reason = "the kernel fills a plain C structure")]
fn read_one(fd: &OwnedFd) -> io::Result<libc::signalfd_siginfo> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer has the size given, and signalfd writes whole structures or nothing.
    let read = unsafe { libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
    if read < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a read that did not fail has filled one structure.
    Ok(unsafe { info.assume_init() })
}
