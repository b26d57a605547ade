//! A full disk stops a job without ending it: whoever must write waits here, the step behind it blocks in its pipe, and
//! both go on when there is room. The job's own time bounds the wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::progress::{Observer, Progress};

/// Nothing tells of room on a disk, so it is asked for this often.
const AGAIN: Duration = Duration::from_millis(250);

/// Room on the disk of the data directory.
#[derive(Debug)]
pub struct Room {
    observer: Observer,
    full: AtomicBool,
}

impl Room {
    /// There is room until somebody finds none.
    pub const fn new(observer: Observer) -> Self {
        Self { observer, full: AtomicBool::new(false) }
    }

    /// The disk was found full: says so once, and waits a moment.
    pub async fn wait(&self) {
        if !self.full.swap(true, Ordering::Relaxed) {
            self.observer.tell(Progress::DiskFull(true));
        }
        tokio::time::sleep(AGAIN).await;
    }

    /// Something was written.
    pub fn found(&self) {
        if self.full.swap(false, Ordering::Relaxed) {
            self.observer.tell(Progress::DiskFull(false));
        }
    }
}
