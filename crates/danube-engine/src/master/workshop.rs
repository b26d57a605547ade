//! What the master asks of whoever composed it: reading a pipeline's files, and making a plan of them.

use std::collections::BTreeMap;
use std::time::Duration;

use danube_core::id::{AttemptId, JobId};
use danube_core::job::{FailureKind, FailureReason};
use danube_store::jobs::{JobRow, Source};
use danube_store::pipelines::PipelineRow;
use serde::{Deserialize, Serialize};

use crate::job::Plan;
use crate::snapshot::Origin;

/// What somebody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Parameters by name, as written.
    pub params: Vec<(String, String)>,
    /// A branch, tag or commit; without one the checkout as it stands.
    pub reference: Option<String>,
    /// The job whose inputs it shall have again.
    #[serde(default)]
    pub inputs_of: Option<JobId>,
}

/// What can be said before a job's turn comes.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Every parameter with its value.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Of the jobs with the same one, one runs at a time.
    pub concurrency: Option<String>,
    /// Older jobs of its group and pipeline give way to it also when they run.
    pub supersedes: bool,
}

/// A job that can be run.
#[derive(Debug)]
pub struct Prepared {
    /// Its plan.
    pub plan: Plan,
    /// What it runs on.
    pub source: Source,
    /// Its secrets by name; in memory only.
    pub secrets: BTreeMap<String, String>,
}

/// What a person is asked before a job starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The image of steps that name none.
    pub image: String,
    /// How long the job may take, if the danubefile says.
    pub timeout: Option<Duration>,
    /// By name.
    pub params: Vec<Asked>,
}

/// A parameter, as a form asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// Its value unless another is given; none means that one must be given.
    pub default: Option<String>,
    /// If not empty, the only values.
    pub choices: Vec<String>,
    /// It is true or false.
    pub is_switch: bool,
}

/// What lies between two commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Between {
    /// Id and first line of each commit that only the later one has, newest first.
    pub commits: Vec<(String, String)>,
    /// How the danubefile changed, as a unified diff; empty if it did not.
    pub danubefile: String,
}

/// Why there will be no such job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// As data.
    pub kind: FailureKind,
    /// What, where, and what to do.
    pub message: String,
}

impl From<Refused> for FailureReason {
    fn from(refused: Refused) -> Self {
        Self { kind: refused.kind, message: refused.message }
    }
}

/// Makes plans. Its calls may block.
pub trait Workshop: Send + Sync + 'static {
    /// Reads what the pipeline's danubefile says, and refuses what it does not take.
    ///
    /// # Errors
    /// When the danubefile cannot be read or a parameter is wrong.
    fn check(&self, pipeline: &PipelineRow, given: &Given) -> Result<Checked, Refused>;

    /// What a form for a job asks.
    ///
    /// # Errors
    /// When the danubefile cannot be read.
    fn describe(&self, pipeline: &PipelineRow) -> Result<Description, Refused>;

    /// What lies between two commits.
    ///
    /// # Errors
    /// When one is not there any more.
    fn between(&self, pipeline: &PipelineRow, from: &str, to: &str) -> Result<Between, Refused>;

    /// Where a commit came from, and which of these files of the pipeline's folder it has; none where that is not known.
    ///
    /// # Errors
    /// When Git is missing or refuses.
    fn origin(&self, pipeline: &PipelineRow, commit: &str, files: &[String]) -> Result<Option<Origin>, Refused> {
        let _ = (pipeline, commit, files);
        Ok(None)
    }

    /// Copies the files and makes the plan. What an earlier call for the same attempt left is replaced.
    ///
    /// # Errors
    /// When a file cannot be read or copied.
    fn prepare(
        &self,
        pipeline: &PipelineRow,
        job: &JobRow,
        given: &Given,
        attempt: &AttemptId,
    ) -> Result<Prepared, Refused>;

    /// The attempts whose files are there.
    fn held(&self) -> Vec<AttemptId> {
        Vec::new()
    }

    /// The secrets of a job that an earlier master prepared: they are never stored.
    ///
    /// # Errors
    /// When one is not there any more.
    fn secrets(&self, plan: &Plan) -> Result<BTreeMap<String, String>, Refused>;

    /// Removes what `prepare` made: the job has ended.
    fn discard(&self, attempt: &AttemptId);
}
