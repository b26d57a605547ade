//! Following a log while it is written.

use tokio::sync::watch;

use super::{LogDir, LogError, LogReader};
use danube_store::steps::StepKey;

/// A step's log for those who look at it live: waits for growth, and reads up to there. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogTail {
    dir: LogDir,
    key: StepKey,
    written: watch::Receiver<u64>,
}

impl LogTail {
    pub(super) fn new(dir: LogDir, key: StepKey, written: watch::Receiver<u64>) -> Self {
        Self { dir, key, written }
    }

    /// Whose log it is.
    #[must_use]
    pub fn key(&self) -> &StepKey {
        &self.key
    }

    /// Bytes of `.raw` written so far. What is written but not yet committed may be written again, the same bytes,
    /// after a crash.
    #[must_use]
    pub fn written(&self) -> u64 {
        *self.written.borrow()
    }

    /// Waits until more than `seen` bytes are written; none when the log is closed and there is no more.
    pub async fn beyond(&mut self, seen: u64) -> Option<u64> {
        // Closing is told only to who has seen everything.
        self.written.wait_for(|&written| written > seen).await.ok().map(|written| *written)
    }

    /// Opens the log as far as it is written now.
    pub fn reader(&self) -> Result<LogReader, LogError> {
        self.dir.reader(&self.key)
    }
}
