//! Who waits, who may start, and why the others may not: read from the rows, decided in `danube_core::queue`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use danube_core::id::JobId;
use danube_core::queue::{Entry, Open, decide, superseded};
use danube_store::jobs::{self, OpenRow};

use super::Master;
use crate::EngineError;

/// Why a job has not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place among those that wait, from 1.
    pub position: usize,
    /// In words.
    pub reason: String,
}

impl Master {
    /// Why a job has not begun; nothing when it has, or is over.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn waiting(&self, job: &JobId) -> Result<Option<Waiting>, EngineError> {
        Ok(self.all_waiting().await?.remove(job.as_str()))
    }

    /// Why the jobs that have not begun have not, by their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn all_waiting(&self) -> Result<HashMap<String, Waiting>, EngineError> {
        let open = jobs::open(self.store().read()).await?;
        let place = |at, reason| Waiting { position: at + 1, reason: self.in_words(reason) };
        let waits = self.waits(&open).into_iter().enumerate();
        Ok(waits.map(|(at, (row, reason))| (row.id.clone(), place(at, reason))).collect())
    }

    /// The jobs that may start now.
    pub(super) fn may_start(&self, open: &[OpenRow]) -> Vec<JobId> {
        let waits = self.waits(open);
        let ready = waits.into_iter().filter(|(_, wait)| wait.is_none());
        ready.filter_map(|(row, _)| row.id.parse().ok()).collect()
    }

    /// Those that wait, oldest first, each with what hinders it.
    fn waits<'a>(&self, open: &'a [OpenRow]) -> Vec<(&'a OpenRow, Option<danube_core::queue::Wait>)> {
        let running = open.iter().filter(|row| !row.waits).map(entry);
        let waiting: Vec<&OpenRow> = open.iter().filter(|row| row.waits && !row.cancelled).collect();
        let entries: Vec<Entry<'_>> = waiting.iter().map(|row| entry(row)).collect();
        let decided = decide(running, &entries, self.0.limits);
        waiting.into_iter().zip(decided).collect()
    }

    /// The jobs that give way to newer ones, each with the words for it.
    pub(super) fn give_way(open: &[OpenRow]) -> Vec<(JobId, String)> {
        let jobs: Vec<Open<'_>> = open.iter().map(as_open).collect();
        let decided = open.iter().zip(superseded(&jobs));
        decided.filter_map(|(row, gives)| Some((row.id.parse().ok()?, gives?.to_string()))).collect()
    }

    fn in_words(&self, wait: Option<danube_core::queue::Wait>) -> String {
        match wait {
            _ if self.0.draining.load(Ordering::Relaxed) => "this instance is about to stop".to_owned(),
            Some(wait) => wait.to_string(),
            None => "it is about to start".to_owned(),
        }
    }
}

fn as_open(row: &OpenRow) -> Open<'_> {
    Open { entry: entry(row), number: row.number, waits: row.waits, supersedes: row.supersedes, ends: row.cancelled }
}

fn entry(row: &OpenRow) -> Entry<'_> {
    Entry { pipeline: &row.pipeline, group: row.concurrency.as_deref() }
}
