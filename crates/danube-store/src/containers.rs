//! The containers of an attempt, written before each is made.

use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{ImageSource, Role};
use serde::{Deserialize, Serialize};
use sqlx::SqliteExecutor;

use crate::{StoreError, Tx};

/// A container as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRow {
    /// Its name within the attempt.
    pub name: String,
    /// `coordinator`, `worker` or `service`.
    pub role: String,
    /// Its image: as it was resolved (an [`ImageSource`] as JSON), as the danubefile computed it, or a [`ServicePlace`].
    pub image: String,
}

/// What is written of a container that is made for a service while the job runs: whoever takes over makes the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlace {
    /// The image, as the danubefile names it.
    pub image: String,
    /// Its limit, if it has one of its own.
    pub memory_bytes: Option<u64>,
}

impl ServicePlace {
    /// As it is written.
    #[must_use]
    pub fn written(&self) -> String {
        // Text and a number always can be.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl ContainerRow {
    /// Where a service is that was made while the job ran.
    #[must_use]
    pub fn service_place(&self) -> Option<ServicePlace> {
        serde_json::from_str(&self.image).ok()
    }

    /// The image in the words that people know.
    #[must_use]
    pub fn image_name(&self) -> String {
        let resolved = || serde_json::from_str::<ImageSource>(&self.image).ok().map(|source| source.to_string());
        self.service_place().map(|place| place.image).or_else(resolved).unwrap_or_else(|| self.image.clone())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_in_words_however_it_was_written() {
        let row = |image: String| ContainerRow { name: "service-2".into(), role: "service".into(), image };
        let named = ImageSource::parse("docker.io/library/postgres:17");
        assert_eq!(row(serde_json::to_string(&named).expect("text")).image_name(), named.to_string());
        let place = ServicePlace { image: "postgres:17".into(), memory_bytes: None };
        assert_eq!(row(place.written()).image_name(), "postgres:17");
        assert_eq!(row(place.written()).service_place(), Some(place));
        assert_eq!(row("debian:12".into()).image_name(), "debian:12");
        assert_eq!(row("debian:12".into()).service_place(), None);
    }
}
