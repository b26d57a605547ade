//! Jobs come in, and wishes about them. Each is durable before it is answered; then the orchestrator is woken.

use std::sync::atomic::Ordering;

use danube_core::id::JobId;
use danube_store::jobs::{self, NewJob};
use danube_store::pipelines::{self, PipelineRow};

use super::line::Spec;
use super::orchestrator::Wake;
use super::{Between, Checked, Description, Given, Master, Refused, Workshop};
use crate::EngineError;
use crate::failpoint::failpoint;
use crate::records::now_ms;
use crate::snapshot::Origin;

/// A wish for a job.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// Which pipeline.
    pub pipeline: String,
    /// Parameters by name, as written.
    pub params: Vec<(String, String)>,
    /// A branch, tag or commit; without one the checkout as it stands.
    pub reference: Option<String>,
    /// What made it start: `manual`, `dev`, …
    pub trigger: &'static str,
    /// Who, where one knows.
    pub actor: Option<String>,
}

/// A job that is durable, and will run when its turn comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: JobId,
    /// Its number within the pipeline.
    pub number: i64,
}

/// Why there is no job.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Nobody registered it.
    #[error("there is no pipeline `{0}`")]
    UnknownPipeline(String),
    /// There is no such job to run again.
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    /// The danubefile or what was asked for is wrong.
    #[error(transparent)]
    Invalid(#[from] Refused),
    /// No new jobs are taken.
    #[error("this instance takes no new jobs: it is about to stop")]
    Draining,
    /// The master cannot.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What became of a wish for a job's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will end.
    Requested,
    /// It had ended already.
    AlreadyFinished,
    /// There is no such job.
    NotFound,
}

impl Master {
    /// Takes a job in.
    ///
    /// # Errors
    /// When there is no such pipeline, the danubefile or a parameter is wrong, or nothing can be written.
    pub async fn submit(&self, submission: Submission) -> Result<Accepted, SubmitError> {
        let given = Given { params: submission.params, reference: submission.reference, inputs_of: None };
        self.admit(&submission.pipeline, given, submission.trigger, submission.actor).await
    }

    /// Takes in a job with the inputs of another one.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), and when those inputs cannot be had any more.
    pub async fn rerun(&self, job: &JobId, actor: Option<String>) -> Result<Accepted, SubmitError> {
        let row = jobs::get(self.store().read(), job).await.map_err(EngineError::from)?;
        let row = row.ok_or_else(|| SubmitError::UnknownJob(job.clone()))?;
        let params = given_params(&row.params);
        let given = Given { params, reference: row.source_sha.clone(), inputs_of: Some(job.clone()) };
        if row.source_dirty {
            let message = "it ran on changes that are in no commit, which are not kept: commit them, or run the \
                           checkout as it stands with `danube trigger`";
            return Err(Refused { kind: danube_core::job::FailureKind::Config, message: message.to_owned() }.into());
        }
        self.admit(&row.pipeline, given, "rerun", actor).await
    }

    /// Asks for a job's end. It ends by that also when the master is restarted first.
    ///
    /// # Errors
    /// When nothing can be written.
    pub async fn cancel(&self, job: &JobId) -> Result<Cancelled, EngineError> {
        let id = job.clone();
        let write =
            self.store().write(move |tx| Box::pin(async move { jobs::request_cancel(tx, &id, now_ms()).await }));
        if !write.await? {
            let known = jobs::get(self.store().read(), job).await?.is_some();
            return Ok(if known { Cancelled::AlreadyFinished } else { Cancelled::NotFound });
        }
        failpoint("cancel-written");
        self.wake(Wake::Cancel(job.clone()));
        self.live().touch(job);
        Ok(Cancelled::Requested)
    }

