//! Serving the coordinator: its calls come in by the mailbox ([`mailbox`]), steps run in workers ([`step`]), services beside
//! them ([`service`]).

use std::sync::Arc;

use danube_core::id::StepId;
use danube_core::runtime::Runtime;
use danube_proto::mailbox::{
    Answer, Call, CallError, CallLine, ErrorCode, ReplyLine, SecretGet, ServiceStop, StepCancel,
};
use danube_proto::v1::signal_request::What;
use tokio::io::{AsyncRead, AsyncWrite};

pub use container::{adopt as adopt_container, adopt_for_service};

use crate::EngineError;
use crate::job::effects::signal;
use crate::job::shared::{Closed, Shared};
use crate::shim::follow::release;

mod artifact;
mod container;
mod last_words;
pub mod mailbox;
mod ready;
pub(crate) mod report;
mod request;
pub mod service;
mod step;
pub(crate) mod summary;
mod workspace;

/// Handles the calls of one job's danubefile.
pub struct Coordinator<R>(pub Arc<Shared<R>>);

impl<R> Clone for Coordinator<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R> mailbox::Handler for Coordinator<R>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    async fn call(&self, id: StepId, line: CallLine) -> ReplyLine {
        let answer = match line.call {
            Call::StepRun(run) => {
                self.0.asked(id, true);
                let answer = step::run(&self.0, id, *run).await;
                self.0.asked(id, false);
                answer.map(Answer::Step)
            }
            Call::StepCancel(cancel) => self.cancel(&cancel).await,
            Call::ServiceStart(start) => service::start(&self.0, id, *start).await,
            Call::ServiceStop(stop) => self.stop_service(&stop).await,
            Call::SecretGet(get) => self.secret(&get),
            Call::ArtifactUpload(upload) => artifact::upload(&self.0, id, &upload).await,
            Call::ArtifactDownload(download) => artifact::download(&self.0, id, &download).await,
            Call::ReportsJunit(junit) => report::junit(&self.0, id, &junit).await,
            Call::SummaryMarkdown(summary) => summary::markdown(&self.0, id, summary).await,
        };
        if answer.is_err() && self.0.services.store.has_ended() {
            // This engine ends. The call stays unanswered, and is handed to the next one, which can do it.
            std::future::pending::<()>().await;
        }
        answer.map_or_else(|error| ReplyLine::Error(self.masked(error)), ReplyLine::Ok)
    }

    /// A caller that vanished while its step ran left it alone: the step is stopped, and the job cannot succeed.
    async fn gone(&self, id: StepId) {
        if self.0.is_asked(id) {
            self.0.forsake(id);
            self.stop(id).await;
        } else {
            service::gone(&self.0, id).await;
        }
    }

    async fn answered(&self, id: StepId) {
        if let Some((link, bytes)) = self.0.take_unreleased(id) {
            release(&link, id, bytes).await;
        }
    }
}

/// Ends steps from before a restart whose callers are gone: nobody else would follow them.
pub async fn adopt_orphans<R: Runtime>(shared: &Shared<R>) -> Result<(), EngineError> {
    for row in shared.orphans() {
        step::adopt(shared, &row).await?;
    }
    Ok(())
}

impl<R: Runtime> Coordinator<R> {
    /// Stops a step, also one that is still on its way to its shim.
    async fn stop(&self, id: StepId) {
        self.0.want_stop(id);
        for (_, link) in self.0.running().into_iter().filter(|(running, _)| *running == id) {
            let _ = signal(link, id, What::Stop(true)).await;
        }
    }

    async fn cancel(&self, cancel: &StepCancel) -> Result<Answer, CallError> {
        let id: StepId = cancel.step_id.parse().map_err(|error| invalid(format!("step_id: {error}")))?;
        self.stop(id).await;
        Ok(Answer::Done {})
    }

    async fn stop_service(&self, stop: &ServiceStop) -> Result<Answer, CallError> {
        let id: StepId = stop.step_id.parse().map_err(|error| invalid(format!("step_id: {error}")))?;
        service::stop(&self.0, id).await;
        Ok(Answer::Done {})
    }

    fn secret(&self, get: &SecretGet) -> Result<Answer, CallError> {
        let value = secret(&self.0, &get.name)?.to_owned();
        Ok(Answer::Secret { value })
    }

    fn masked(&self, error: CallError) -> CallError {
        CallError { message: self.0.mask(&error.message), ..error }
    }
}

/// A secret's value, if this job has it.
fn secret<'a, R>(shared: &'a Shared<R>, name: &str) -> Result<&'a str, CallError> {
    shared.secrets.get(name).map(String::as_str).ok_or_else(|| {
        let message = format!("the job has no secret `{name}`. With `danube run`, pass it: --secret {name}");
        CallError { code: ErrorCode::SecretNotFound, message }
    })
}

fn infra(error: impl std::fmt::Display) -> CallError {
    CallError { code: ErrorCode::Infra, message: error.to_string() }
}

fn invalid(message: String) -> CallError {
    CallError { code: ErrorCode::Invalid, message }
}

/// Why no step may start any more.
fn refused(closed: Closed) -> CallError {
    let (code, message) = match closed {
        Closed::Ended => (ErrorCode::Cancelled, "the danubefile has ended: no step can start any more"),
        Closed::Cancelled => (ErrorCode::Cancelled, "the job is cancelled and its cleanup time is over"),
        Closed::Timeout => (ErrorCode::Timeout, "the job's time is up and its cleanup time is over"),
        Closed::Service => (ErrorCode::ServiceDied, "a service of the job has died and its cleanup time is over"),
    };
    CallError { code, message: message.to_owned() }
}
