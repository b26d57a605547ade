//! What the shim remembers of a step for the container's life.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use danube_proto::v1::{End, EndCause, StepState};
use tokio::sync::{Notify, mpsc, watch};

use super::output::Output;

/// 16 random bytes made by the SDK per call.
pub type StepId = [u8; 16];

/// What a step is told from outside.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// TERM, grace, KILL.
    Stop(EndCause),
    /// KILL.
    Kill(EndCause),
    /// One signal to the main process.
    Signal(i32),
}

/// A step's record.
#[derive(Debug)]
pub struct Record {
    /// The step.
    pub id: StepId,
    /// Of the request that started it.
    pub hash: Vec<u8>,
    output: Mutex<Output>,
    end: OnceLock<End>,
    end_sent: AtomicBool,
    released: AtomicBool,
    grown: watch::Sender<()>,
    room: Notify,
    commands: mpsc::UnboundedSender<Command>,
}

impl Record {
    /// A step that starts now; its task takes the commands.
    pub fn new(id: StepId, hash: Vec<u8>, output: Output) -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, taken) = mpsc::unbounded_channel();
        let record = Self {
            id,
            hash,
            output: Mutex::new(output),
            end: OnceLock::new(),
            end_sent: AtomicBool::new(false),
            released: AtomicBool::new(false),
            grown: watch::Sender::new(()),
            room: Notify::new(),
            commands,
        };
        (record, taken)
    }

    /// The output; held for one operation, never over an await.
    pub fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with every chunk and at the end.
    pub fn grown(&self) -> watch::Receiver<()> {
        self.grown.subscribe()
    }

    /// Tells followers that there is more.
    pub fn has_grown(&self) {
        self.grown.send_replace(());
    }

    /// Waits until something may be read from the step; the answer is how much.
    pub async fn room(&self) -> u64 {
        loop {
            let freed = self.room.notified();
            match self.output().room() {
                0 => {}
                room => return room,
            }
            freed.await;
        }
    }

    /// The step's whole spool waits for a master.
    pub fn is_full(&self) -> bool {
        self.output().room() == 0
    }

    /// Everything below `offset` is durable at the master's.
    pub fn ack(&self, offset: u64) {
        let mut output = self.output();
        output.ack(offset);
        if self.end.get().is_some() {
            output.close();
        }
        drop(output);
        self.room.notify_waiters();
    }

    /// The end is durable and answered.
    pub fn release(&self) {
        if self.end.get().is_some() {
            self.released.store(true, Ordering::Relaxed);
            self.output().drop_captures();
        }
    }

    /// How it ended, with the captures unless they were released.
    pub fn end(&self) -> Option<End> {
        let mut end = self.end.get()?.clone();
        let output = self.output();
        let [stdout, stderr] = output.captures();
        (end.stdout, end.stderr) = (stdout.bytes.clone().into(), stderr.bytes.clone().into());
        (end.stdout_truncated, end.stderr_truncated) = (stdout.truncated, stderr.truncated);
        Some(end)
    }

    /// Whether it has ended and all its output is in the spool.
    pub fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Sets the end, once, when no output follows.
    pub fn finish(&self, mut end: End) {
        {
            let mut output = self.output();
            end.bytes = output.total();
            end.sha256 = output.sha256().into();
            output.close();
        }
        // Only the step's own task calls this, as its last act.
        let _ = self.end.set(end);
        self.has_grown();
    }

    /// The end was given to a connection.
    pub fn sent_end(&self) {
        self.end_sent.store(true, Ordering::Relaxed);
    }

    /// Nothing would be lost if the shim ended now.
    pub fn is_settled(&self) -> bool {
        let output = self.output();
        let told = self.released.load(Ordering::Relaxed) || self.end_sent.load(Ordering::Relaxed);
        self.has_ended() && told && output.acked() == output.total()
    }

    /// Tells the step's task; false when the step has ended.
    pub fn command(&self, command: Command) -> bool {
        !self.has_ended() && self.commands.send(command).is_ok()
    }

    /// For `List`.
    pub fn state(&self) -> StepState {
        let output = self.output();
        StepState {
            step_id: self.id.to_vec().into(),
            spec_hash: self.hash.clone().into(),
            ended: self.has_ended(),
            bytes: output.total(),
            acked: output.acked(),
        }
    }
}
