//! The one place that starts jobs: it takes up what an earlier master left, lets waiting jobs start within the limits,
//! hands on wishes for their end, and notices every end.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use danube_core::id::{AttemptId, JobId};
use danube_core::job::{FailureKind, FailureReason, JobStatus};
use danube_core::runtime::Runtime;
use danube_store::jobs::{self, OpenRow};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::{Master, line};
use crate::EngineError;
use crate::failpoint::failpoint;
use crate::job::{Order, Services};
use crate::records::now_ms;

/// The queue's name among the parts that can be ill.
const QUEUE: &str = "queue";
/// How soon the queue is looked at again when it could not be.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the traces of jobs that are over may take to remove when the master stops; the next one removes the rest.
const PATIENCE: Duration = Duration::from_secs(5);

/// What there is to see to.
#[derive(Clone, Debug)]
pub enum Wake {
    /// A job came in.
    Changed,
    /// Somebody asked for a job's end.
    Cancel(JobId),
}

/// How the master stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Jobs run on by themselves; the next master takes them up.
    Leave,
    /// Jobs are cancelled, and what waits as well; cleanup code may run.
    Cancel,
    /// Jobs are killed.
    Kill,
}

/// Starts jobs and keeps their tasks.
pub struct Orchestrator<R> {
    master: Master,
    services: Services<R>,
    woken: mpsc::UnboundedReceiver<Wake>,
    lines: JoinSet<()>,
    jobs: HashMap<Id, (JobId, AbortHandle)>,
    orders: HashMap<JobId, mpsc::UnboundedSender<Order>>,
}

