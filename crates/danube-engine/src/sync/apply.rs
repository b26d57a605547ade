//! A commit's pipelines take the place of those before, in one transaction.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use danube_config::repository::Pipeline;
use danube_config::server::ConfigSource;
use danube_store::config_commits::{self, ConfigCommit};
use danube_store::pipelines::{self, PipelineRow};
use danube_store::{Store, StoreError, Tx};
use serde::Serialize;

use crate::EngineError;
use crate::records::now_ms;

/// What a commit changed: names of pipelines.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Those that are new.
    pub added: Vec<String>,
    /// Those that are declared otherwise.
    pub changed: Vec<String>,
    /// Those that are gone; their jobs stay.
    pub removed: Vec<String>,
}

impl Changes {
    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let said = parts.iter().filter(|(_, names)| !names.is_empty());
        let said: Vec<String> = said.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
        f.write_str(&said.join("; "))
    }
}

/// Puts a commit's pipelines in force.
pub async fn apply(
    store: &Store,
    source: &ConfigSource,
    sha: &str,
    wanted: Vec<Pipeline>,
) -> Result<Changes, EngineError> {
    let rows = wanted.into_iter().map(row).collect();
    let repository = source.repository.as_deref().map(text).unwrap_or_default();
    let (sha, branch) = (sha.to_owned(), source.branch.clone());
    let write = store.write(move |tx| {
        Box::pin(async move {
            let changes = replace(tx, rows).await?;
            let last = config_commits::last(&mut *tx).await?;
            // The same one is read again with each start.
            if last.is_none_or(|last| (&last.sha, &last.repository, &last.branch) != (&sha, &repository, &branch)) {
                let changes = serde_json::to_string(&changes).unwrap_or_default();
                let commit = ConfigCommit { sha, repository, branch, changes, applied_ms: now_ms() };
                config_commits::insert(tx, &commit).await?;
            }
            Ok(changes)
        })
    });
    Ok(write.await?)
}

/// Without a repository there are no pipelines.
pub async fn nothing(store: &Store) -> Result<(), EngineError> {
    Ok(store.write(|tx| Box::pin(async move { replace(tx, Vec::new()).await.map(drop) })).await?)
}

/// The commit that is in force.
pub async fn in_force(store: &Store) -> Result<Option<String>, EngineError> {
    Ok(config_commits::last(store.read()).await?.map(|commit| commit.sha))
}

async fn replace(tx: &mut Tx, wanted: Vec<PipelineRow>) -> Result<Changes, StoreError> {
    let before = pipelines::list(&mut *tx).await?;
    let mut before: BTreeMap<String, PipelineRow> = before.into_iter().map(|row| (row.name.clone(), row)).collect();
    let mut changes = Changes::default();
    for row in wanted {
        match before.remove(&row.name) {
            None => changes.added.push(row.name.clone()),
            Some(old) if PipelineRow { registered_ms: row.registered_ms, ..old.clone() } == row => continue,
            Some(_) => changes.changed.push(row.name.clone()),
        }
        pipelines::register(tx, &row).await?;
    }
    for name in before.into_keys() {
        pipelines::remove(tx, &name).await?;
        changes.removed.push(name);
    }
    Ok(changes)
}

fn row(pipeline: Pipeline) -> PipelineRow {
    PipelineRow {
        name: pipeline.name,
        dir: text(&pipeline.repository),
        entry_point: pipeline.script,
        branch: Some(pipeline.branch.unwrap_or_else(|| "HEAD".to_owned())),
        warm: pipeline.warm,
        registered_ms: now_ms(),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
