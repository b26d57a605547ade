//! The one writer. It takes everything queued, runs each piece as a savepoint of one transaction, commits once, then
//! answers all (group commit): the price of making something durable is shared, and no caller holds a transaction.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};

use crate::lock::DirectoryLock;
use crate::{DATABASE, StoreError, check};

/// The connection inside the writer's transaction.
pub type Tx = SqliteConnection;
/// What a piece of work does: queries, and a result.
pub type WriteFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// Pieces of work waiting at most; then callers wait for room.
const QUEUE: usize = 1024;
/// Pieces of work in one transaction at most.
const BATCH: usize = 512;

/// So often is somebody else's transaction waited for, each time as long as `busy_timeout` is.
const WAITS: u32 = 24;

/// The handle of the writer's task. The task ends, and gives back the directory, when every handle is gone.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    dir: Arc<Path>,
    broken: watch::Receiver<Option<String>>,
}

enum Message {
    Work(Box<dyn Work>),
    Close(oneshot::Sender<()>),
}

/// A piece of work whose result type is forgotten.
trait Work: Send {
    /// Runs it; false when it failed and must be undone.
    fn run<'c>(&'c mut self, tx: &'c mut Tx) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>>;
    /// Tells the caller its result, or why there is none.
    fn answer(self: Box<Self>, undone: Option<StoreError>);
    /// The failure of its run, if it has one.
    fn failure(&mut self) -> Option<StoreError>;
}

struct Typed<T, F> {
    work: Option<F>,
    result: Result<T, StoreError>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Work for Typed<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Tx) -> WriteFuture<'c, T> + Send + 'static,
{
    fn run<'c>(&'c mut self, tx: &'c mut Tx) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.result = work(tx).await;
            }
            self.result.is_ok()
        })
    }

    fn answer(self: Box<Self>, undone: Option<StoreError>) {
        // A caller that stopped waiting is nobody's loss: its work is done all the same.
        let _ = self.caller.send(undone.map_or(self.result, Err));
    }

    fn failure(&mut self) -> Option<StoreError> {
        std::mem::replace(&mut self.result, Err(StoreError::Closed)).err()
    }
}

impl Writer {
    /// `unchecked` is how to connect to a database that is still to be looked through.
    pub(crate) fn start(
        connection: SqliteConnection,
        lock: DirectoryLock,
        dir: &Path,
        unchecked: Option<SqliteConnectOptions>,
    ) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let (break_down, broken) = watch::channel(None);
        let break_down = Arc::new(break_down);
        if let Some(options) = unchecked {
            tokio::spawn(check::beside(options, dir.join(DATABASE), Arc::downgrade(&break_down)));
        }
        let loop_ = Loop { connection, dir: dir.to_owned(), broken: break_down, _lock: lock };
        tokio::spawn(loop_.run(messages));
        Self { queue, dir: dir.into(), broken }
    }

    /// Waits until the disk fails.
    pub(crate) async fn broken(&self) -> StoreError {
        let mut broken = self.broken.clone();
        // A writer that has ended well fails no more.
        if broken.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.broken_now().unwrap_or(StoreError::Closed)
    }

    /// How the disk failed, if it has.
    pub(crate) fn broken_now(&self) -> Option<StoreError> {
        let why = self.broken.borrow().clone()?;
        Some(StoreError::Broken { dir: self.dir.to_path_buf(), why })
    }

    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Tx) -> WriteFuture<'c, T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let work = Typed { work: Some(work), result: Err(StoreError::Closed), caller };
        self.queue.send(Message::Work(Box::new(work))).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed)).map_err(|error| error.located(&self.dir))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

struct Loop {
    connection: SqliteConnection,
    dir: PathBuf,
    /// What the disk said when it failed. From then on nothing is written.
    broken: Arc<watch::Sender<Option<String>>>,
    _lock: DirectoryLock,
}

impl Loop {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut taken = Vec::new();
        let mut closers = Vec::new();
        while closers.is_empty() && messages.recv_many(&mut taken, BATCH).await > 0 {
            let mut batch = Vec::new();
            for message in taken.drain(..) {
                match message {
                    Message::Work(work) => batch.push(work),
                    Message::Close(done) => closers.push(done),
                }
            }
            self.commit(batch).await;
        }
        self.end(closers).await;
    }

    /// The directory is given back before those who wait for it are told.
    async fn end(self, closers: Vec<oneshot::Sender<()>>) {
        // Closing tidies up; whatever fails here, the next opening recovers from the write-ahead log.
        let _ = self.connection.close().await;
        drop(self._lock);
        for done in closers {
            // One that stopped waiting needs no answer.
            let _ = done.send(());
        }
    }

    async fn commit(&mut self, mut batch: Vec<Box<dyn Work>>) {
        if batch.is_empty() {
            return;
        }
        if let Some(why) = self.broken.borrow().as_deref() {
            return batch.into_iter().for_each(|work| work.answer(Some(self.broke(why))));
        }
        match self.transaction(&mut batch).await {
            Ok(()) => batch.into_iter().for_each(|work| work.answer(None)),
            Err(error) => {
                // SQLite may have ended the transaction by itself; then there is nothing left to undo.
                let _ = execute(&mut self.connection, "ROLLBACK").await;
                let (why, broken) = (error.to_string(), error.is_io());
                if broken {
                    self.broken.send_replace(Some(why.clone()));
                }
                let full = error.located(&self.dir).is_full();
                let undone = || if broken { self.broke(&why) } else { self.undone(full, &why) };
                batch.into_iter().for_each(|work| work.answer(Some(undone())));
            }
        }
    }

    async fn transaction(&mut self, batch: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
        self.begin().await?;
        let connection = &mut self.connection;
        for work in batch {
            execute(connection, "SAVEPOINT work").await?;
            if !work.run(connection).await && execute(connection, "ROLLBACK TO work").await.is_err() {
                // A full disk or a failing one ends the whole transaction: its own error says more than ours.
                return Err(work.failure().unwrap_or(StoreError::Closed));
            }
            execute(connection, "RELEASE work").await?;
        }
        execute(connection, "COMMIT").await
    }

    /// Somebody else may be writing: a backup, a person with `sqlite3`. Nothing is done yet, so waiting harms nobody.
    async fn begin(&mut self) -> Result<(), StoreError> {
        for _ in 1..WAITS {
            match execute(&mut self.connection, "BEGIN IMMEDIATE").await {
                Err(error) if error.is_busy() => {
                    tracing::warn!(dir = %self.dir.display(), "another process is writing to the database: waiting for it");
                }
                begun => return begun,
            }
        }
        execute(&mut self.connection, "BEGIN IMMEDIATE").await
    }

    fn broke(&self, why: &str) -> StoreError {
        StoreError::Broken { dir: self.dir.clone(), why: why.to_owned() }
    }

    fn undone(&self, full: bool, why: &str) -> StoreError {
        let dir = self.dir.clone();
        if full { StoreError::Full { dir } } else { StoreError::NotCommitted { dir, why: why.to_owned() } }
    }
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}
