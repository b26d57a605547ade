//! Every step of the container's life, by id: the same one starts once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use danube_proto::limits::{RUNNING_STEPS, STEPS};
use danube_proto::v1::{EndCause, StartRequest};
use tonic::Status;

use super::context::Context;
use super::life;
use super::output::Output;
use super::record::{Command, Record, StepId};
use super::request;

/// The records, and whether more may be made.
#[derive(Debug)]
pub struct Steps {
    context: Arc<Context>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    records: HashMap<StepId, Arc<Record>>,
    closed: bool,
}

impl Steps {
    /// No step yet.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, known: Mutex::default() }
    }

    /// Starts a step, unless it was started before; answers whether it was.
    pub fn start(&self, request: StartRequest) -> Result<bool, Status> {
        let id = request::check(&request)?;
        let mut known = self.known();
        if let Some(record) = known.records.get(&id) {
            return if record.hash == request.spec_hash { Ok(true) } else { Err(conflict(&id)) };
        }
        known.admit()?;
        let limit = usize::try_from(request.capture_limit).unwrap_or(0);
        let output = Output::new(self.context.files.clone(), limit);
        let (record, commands) = Record::new(id, request.spec_hash.to_vec(), output);
        let record = Arc::new(record);
        known.records.insert(id, record.clone());
        tokio::spawn(life::live(self.context.clone(), record, request, commands));
        Ok(false)
    }

    /// The record of a step.
    pub fn get(&self, id: &[u8]) -> Result<Arc<Record>, Status> {
        let id = request::step_id(id)?;
        let unknown = || Status::not_found(format!("step {} was never started here", hex::encode(id)));
        self.known().records.get(&id).cloned().ok_or_else(unknown)
    }

    /// All records.
    pub fn all(&self) -> Vec<Arc<Record>> {
        self.known().records.values().cloned().collect()
    }

    /// No more steps, and those that run stop.
    pub fn close(&self, cause: EndCause) {
        self.known().closed = true;
        self.all().iter().for_each(|record| {
            record.command(Command::Stop(cause));
        });
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn admit(&self) -> Result<(), Status> {
        if self.closed {
            return Err(Status::unavailable("this container is ending and starts no more steps"));
        }
        if self.records.len() >= STEPS {
            return Err(Status::resource_exhausted("this container has had its 10000 steps"));
        }
        if self.records.values().filter(|record| !record.has_ended()).count() >= RUNNING_STEPS {
            return Err(Status::resource_exhausted("512 steps run in this container already"));
        }
        Ok(())
    }
}

fn conflict(id: &StepId) -> Status {
    Status::already_exists(format!("STEP_CONFLICT: step {} was started with another specification", hex::encode(id)))
}
