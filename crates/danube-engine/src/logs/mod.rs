//! Logs of steps: two files per step, `<n>.raw` and `<n>.idx` (docs/logs.md). One writer per step ([`step_log`]) hides
//! secrets and makes output durable; any number of readers follow the files ([`tail`], [`reader`]) or see a whole job
//! as text ([`text`]). No reader can slow a step.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use danube_core::id::AttemptId;
use danube_store::StoreError;
use danube_store::steps::StepKey;
use rustix::fs::OFlags;

mod failure;
mod failures;
mod index;
mod line;
mod pieces;
pub mod reader;
mod step_log;
mod tail;
pub mod text;

pub use line::{LINE_BYTES, LastState, Line};
pub use reader::LogReader;
pub use step_log::StepLog;
pub use tail::LogTail;
pub use text::{TextLog, TextStep};

/// What can go wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file operation failed.
    #[error("cannot {what} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The files hold less than the database says they do.
    #[error(
        "the log {} is damaged ({what}): put it back from a backup, or cancel the job and run it again", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// There is no row for it.
    #[error("the database knows no step {0} of this attempt: its row must be written before its log")]
    NoRow(u32),
    /// What was received is not what the shim says it sent.
    #[error("output differs from the shim's record: received {received}, the shim says {said}")]
    Differs {
        /// Bytes and hash of what was received.
        received: String,
        /// Bytes and hash of the shim's record.
        said: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What makes a failed write succeed.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; nothing is lost: make room, and the step's output goes on where it stopped"
        }
        _ => "",
    }
}

impl LogError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// Whether making room on the disk, and then trying again, helps.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Store(error) => error.is_full(),
            _ => false,
        }
    }
}

/// The folder of all logs: `<job>/<attempt>/<n>.{raw,idx}`.
#[derive(Clone, Debug)]
pub struct LogDir {
    root: PathBuf,
}

impl LogDir {
    /// The folder of all logs; usually [`danube_store::LOGS`] in the data directory. It is made when needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Opens a step's log for reading as far as it is written now.
    pub fn reader(&self, key: &StepKey) -> Result<LogReader, LogError> {
        LogReader::open(self.path(key, "raw"), self.path(key, "idx"))
    }

    /// A step's log that nobody writes any more, for those who look.
    #[must_use]
    pub fn tail(&self, attempt: &AttemptId, number: u32) -> LogTail {
        let key = StepKey { attempt: attempt.clone(), number };
        let written = self.reader(&key).map_or(0, |reader| reader.len());
        LogTail::new(self.clone(), key, tokio::sync::watch::channel(written).1)
    }

    /// A file that no name leads to, for bytes in transit. It is gone when it is closed.
    pub fn unnamed_file(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.root)?;
        let flags = i32::try_from(OFlags::TMPFILE.bits()).map_err(io::Error::other)?;
        OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(flags).open(&self.root)
    }

    /// The folder of an attempt's logs.
    fn folder(&self, key: &StepKey) -> PathBuf {
        self.root.join(key.attempt.job.as_str()).join(key.attempt.number.to_string())
    }

    fn path(&self, key: &StepKey, suffix: &str) -> PathBuf {
        self.folder(key).join(format!("{}.{suffix}", key.number))
    }
}

#[cfg(test)]
mod tests;
