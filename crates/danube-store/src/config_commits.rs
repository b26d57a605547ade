//! Commits of the configuration repository that were applied.

use sqlx::SqliteExecutor;

use crate::{StoreError, Tx};

/// A commit that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigCommit {
    /// Its id.
    pub sha: String,
    /// The repository it was read from.
    pub repository: String,
    /// The branch whose head it was.
    pub branch: String,
    /// What it changed, as JSON.
    pub changes: String,
    /// When, in milliseconds since the Unix epoch.
    pub applied_ms: i64,
}

/// Notes that a commit is in force.
pub async fn insert(tx: &mut Tx, commit: &ConfigCommit) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO config_commits (sha, repository, branch, changes, applied_ms) VALUES (?, ?, ?, ?, ?)",
        commit.sha,
        commit.repository,
        commit.branch,
        commit.changes,
        commit.applied_ms,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The commit that is in force.
pub async fn last(db: impl SqliteExecutor<'_>) -> Result<Option<ConfigCommit>, StoreError> {
    let row = sqlx::query_as!(
        ConfigCommit,
        "SELECT sha, repository, branch, changes, applied_ms FROM config_commits ORDER BY seq DESC LIMIT 1"
    );
    Ok(row.fetch_optional(db).await?)
}
