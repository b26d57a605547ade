//! Tells readers of a job that a row changed or a log grew. Nothing is sent to them: they read rows and files at their
//! own pace, so a slow reader costs nothing and a restart of the master changes nothing for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danube_core::id::JobId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::job::Progress;
use crate::logs::LogTail;

/// The jobs that somebody looks at, and the lists of them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Looked>);

#[derive(Debug, Default)]
struct Looked {
    jobs: Mutex<HashMap<JobId, watch::Sender<()>>>,
    lists: watch::Sender<()>,
}

/// One reader's view of one job.
#[derive(Debug)]
pub struct LiveJob {
    job: JobId,
    live: Live,
    changes: watch::Receiver<()>,
}

/// One reader's view of lists of jobs.
#[derive(Debug)]
pub struct LiveLists(watch::Receiver<()>);

impl Live {
    /// Looks at lists of jobs.
    #[must_use]
    pub fn follow_lists(&self) -> LiveLists {
        LiveLists(self.0.lists.subscribe())
    }

    /// Looks at a job, whether it waits, runs or has ended.
    #[must_use]
    pub fn follow(&self, job: &JobId) -> LiveJob {
        let changes = self.jobs().entry(job.clone()).or_insert_with(|| watch::channel(()).0).subscribe();
        LiveJob { job: job.clone(), live: self.clone(), changes }
    }

    /// Says that a row of the job is new.
    pub fn touch(&self, job: &JobId) {
        self.0.lists.send_replace(());
        self.grew(job);
    }

    /// Says that something of the job is new which no list shows.
    fn grew(&self, job: &JobId) {
        if let Some(changes) = self.jobs().get(job) {
            changes.send_replace(());
        }
    }

    /// Touches the job for everything it tells and for all that its logs grow, until it tells no more.
    pub(super) async fn relay(self, job: JobId, mut progress: mpsc::UnboundedReceiver<Progress>) {
        let mut logs = JoinSet::new();
        while let Some(told) = progress.recv().await {
            if let Progress::StepStarted(_, log) = &told {
                logs.spawn(self.clone().relay_log(job.clone(), log.clone()));
            }
            self.touch(&job);
        }
        while logs.join_next().await.is_some() {}
        self.touch(&job);
    }

    async fn relay_log(self, job: JobId, mut log: LogTail) {
        let mut seen = log.written();
        self.grew(&job);
        while let Some(written) = log.beyond(seen).await {
            seen = written;
            self.grew(&job);
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<()>>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveJob {
    /// Everything up to now counts as seen: call it before reading, so that what comes meanwhile is not missed.
    pub fn mark(&mut self) {
        self.changes.mark_unchanged();
    }

    /// Waits until there is something new since the last [`mark`](Self::mark), or since it was last waited for.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender lives as long as this reader is counted.
            std::future::pending::<()>().await;
        }
    }
}

impl LiveLists {
    /// Everything up to now counts as seen: call it before reading.
    pub fn mark(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until a row of any job is new since the last [`mark`](Self::mark), or since it was last waited for.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The master is gone: nothing will change.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for LiveJob {
    fn drop(&mut self) {
        let mut jobs = self.live.jobs();
        // This reader is still counted itself.
        if jobs.get(&self.job).is_some_and(|changes| changes.receiver_count() <= 1) {
            jobs.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_while_a_reader_reads_is_told_and_nobody_is_remembered() {
        let (live, job): (Live, JobId) = (Live::default(), "job-1".parse().expect("an id"));
        live.touch(&job);
        assert!(live.jobs().is_empty(), "nobody looks");
        let (mut one, mut other) = (live.follow(&job), live.follow(&job));
        one.mark();
        live.touch(&job);
        live.touch(&job);
        one.changed().await;
        other.changed().await;
        one.mark();
        assert!(tokio::time::timeout(std::time::Duration::ZERO, one.changed()).await.is_err(), "nothing is new");
        drop((one, other));
        assert!(live.jobs().is_empty());
    }

    #[tokio::test]
    async fn who_looks_at_lists_is_told_of_every_job_but_not_of_its_output() {
        let (live, job): (Live, JobId) = (Live::default(), "job-1".parse().expect("an id"));
        let mut lists = live.follow_lists();
        lists.mark();
        live.grew(&job);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, lists.changed()).await.is_err(), "a log grew");
        live.touch(&job);
        lists.changed().await;
    }
}
