//! What can go wrong with the data directory: what happened, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with the data directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "{} is in use by the process {pid}: only one Danube may use a data directory; \
         stop that one, or name another directory", dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The process that holds it, as far as it could be read.
        pid: String,
    },
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There are remains of a data directory but no database.
    #[error(
        "{} is missing although {} is there: put the database back from a backup, \
         or move the whole directory away to begin anew", path.display(), remains.display()
    )]
    Missing {
        /// The database.
        path: PathBuf,
        /// What shows that there was one.
        remains: PathBuf,
    },
    /// The database cannot be trusted.
    #[error(
        "the database {} is damaged ({what}): nothing was changed; put it back from a backup \
         (delete its -wal and -shm files with it), or move the whole directory away to begin anew", path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A newer Danube has used the database.
    #[error(
        "the database {} has the schema {found}, this Danube knows none above {known}: \
         use the newer Danube again, or put back the backup from before the upgrade", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The schema found.
        found: i64,
        /// The newest schema this build knows.
        known: i64,
    },
    /// The schema could not be brought up to date; the database is as it was before that step.
    #[error(
        "the database {} cannot be brought to this version's schema ({why}): \
         it is as it was before the step; use the older Danube, and report this", path.display()
    )]
    Migration {
        /// The database.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// No room for the change: it is undone.
    #[error("the disk with {} is full: nothing was changed; make room, then try again", dir.display())]
    Full {
        /// The data directory.
        dir: PathBuf,
    },
    /// The transaction, and so everything in it, is undone.
    #[error("the change could not be made durable in {} ({why}): it is undone; try again", dir.display())]
    NotCommitted {
        /// The data directory.
        dir: PathBuf,
        /// What the database said.
        why: String,
    },
    /// The disk failed: what is on it is uncertain until the database is opened again.
    #[error(
        "the disk under {} failed ({why}): nothing more is written, and only another start shows whether the last change \
         was kept; look at the disk (dmesg), then start Danube again", dir.display()
    )]
    Broken {
        /// The data directory.
        dir: PathBuf,
        /// What the database said.
        why: String,
    },
    /// A query failed.
    #[error("a query failed: {0}")]
    Query(#[from] sqlx::Error),
    /// The store was closed, or its writer died.
    #[error("the database is closed: Danube is stopping")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// The same error with what its number says in this data directory.
    pub(crate) fn located(self, dir: &Path) -> Self {
        let Self::Query(error) = self else { return self };
        match primary_code(&error) {
            Some(FULL) => Self::Full { dir: dir.to_owned() },
            Some(CORRUPT | NOT_A_DATABASE) => {
                Self::Damaged { path: dir.join(crate::DATABASE), what: error.to_string() }
            }
            _ => Self::Query(error),
        }
    }

    /// Whether only opening the data directory again helps.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }

    /// Whether somebody else is writing just now.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Query(error) if primary_code(error) == Some(BUSY))
    }

    /// Whether the disk failed.
    pub(crate) fn is_io(&self) -> bool {
        matches!(self, Self::Query(error) if primary_code(error) == Some(IO))
    }

    /// Whether making room on the disk helps.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
            || matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

/// Whether a progress handler ended it.
pub(crate) fn is_interrupt(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(INTERRUPT)
}

const BUSY: u32 = 5;
const INTERRUPT: u32 = 9;
const IO: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const NOT_A_DATABASE: u32 = 26;

/// SQLite's result code without its extension.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}
