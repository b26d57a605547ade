//! The containers of an attempt, written before each is made.

use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::Role;
use sqlx::SqliteExecutor;

use crate::{StoreError, Tx};

/// A container as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRow {
    /// Its name within the attempt.
    pub name: String,
    /// `coordinator`, `worker` or `service`.
    pub role: String,
    /// Its image, as it was resolved.
    pub image: String,
}

/// Writes a container. The same one again changes nothing.
pub async fn insert(
    tx: &mut Tx,
    attempt: &AttemptId,
    name: &ContainerName,
    role: Role,
    image: &str,
) -> Result<(), StoreError> {
    let (job, number, name) = (attempt.job.as_str(), attempt.number, name.as_str());
    let role = role.as_str();
    sqlx::query!(
        "INSERT INTO containers (job, attempt, name, role, image) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        job,
        number,
        name,
        role,
        image
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An attempt's containers.
pub async fn list(db: impl SqliteExecutor<'_>, attempt: &AttemptId) -> Result<Vec<ContainerRow>, StoreError> {
    let (job, number) = (attempt.job.as_str(), attempt.number);
    let rows = sqlx::query_as!(
        ContainerRow,
        "SELECT name, role, image FROM containers WHERE job = ? AND attempt = ? ORDER BY name",
        job,
        number
    );
    Ok(rows.fetch_all(db).await?)
}
