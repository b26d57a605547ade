//! What the shim does to itself before anybody can connect: a step shares its user id and its process table, and
//! must still not read, trace or stop it.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::error::Error;

/// Badness of steps: the kernel takes them before the shim.
const STEP_BADNESS: &str = "1000";
/// Badness the shim asks for itself; granted only with CAP_SYS_RESOURCE in the first user namespace.
const SHIM_BADNESS: &str = "-998";

/// The limits that the shim found, given back to steps.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// Open files.
    pub nofile: Rlimit,
    /// Whether this process is PID 1.
    pub pid_one: bool,
}

/// Hardens this process. The order matters: the badness file belongs to root once the process is not dumpable.
pub fn this_process() -> Result<(Inherited, Badness), Error> {
    close_on_exec()?;
    let badness = Badness::open();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Error::system("adopt orphans (PR_SET_CHILD_SUBREAPER)"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(Error::system("forbid being traced (PR_SET_DUMPABLE)"))?;
    let pid_one = rustix::process::getpid().is_init();
    Ok((Inherited { nofile: raise_open_files(), pid_one }, badness))
}

/// 512 steps with their pipes and spools need more than the customary 1024 descriptors.
fn raise_open_files() -> Rlimit {
    let found = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: found.maximum, maximum: found.maximum };
    // Without the raise fewer steps run at once; nothing else changes.
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
    found
}

/// No descriptor that the runtime left open reaches a step.
fn close_on_exec() -> Result<(), Error> {
    mark_close_on_exec().map_err(Error::system("mark descriptors close-on-exec"))
}

const FIRST: libc::c_long = 3;
const LAST: libc::c_long = libc::c_uint::MAX as libc::c_long;

/// Marks every descriptor but the three standard ones close-on-exec. It is one system call and may be made after a fork.
#[expect(unsafe_code, reason = "close_range has no safe wrapper, and not every libc has a function for it")]
pub fn mark_close_on_exec() -> io::Result<()> {
    // SAFETY: the flag only marks descriptors; none is closed here.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, LAST, libc::c_long::from(libc::CLOSE_RANGE_CLOEXEC)) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a descriptor that the runtime left open under this number.
#[expect(unsafe_code, reason = "an inherited descriptor is a number until it is owned")]
pub fn inherited(name: &'static str, fd: RawFd) -> Result<OwnedFd, Error> {
    // SAFETY: the borrow lasts for this call and serves to ask whether the descriptor is open at all.
    let open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) });
    open.map_err(|_| Error::Invalid { name, value: fd.to_string(), expected: "an open descriptor" })?;
    // SAFETY: it is open, and the configuration names each inherited descriptor once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The shim's `oom_score_adj`, opened while that was still allowed. A step inherits the value at its fork: that
/// needs no privilege, whoever the step becomes.
#[derive(Debug)]
pub struct Badness {
    file: Option<File>,
    own: String,
}

impl Badness {
    fn open() -> Self {
        let path = "/proc/self/oom_score_adj";
        let file = File::options().read(true).write(true).open(path).ok();
        if let Some(file) = &file {
            // Mostly refused, and then the value that the runtime chose stays.
            let _ = file.write_at(SHIM_BADNESS.as_bytes(), 0);
        }
        let own = std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self { file, own }
    }

    /// Runs `fork` while the value for steps is in force.
    pub fn for_a_step<T>(&self, fork: impl FnOnce() -> T) -> T {
        self.write(STEP_BADNESS);
        let forked = fork();
        self.write(&self.own);
        forked
    }

    fn write(&self, value: &str) {
        if let Some(file) = &self.file {
            // A refusal leaves the order in which the kernel would choose anyway.
            let _ = file.write_at(value.as_bytes(), 0);
        }
    }
}