    async fn admit(
        &self,
        pipeline: &str,
        given: Given,
        trigger: &str,
        actor: Option<String>,
    ) -> Result<Accepted, SubmitError> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Err(SubmitError::Draining);
        }
        let found = pipelines::get(self.store().read(), pipeline).await.map_err(EngineError::from)?;
        let found = found.ok_or_else(|| SubmitError::UnknownPipeline(pipeline.to_owned()))?;
        let checked = self.check(found, given.clone()).await?;
        let id = new_id()?;
        let job = NewJob {
            id: id.clone(),
            pipeline: pipeline.to_owned(),
            source: jobs::Source { reference: given.reference.clone(), ..jobs::Source::default() },
            trigger: trigger.to_owned(),
            actor,
            params: serde_json::Value::Object(checked.params).to_string(),
            spec: Spec::Waits { given: given.clone() }.to_json(),
            created_ms: now_ms(),
            rerun_of: given.inputs_of,
            concurrency: checked.concurrency,
            supersedes: checked.supersedes,
        };
        let write = self.store().write(move |tx| Box::pin(async move { jobs::insert(tx, &job).await }));
        let number = write.await.map_err(EngineError::from)?;
        failpoint("job-accepted");
        self.wake(Wake::Changed);
        self.live().touch(&id);
        Ok(Accepted { id, number })
    }

    /// What a form for a job of this pipeline asks.
    ///
    /// # Errors
    /// When there is no such pipeline, or its danubefile cannot be read.
    pub async fn describe(&self, pipeline: &str) -> Result<Description, SubmitError> {
        self.ask(pipeline, |workshop, row| workshop.describe(row)).await
    }

    /// What lies between two commits of a pipeline.
    ///
    /// # Errors
    /// When there is no such pipeline, or a commit is not there any more.
    pub async fn between(&self, pipeline: &str, from: String, to: String) -> Result<Between, SubmitError> {
        self.ask(pipeline, move |workshop, row| workshop.between(row, &from, &to)).await
    }

    /// Where a commit of a pipeline came from, and which of these files of the pipeline's folder it has.
    ///
    /// # Errors
    /// When there is no such pipeline, or Git refuses.
    pub async fn origin(
        &self,
        pipeline: &str,
        commit: String,
        files: Vec<String>,
    ) -> Result<Option<Origin>, SubmitError> {
        self.ask(pipeline, move |workshop, row| workshop.origin(row, &commit, &files)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        pipeline: &str,
        question: impl FnOnce(&dyn Workshop, &PipelineRow) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, SubmitError> {
        let found = pipelines::get(self.store().read(), pipeline).await.map_err(EngineError::from)?;
        let found = found.ok_or_else(|| SubmitError::UnknownPipeline(pipeline.to_owned()))?;
        let workshop = self.0.workshop.clone();
        let answered = tokio::task::spawn_blocking(move || question(&*workshop, &found)).await;
        Ok(answered.map_err(|died| EngineError::TaskDied(died.to_string()))??)
    }

    async fn check(&self, pipeline: PipelineRow, given: Given) -> Result<Checked, SubmitError> {
        let workshop = self.0.workshop.clone();
        let checked = tokio::task::spawn_blocking(move || workshop.check(&pipeline, &given)).await;
        Ok(checked.map_err(|died| EngineError::TaskDied(died.to_string()))??)
    }

    /// Wakes the orchestrator. One that has ended needs no waking: whatever is durable waits for the next master.
    pub(super) fn wake(&self, wake: Wake) {
        let _ = self.0.wake.send(wake);
    }
}

/// A new job's id: it sorts by time.
fn new_id() -> Result<JobId, EngineError> {
    let id = uuid::Uuid::now_v7().to_string();
    id.parse().map_err(|error: danube_core::id::IdError| EngineError::TaskDied(error.to_string()))
}

/// Parameters as they could have been typed.
#[must_use]
pub fn given_params(params: &str) -> Vec<(String, String)> {
    let values: serde_json::Map<String, serde_json::Value> = serde_json::from_str(params).unwrap_or_default();
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    values.into_iter().map(|(name, value)| (name, text(value))).collect()
}
