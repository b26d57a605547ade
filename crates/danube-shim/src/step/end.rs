//! The record of an end.

use danube_proto::v1::{End, EndCause};
use tokio::time::Instant;

use super::supervise::Ended;
use crate::process::spawn::NotStarted;

/// A step that never ran.
pub fn not_started(why: NotStarted, started_ms: u64) -> End {
    End {
        exit_code: why.exit_code,
        cause: EndCause::NotStarted.into(),
        started_ms,
        message: why.message,
        ..End::default()
    }
}

/// What happened around the main process.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// Since the Unix epoch.
    pub started_ms: u64,
    /// When it started.
    pub started: Instant,
    /// The OOM counter rose while it ran.
    pub oom_rose: bool,
    /// Bytes of output that could not be stored.
    pub lost: u64,
    /// The limit that was asked for and cannot be held.
    pub memory_limit: u64,
}

/// A step that ran. Bytes, hash and captures come from its output.
pub fn ended(ended: &Ended, around: &Around) -> End {
    let exit = ended.exit;
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let killed = exit.code == 128 + libc::SIGKILL && ended.cause == EndCause::Exited;
    End {
        exit_code: exit.code,
        signal: exit.signal,
        cause: ended.cause.into(),
        user_us: micros(exit.user),
        system_us: micros(exit.system),
        max_rss_bytes: exit.max_rss,
        started_ms: around.started_ms,
        duration_ms: micros(ended.at - around.started) / 1000,
        oom: killed && around.oom_rose,
        message: message(ended, around),
        killed_processes: ended.killed,
        ..End::default()
    }
}

fn message(ended: &Ended, around: &Around) -> String {
    let mut words = Vec::new();
    if around.lost > 0 {
        words.push(format!("{} bytes of output were lost: the container's disk is full", around.lost));
    }
    if ended.stuck > 0 {
        words.push(format!("{} processes did not end on KILL and are left to the container's end", ended.stuck));
    }
    if around.memory_limit > 0 {
        words.push(format!(
            "the memory limit of {} bytes was not held: a step has no cgroup of its own, limit the container",
            around.memory_limit
        ));
    }
    words.join("; ")
}