impl<R> Orchestrator<R>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    pub fn new(master: Master, services: Services<R>, woken: mpsc::UnboundedReceiver<Wake>) -> Self {
        Self { master, services, woken, lines: JoinSet::new(), jobs: HashMap::new(), orders: HashMap::new() }
    }

    /// Runs jobs until it is told to stop, and they have.
    pub async fn run(mut self, mut stop: mpsc::UnboundedReceiver<Stop>) -> Result<(), EngineError> {
        self.sweep().await?;
        loop {
            let looked = self.look().await;
            self.note(&looked);
            if self.is_draining() && self.lines.is_empty() {
                // What waits and cannot be written to stays for the next master.
                return looked;
            }
            tokio::select! {
                Some(wake) = self.woken.recv() => self.woken(wake),
                Some(ended) = self.lines.join_next_with_id() => self.ended(ended).await,
                Some(stop) = stop.recv() => if self.stops(stop).await { return Ok(()) },
                () = tokio::time::sleep(AGAIN), if looked.is_err() => {}
            }
            self.catch_up().await;
        }
    }

    /// Sees to all that has come by now: one look at the rows is enough for it, however many jobs there are.
    async fn catch_up(&mut self) {
        while let Ok(wake) = self.woken.try_recv() {
            self.woken(wake);
        }
        while let Some(ended) = self.lines.try_join_next_with_id() {
            self.ended(ended).await;
        }
    }

    /// Removes the containers and files of jobs that have ended, and of attempts before a job's own: a master can be killed
    /// between the two, and a power cut can undo a removal.
    async fn sweep(&self) -> Result<(), EngineError> {
        for group in self.services.runtime.list().await? {
            if self.is_past(&group.attempt).await? {
                self.services.runtime.delete(&group.attempt).await?;
                line::discard(&self.master, group.attempt).await;
            }
        }
        for attempt in self.master.0.workshop.held() {
            if self.is_past(&attempt).await? {
                line::discard(&self.master, attempt).await;
            }
        }
        Ok(())
    }

    /// Whether nobody goes on with an attempt.
    async fn is_past(&self, attempt: &AttemptId) -> Result<bool, EngineError> {
        let job = jobs::get(self.master.store().read(), &attempt.job).await?;
        let own = line::current(&self.master, &attempt.job).await?;
        Ok(job.is_none_or(|row| row.finished_ms.is_some()) || attempt.number < own.number)
    }

    /// Brings what runs in line with the rows: there is no other way for a job to start, be it new or from before.
    async fn look(&mut self) -> Result<(), EngineError> {
        let mut open = jobs::open(self.master.store().read()).await?;
        if self.give_way(&open).await? {
            open = jobs::open(self.master.store().read()).await?;
        }
        for (row, id) in open.iter().filter_map(|row| Some((row, row.id.parse::<JobId>().ok()?))) {
            if row.waits && (row.cancelled || self.is_draining()) {
                self.never_starts(&id).await?;
            } else if !row.waits && !self.orders.contains_key(&id) {
                self.begin(id, row.cancelled);
            }
        }
        if !self.is_draining() {
            self.claim(&open).await?;
        }
        Ok(())
    }

    /// Ends jobs that a newer one of their group takes the place of. Their rows say so first. Whether there were any.
    async fn give_way(&self, open: &[OpenRow]) -> Result<bool, EngineError> {
        let giving = Master::give_way(open);
        if giving.is_empty() {
            return Ok(false);
        }
        let written = giving.clone();
        let write = self.master.store().write(move |tx| {
            Box::pin(async move {
                for (id, message) in &written {
                    jobs::supersede(tx, id, message, now_ms()).await?;
                }
                Ok(())
            })
        });
        write.await?;
        failpoint("superseded");
        for (id, _) in giving {
            self.woken(Wake::Cancel(id.clone()));
            self.master.live().touch(&id);
        }
        Ok(true)
    }

    /// Starts the jobs whose turn has come. Their rows say so first.
    async fn claim(&mut self, open: &[OpenRow]) -> Result<(), EngineError> {
        let ready = self.master.may_start(open);
        if ready.is_empty() {
            return Ok(());
        }
        let claimed = ready.clone();
        let write = self.master.store().write(move |tx| {
            Box::pin(async move {
                for id in &claimed {
                    jobs::advance(tx, id, JobStatus::Scheduling, now_ms()).await?;
                }
                Ok(())
            })
        });
        write.await?;
        failpoint("job-claimed");
        ready.into_iter().for_each(|id| self.begin(id, false));
        Ok(())
    }

    fn begin(&mut self, id: JobId, cancelled: bool) {
        let (order, orders) = mpsc::unbounded_channel();
        if cancelled {
            let _ = order.send(Order::Cancel);
        }
        let line = line::run(self.master.clone(), self.services.clone(), id.clone(), orders);
        let task = self.lines.spawn(line);
        self.master.live().touch(&id);
        self.jobs.insert(task.id(), (id.clone(), task));
        self.orders.insert(id, order);
    }

    async fn never_starts(&self, id: &JobId) -> Result<(), EngineError> {
        let message = "it was cancelled while it waited for its turn".to_owned();
        line::end(&self.master, id, FailureReason { kind: FailureKind::Cancelled, message }).await
    }

    fn woken(&self, wake: Wake) {
        if let Wake::Cancel(id) = wake
            && let Some(orders) = self.orders.get(&id)
        {
            let _ = orders.send(Order::Cancel);
        }
    }

    /// A job's task is over. One that died has left its job open: the next look takes it up again.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(died) => died.id(),
        };
        let Some((job, _)) = self.jobs.remove(&task) else { return };
        self.orders.remove(&job);
        if let Err(died) = ended {
            tracing::error!(%job, %died, "the job's task died");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether there is nothing to wait for.
    async fn stops(&mut self, stop: Stop) -> bool {
        self.master.0.draining.store(true, Ordering::Relaxed);
        let order = match stop {
            Stop::Leave => {
                self.leave().await;
                return true;
            }
            Stop::Cancel => Order::Cancel,
            Stop::Kill => Order::Kill,
        };
        for orders in self.orders.values() {
            let _ = orders.send(order);
        }
        false
    }

    /// Lets go of the jobs that run. Of those that are over the traces are still removed.
    async fn leave(&mut self) {
        let open = jobs::open(self.master.store().read()).await.ok();
        let runs = |id: &JobId| open.as_ref().is_none_or(|open| open.iter().any(|row| row.id == id.as_str()));
        self.jobs.values().filter(|(id, _)| runs(id)).for_each(|(_, task)| task.abort());
        let rest = async { while self.lines.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(PATIENCE, rest).await;
        self.lines.shutdown().await;
    }

    fn is_draining(&self) -> bool {
        self.master.0.draining.load(Ordering::Relaxed)
    }

    fn note(&self, looked: &Result<(), EngineError>) {
        match looked {
            Ok(()) => self.master.0.health.well(QUEUE),
            Err(error) => {
                tracing::error!(%error, "the queue cannot go on");
                self.master.0.health.ill(QUEUE, error);
            }
        }
    }
}
