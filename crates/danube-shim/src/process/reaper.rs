//! Hears of every end: of steps, and of the orphans that the shim adopts.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

/// How a main process ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// Its exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal; 0 when none.
    pub signal: i32,
    /// CPU time in user mode, with that of the children it waited for.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// The largest resident set, in bytes.
    pub max_rss: u64,
}

/// Waits for all children and tells those who asked.
#[derive(Debug)]
pub struct Reaper {
    waiting: Mutex<HashMap<i32, oneshot::Sender<Exit>>>,
    reaped: watch::Sender<()>,
}

impl Default for Reaper {
    fn default() -> Self {
        Self { waiting: Mutex::default(), reaped: watch::Sender::new(()) }
    }
}

impl Reaper {
    /// Asks for the end of a child that was forked just now, before anything else could run.
    pub fn expect(&self, pid: i32) -> oneshot::Receiver<Exit> {
        let (tell, told) = oneshot::channel();
        self.waiting().insert(pid, tell);
        told
    }

    /// Sends a signal to a main process that has not been reaped, so its number is still its own.
    pub fn signal(&self, pid: i32, signal: i32) -> bool {
        self.waiting().contains_key(&pid) && send(pid, signal)
    }

    /// Main processes that have not been reaped.
    pub fn mains(&self) -> Vec<i32> {
        self.waiting().keys().copied().collect()
    }

    /// Changes whenever something was reaped.
    pub fn reaped(&self) -> watch::Receiver<()> {
        self.reaped.subscribe()
    }

    /// Reaps all that have ended. One SIGCHLD may stand for many.
    pub fn reap(&self) {
        while let Some((pid, exit)) = wait_any() {
            if let Some(tell) = self.waiting().remove(&pid) {
                // The step's task may have been dropped at shutdown.
                let _ = tell.send(exit);
            }
            self.reaped.send_replace(());
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<i32, oneshot::Sender<Exit>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a signal to a process, or with a negative number to a group.
#[expect(unsafe_code, reason = "kill takes negative numbers, which rustix's Pid does not")]
pub fn send(pid: i32, signal: i32) -> bool {
    // SAFETY: no memory is involved. 0 and -1 would reach far more than a step and never come from a fork.
    pid != 0 && pid != -1 && unsafe { libc::kill(pid, signal) } == 0
}

#[expect(unsafe_code, reason = "wait4 tells the resource usage, which waitid does not")]
fn wait_any() -> Option<(i32, Exit)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live memory of the right type; all zeroes is a valid rusage.
    let (pid, usage) = unsafe {
        let pid = libc::wait4(-1, &raw mut status, libc::WNOHANG | libc::__WALL, usage.as_mut_ptr());
        (pid, usage.assume_init())
    };
    (pid > 0).then(|| (pid, exit(status, &usage)))
}

fn exit(status: i32, usage: &libc::rusage) -> Exit {
    let signal = if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 };
    let code = if signal == 0 { libc::WEXITSTATUS(status) } else { 128 + signal };
    let max_rss = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Exit { code, signal, user: duration(usage.ru_utime), system: duration(usage.ru_stime), max_rss }
}

fn duration(time: libc::timeval) -> Duration {
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
}
