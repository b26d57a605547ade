//! Artifacts: what each attempt's danubefile uploaded. A row is written when its file is whole; it never changes.

use danube_core::artifact::ArtifactName;
use danube_core::id::{AttemptId, StepId};
use sqlx::SqliteExecutor;

use crate::{StoreError, Tx, to_sql};

/// What an attempt may keep.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Artifacts.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// An artifact that arrived whole.
#[derive(Clone, Debug)]
pub struct NewArtifact {
    /// Under which it is kept.
    pub name: ArtifactName,
    /// The call that brought it; names its file.
    pub call: StepId,
    /// Bytes.
    pub size: u64,
    /// Of its bytes.
    pub sha256: [u8; 32],
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// What became of a new artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is kept.
    Kept,
    /// This one has its name, or one of them would be a folder of the other.
    Taken(String),
    /// The attempt keeps as much as it may.
    Full,
}

/// An artifact as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactRow {
    /// Under which it is kept.
    pub name: String,
    /// The call that brought it; names its file.
    pub call: String,
    /// Bytes.
    pub size: i64,
    /// Of its bytes.
    pub sha256: Vec<u8>,
    /// When it was kept, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// Writes an artifact whose file is whole.
pub async fn insert(
    tx: &mut Tx,
    attempt: &AttemptId,
    artifact: &NewArtifact,
    caps: Caps,
) -> Result<Inserted, StoreError> {
    if let Some(taken) = taken(&mut *tx, attempt, &artifact.name).await? {
        return Ok(Inserted::Taken(taken));
    }
    let (count, bytes) = kept(&mut *tx, attempt).await?;
    if count >= caps.count || bytes.saturating_add(artifact.size) > caps.bytes {
        return Ok(Inserted::Full);
    }
    let (job, number, name, call) =
        (attempt.job.as_str(), attempt.number, artifact.name.as_str(), artifact.call.to_string());
    let (size, sha256) = (to_sql(artifact.size), &artifact.sha256[..]);
    sqlx::query!(
        "INSERT INTO artifacts (job, attempt, name, call, size, sha256, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        job,
        number,
        name,
        call,
        size,
        sha256,
        artifact.created_ms
    )
    .execute(tx)
    .await?;
    Ok(Inserted::Kept)
}

/// The artifact that stands in the way of a new name.
async fn taken(tx: &mut Tx, attempt: &AttemptId, name: &ArtifactName) -> Result<Option<String>, StoreError> {
    let (job, number, name) = (attempt.job.as_str(), attempt.number, name.as_str());
    let found = sqlx::query_scalar!(
        "SELECT name FROM artifacts WHERE job = ?1 AND attempt = ?2 AND
         (name = ?3 OR substr(name, 1, length(?3) + 1) = ?3 || '/' OR substr(?3, 1, length(name) + 1) = name || '/')
         LIMIT 1",
        job,
        number,
        name
    );
    Ok(found.fetch_optional(tx).await?)
}

/// How many an attempt keeps, and their bytes.
async fn kept(tx: &mut Tx, attempt: &AttemptId) -> Result<(u64, u64), StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let kept = sqlx::query!(
        r#"SELECT count(*) AS "count: i64", coalesce(sum(size), 0) AS "bytes: i64" FROM artifacts
           WHERE job = ? AND attempt = ?"#,
        job,
        number
    );
    let kept = kept.fetch_one(tx).await?;
    Ok((crate::from_sql(kept.count), crate::from_sql(kept.bytes)))
}

/// What a call brought, should it be made again.
pub async fn of_call(
    db: impl SqliteExecutor<'_>,
    attempt: &AttemptId,
    call: StepId,
) -> Result<Option<ArtifactRow>, StoreError> {
    let (job, number, call) = (attempt.job.as_str(), attempt.number, call.to_string());
    let row = sqlx::query_as!(
        ArtifactRow,
        "SELECT name, call, size, sha256, created_ms FROM artifacts WHERE job = ? AND attempt = ? AND call = ?",
        job,
        number,
        call
    );
    Ok(row.fetch_optional(db).await?)
}

/// One of an attempt's artifacts.
pub async fn get(
    db: impl SqliteExecutor<'_>,
    attempt: &AttemptId,
    name: &ArtifactName,
) -> Result<Option<ArtifactRow>, StoreError> {
    let (job, number, name) = (attempt.job.as_str(), attempt.number, name.as_str());
    let row = sqlx::query_as!(
        ArtifactRow,
        "SELECT name, call, size, sha256, created_ms FROM artifacts WHERE job = ? AND attempt = ? AND name = ?",
        job,
        number,
        name
    );
    Ok(row.fetch_optional(db).await?)
}

/// An attempt's artifacts by name.
pub async fn list(db: impl SqliteExecutor<'_>, attempt: &AttemptId) -> Result<Vec<ArtifactRow>, StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let rows = sqlx::query_as!(
        ArtifactRow,
        "SELECT name, call, size, sha256, created_ms FROM artifacts WHERE job = ? AND attempt = ? ORDER BY name",
        job,
        number
    );
    Ok(rows.fetch_all(db).await?)
}
