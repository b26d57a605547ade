//! Fork and exec, and the words for what failed in between.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::child::{self, Stage};
use super::plan::{Plan, Stdio};
use super::reaper::{Exit, Reaper};
use crate::harden::Badness;

/// A step that did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarted {
    /// 127 when the program is missing, else 126.
    pub exit_code: i32,
    /// What, where, and what to do.
    pub message: String,
}

impl NotStarted {
    /// Something the shim needed for it failed.
    pub fn because(what: &str, error: &io::Error) -> Self {
        Self { exit_code: 126, message: format!("the step could not be started: cannot {what}: {error}") }
    }
}

/// A running main process.
#[derive(Debug)]
pub struct Main {
    /// Its number, which is also its session and process group.
    pub pid: i32,
    /// Told when it ends.
    pub exit: oneshot::Receiver<Exit>,
}

/// Starts the process; returns once exec has succeeded or failed.
pub async fn spawn(plan: &Plan, stdio: Stdio, reaper: &Reaper, badness: &Badness) -> Result<Main, NotStarted> {
    let failed = |error: io::Error| NotStarted::because("fork", &error);
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let pid = {
        let raw = child::Raw::new(plan, &stdio, write.as_raw_fd());
        badness.for_a_step(|| fork(&raw)).map_err(failed)?
    };
    let exit = reaper.expect(pid);
    drop((write, stdio));
    let mut report = Vec::new();
    let read = pipe::Receiver::from_owned_fd(read).map_err(failed)?;
    read.take(5).read_to_end(&mut report).await.map_err(failed)?;
    match report.as_slice() {
        [] => Ok(Main { pid, exit }),
        [stage, errno @ ..] => Err(words(plan, *stage, errno)),
    }
}

#[expect(unsafe_code, reason = "a step is forked: the standard library cannot drop capabilities or take rusage")]
fn fork(raw: &child::Raw<'_>) -> io::Result<i32> {
    // SAFETY: the child runs `child::run` alone, which only makes system calls on prepared memory and never returns.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: this is the child, straight after fork.
        0 => unsafe { child::run(raw) },
        pid => Ok(pid),
    }
}

fn words(plan: &Plan, stage: u8, errno: &[u8]) -> NotStarted {
    let errno = errno.try_into().map_or(libc::EIO, i32::from_ne_bytes);
    let error = io::Error::from_raw_os_error(errno);
    let program = plan.args.first().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let message = match Stage::from_byte(stage) {
        Some(Stage::Program) => return program_words(&program, errno, &error),
        Some(Stage::Directory) => format!(
            "the working directory {} cannot be entered: {error}; create it in an earlier step or correct cwd",
            plan.cwd.to_string_lossy()
        ),
        Some(Stage::User) => format!(
            "cannot become {}: {error}; this container has no such id, use an image whose user is mapped",
            plan.user
        ),
        Some(Stage::Capabilities) => {
            format!("cannot drop capabilities: {error}; the container's PID 1 needs CAP_SETPCAP")
        }
        _ => format!("the step could not be set up: {error}"),
    };
    NotStarted { exit_code: 126, message }
}

fn program_words(program: &str, errno: i32, error: &io::Error) -> NotStarted {
    let (exit_code, message) = match errno {
        libc::ENOENT => (127, format!("{program}: not found; install it in the image or correct PATH")),
        libc::EACCES => (126, format!("{program}: not executable for this user; chmod +x it or run it with a shell")),
        libc::ENOEXEC => {
            (126, format!("{program}: not a program for this machine, and a script without #! needs a shell"))
        }
        libc::E2BIG => (126, format!("{program}: arguments and environment are too long; pass them in a file")),
        _ => (126, format!("{program}: {error}")),
    };
    NotStarted { exit_code, message }
}
