//! SQLite: migrations, one writer with group commit, a read pool.
//!
//! [`Store::open`] takes the data directory for this process alone and checks what it finds there. Every change goes
//! through [`Store::write`], which returns once it is durable; reads go to the pool that [`Store::read`] gives. The
//! queries are free functions, one module per noun, and hold no state.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::SqlitePool;

pub mod artifacts;
pub mod attempts;
mod check;
pub mod config_commits;
pub mod containers;
pub mod egress;
mod error;
pub mod jobs;
mod lock;
mod open;
pub mod pipelines;
pub mod reports;
pub mod runs;
pub mod schema;
pub mod sessions;
pub mod steps;
pub mod summaries;
mod template;
mod writer;

pub use error::StoreError;
pub use lock::is_locked;
pub use sqlx::SqliteExecutor;
pub use writer::{Tx, WriteFuture};

/// Where the database stands in the data directory.
pub const DATABASE: &str = "danube.db";
/// Where the logs stand in the data directory (docs/logs.md).
pub const LOGS: &str = "logs";
/// Where the files of artifacts stand in the data directory.
pub const ARTIFACTS: &str = "artifacts";

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: every commit waits for the disk. For everything that is promised to somebody.
    PowerCut,
    /// A killed process, at any instant, but no power cut. For `danube run`, whose containers a power cut ends anyway:
    /// waiting for the disk would only make every step slower.
    Kill,
}

/// The data directory, opened by this process alone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    dir: Arc<Path>,
    epoch: u64,
    durability: Durability,
    writer: writer::Writer,
    readers: SqlitePool,
}

impl Store {
    /// Opens the data directory, making it and its database if there are none yet.
    ///
    /// Fails, and changes nothing, when another process holds it or when the database is damaged or from a newer
    /// Danube.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with(dir, Durability::PowerCut).await
    }

    /// Like [`open`](Self::open), with commits that survive less.
    pub async fn open_with(dir: impl Into<PathBuf>, durability: Durability) -> Result<Self, StoreError> {
        open::open(&dir.into(), durability, &open::MIGRATIONS).await
    }

    /// Like [`open_with`](Self::open_with), for a directory that is new: its database is a copy of an empty one that is
    /// kept in the folder `templates`.
    pub async fn open_new(dir: &Path, durability: Durability, templates: &Path) -> Result<Self, StoreError> {
        let template = template::path(templates);
        template::copy(&template, dir).await?;
        match Self::open_with(dir, durability).await {
            Err(StoreError::Damaged { .. }) => {
                template::discard(&template, dir)?;
                Self::open_with(dir, durability).await
            }
            opened => opened,
        }
    }

    /// What a commit survives, and what a log's has to survive.
    #[must_use]
    pub const fn durability(&self) -> Durability {
        self.durability
    }

    /// Runs `work` in a transaction with whatever else is queued, and returns when it is durable.
    ///
    /// When `work` fails, what it did is undone and the rest of the transaction stands. Once called, the work is done
    /// even if the caller stops waiting. It must only run queries: everybody else waits for it.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> WriteFuture<'c, T> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// Waits until the disk fails, and says how. From then on nothing can be written: only a new opening finds out what
    /// the disk holds.
    pub async fn broken(&self) -> StoreError {
        self.writer.broken().await
    }

    /// How the disk failed, if it has.
    #[must_use]
    pub fn broken_now(&self) -> Option<StoreError> {
        self.writer.broken_now()
    }

    /// Whether nothing can be written any more, for it failed or was closed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.writer.broken_now().is_some() || self.writer.is_closed()
    }

    /// Connections that see what is committed and cannot write.
    #[must_use]
    pub fn read(&self) -> &SqlitePool {
        &self.readers
    }

    /// How often this directory was opened, this time included (docs/protocol.md, rule 7).
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Finishes what is queued, closes the database and gives the directory back. Later writes fail.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// SQLite's integers are signed. No count of ours comes near the end of them.
fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
