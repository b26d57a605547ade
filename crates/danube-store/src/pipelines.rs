//! Pipelines: what a master can run, and where it finds it.

use sqlx::SqliteExecutor;

use crate::{StoreError, Tx};

/// A pipeline as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineRow {
    /// Its name.
    pub name: String,
    /// The repository or checkout on this machine.
    pub dir: String,
    /// The danubefile, relative to it.
    pub entry_point: String,
    /// What a job builds when nothing else was asked for: a branch, or `HEAD`; none for the checkout as it stands.
    pub branch: Option<String>,
    /// How many pods are kept ready for its next jobs, on a cluster.
    pub warm: u32,
    /// Since when it is known, in milliseconds since the Unix epoch.
    pub registered_ms: i64,
}

/// Makes a pipeline known, or says where it is found now.
pub async fn register(tx: &mut Tx, pipeline: &PipelineRow) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO pipelines (name, dir, entry_point, branch, warm, registered_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET dir = excluded.dir, entry_point = excluded.entry_point,
             branch = excluded.branch, warm = excluded.warm",
        pipeline.name,
        pipeline.dir,
        pipeline.entry_point,
        pipeline.branch,
        pipeline.warm,
        pipeline.registered_ms,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes a pipeline unknown. Its jobs stay.
pub async fn remove(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM pipelines WHERE name = ?", name).execute(tx).await?;
    Ok(())
}

/// One pipeline.
pub async fn get(db: impl SqliteExecutor<'_>, name: &str) -> Result<Option<PipelineRow>, StoreError> {
    let row = sqlx::query_as!(
        PipelineRow,
        r#"SELECT name, dir, entry_point, branch, warm AS "warm: u32", registered_ms FROM pipelines WHERE name = ?"#,
        name
    );
    Ok(row.fetch_optional(db).await?)
}

/// Every pipeline, by name.
pub async fn list(db: impl SqliteExecutor<'_>) -> Result<Vec<PipelineRow>, StoreError> {
    let rows = sqlx::query_as!(
        PipelineRow,
        r#"SELECT name, dir, entry_point, branch, warm AS "warm: u32", registered_ms FROM pipelines ORDER BY name"#
    );
    Ok(rows.fetch_all(db).await?)
}
