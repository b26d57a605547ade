//! The configuration repository is followed: the head of its branch is looked at again and again, and a new commit is
//! applied as a whole or not at all. A bad one leaves the last good one in force and is told by the master's health.

mod apply;
mod git;

use danube_config::Diagnostics;
use danube_config::repository;
use danube_config::server::ConfigSource;
use tokio::time::{MissedTickBehavior, interval};

use crate::EngineError;
use crate::master::Master;
pub use apply::Changes;
use git::GitError;

/// The configuration's name among the parts that can be ill.
const CONFIG: &str = "config";

/// Follows the repository.
pub struct Follower {
    master: Master,
    source: ConfigSource,
    /// The commit that was read last, and what ails it.
    seen: Option<(String, Option<String>)>,
    /// Why it could not be read at the last look, which is not logged again and again.
    unread: Option<String>,
}

/// Why a look changed nothing.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error("no configuration repository is named: write its url below [config] in danube.toml")]
    NoRepository,
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Follower {
    /// For this repository.
    #[must_use]
    pub fn new(master: Master, source: ConfigSource) -> Self {
        Self { master, source, seen: None, unread: None }
    }

    /// Looks again and again.
    pub async fn follow(mut self) {
        let mut times = interval(self.source.sync_interval);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, and whoever started this has looked already.
        times.tick().await;
        loop {
            times.tick().await;
            self.look().await;
        }
    }

    /// Looks once, and notes how it went.
    pub async fn look(&mut self) {
        let read = self.read().await.map_err(|error| error.to_string());
        let unread = read.as_ref().err().cloned();
        if let Some(words) = unread.as_ref().filter(|words| self.unread.as_ref() != Some(words)) {
            tracing::warn!("{words}");
        }
        self.unread = unread;
        match read {
            Ok(None) => self.master.board().well(CONFIG),
            Ok(Some(words)) | Err(words) => self.master.board().ill(CONFIG, words),
        }
    }

    /// Applies the newest commit, unless that was done. What ails it, if anything does.
    async fn read(&mut self) -> Result<Option<String>, SyncError> {
        let Some(dir) = self.source.repository.clone() else {
            apply::nothing(self.master.store()).await?;
            return Err(SyncError::NoRepository);
        };
        let branch = self.source.branch.clone();
        let known = self.seen.as_ref().map(|(sha, _)| sha.clone());
        let read = tokio::task::spawn_blocking(move || git::newest(&dir, &branch, known.as_deref())).await;
        let newest = read.map_err(|died| EngineError::TaskDied(died.to_string()))??;
        if let Some(commit) = newest {
            let ill = match repository::read(&commit.files) {
                Ok(pipelines) => {
                    let changes = apply::apply(self.master.store(), &self.source, &commit.sha, pipelines).await?;
                    told(&commit.sha, &changes);
                    None
                }
                Err(mistakes) => Some(self.refused(&commit.sha, &mistakes).await?),
            };
            self.seen = Some((commit.sha, ill));
        }
        Ok(self.seen.as_ref().and_then(|(_, ill)| ill.clone()))
    }

    /// In one line: whoever has no account may read it. The log has everything.
    async fn refused(&self, sha: &str, mistakes: &Diagnostics) -> Result<String, SyncError> {
        tracing::error!("the configuration commit {sha} is refused, nothing is changed:\n{mistakes}");
        let stays = apply::in_force(self.master.store()).await?;
        let stays =
            stays.map_or_else(|| "none is in force".to_owned(), |last| format!("{} stays in force", short(&last)));
        let more = match mistakes.0.len() {
            1 => String::new(),
            more => format!(" (and {} more)", more - 1),
        };
        let first = mistakes.0.first().map(danube_config::Diagnostic::in_a_line).unwrap_or_default();
        Ok(format!("the commit {} is refused, {stays}: {first}{more}", short(sha)))
    }
}

fn told(sha: &str, changes: &Changes) {
    if changes.is_empty() {
        tracing::info!("the configuration commit {} is in force", short(sha));
    } else {
        tracing::info!("the configuration commit {} is in force: {changes}", short(sha));
    }
}

fn short(sha: &str) -> &str {
    sha.get(..12).unwrap_or(sha)
}
