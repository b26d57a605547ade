//! Jobs of repositories and checkouts on this machine: their files are copied when their turn comes, so that a changed
//! file is in the next job and in no running one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use danube_config::danubefile::{Param, ParamType};
use danube_core::id::AttemptId;
use danube_core::job::FailureKind;
use danube_core::retry::Retries;
use danube_engine::job::Plan;
use danube_engine::master::{Asked, Between, Checked, Description, Given, Prepared, Refused, Workshop};
use danube_engine::snapshot::{self, Origin};
use danube_store::jobs::{JobRow, Source};
use danube_store::pipelines::PipelineRow;

use super::runtime::JobRuntime;
use crate::checkout::{self, Cause, Places, Request, Terms, Which};
use crate::error::CliError;
use crate::place;

/// So long does a shim wait for a master that was killed (docs/protocol.md, rule 6).
const ORPHAN_GRACE: Duration = Duration::from_secs(60 * 60);

/// What stands for the branch in a concurrency group.
const BRANCH: &str = "{branch}";

/// Makes the plans.
pub struct Checkouts {
    /// On what terms jobs run.
    pub terms: Terms,
    /// The runtime that the plans are for.
    pub runtime: Arc<JobRuntime>,
    /// The folder of all jobs' files.
    pub jobs: PathBuf,
    /// Held by whoever writes below that folder.
    pub writing: RwLock<()>,
}

/// What is taken: what was asked for, else the pipeline's own branch, else the files as they stand.
fn commit<'a>(pipeline: &'a PipelineRow, given: &'a Given) -> Option<&'a str> {
    given.reference.as_deref().or(pipeline.branch.as_deref())
}

impl Checkouts {
    /// Waits until nobody writes below the folder of jobs. To be called when no more jobs are prepared.
    pub fn rest(&self) {
        drop(self.writing.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read(&self, pipeline: &PipelineRow, given: &Given) -> Result<Request, CliError> {
        let which = Which {
            dir: Path::new(&pipeline.dir),
            file: Path::new(&pipeline.entry_point),
            commit: commit(pipeline, given),
        };
        let mut request = checkout::read(which, &given.params, &self.terms)?;
        if matches!(self.terms, Terms::Strangers) {
            // What a pipeline is called is said in the configuration repository, not by whoever writes the danubefile.
            request.danubefile.name.clone_from(&pipeline.name);
        }
        if request.danubefile.name == pipeline.name {
            return Ok(request);
        }
        let message = format!("{}: its pipeline is called `{}` now", request.entry_point, request.danubefile.name);
        Err(CliError::config(message).hint("start `danube dev` again"))
    }

    fn copied(
        &self,
        pipeline: &PipelineRow,
        job: &JobRow,
        given: &Given,
        attempt: &AttemptId,
    ) -> Result<Prepared, CliError> {
        let _writing = self.writing.read().unwrap_or_else(PoisonError::into_inner);
        let request = self.read(pipeline, given)?;
        let places = self.places(attempt);
        self.remove(attempt);
        [&places.workspace, &places.source].into_iter().try_for_each(|folder| place::create_private(folder))?;
        let wanted = snapshot::Request {
            dir: &request.dir,
            commit: commit(pipeline, given),
            workspace: &places.workspace,
            source: &places.source,
            title: true,
            objects: self.runtime.objects(),
        };
        let snapshot = snapshot::take(&wanted, &|_, _, _| {}).map_err(CliError::infra)?;
        let cause = Cause { trigger: &job.trigger, actor: job.actor.as_deref().unwrap_or_default() };
        let paths = self.runtime.paths(attempt);
        let mut plan = request.plan(&places, &cause, self.runtime.python(), &snapshot, &paths)?;
        plan.group.orphan_grace = ORPHAN_GRACE;
        plan.group.warm = pipeline.warm;
        plan.retries = request.danubefile.retries.map_or(Retries::BeforeSteps, Retries::AtMost);
        let source = Source {
            dir: Some(request.dir.to_string_lossy().into_owned()),
            reference: snapshot.branch.clone().or_else(|| given.reference.clone()),
            sha: snapshot.commit.clone(),
            dirty: snapshot.dirty,
            title: snapshot.title.clone(),
        };
        Ok(Prepared { plan, source, secrets: request.secrets })
    }

    /// The group within which it waits, with the branch in it if it asks for that. What is no branch stands for itself.
    fn group(&self, request: &Request, given: &Given) -> Result<Option<String>, CliError> {
        let Some(group) = request.danubefile.concurrency.clone() else { return Ok(None) };
        if !group.contains(BRANCH) {
            return Ok(Some(group));
        }
        let branch = snapshot::branch(&request.dir, given.reference.as_deref()).map_err(CliError::config)?;
        let branch = branch.or_else(|| given.reference.clone()).unwrap_or_else(|| "HEAD".to_owned());
        Ok(Some(group.replace(BRANCH, &branch)))
    }

    fn places(&self, attempt: &AttemptId) -> Places {
        let dir = self.folder(attempt);
        Places { attempt: attempt.clone(), workspace: dir.join("workspace"), source: dir.join("source") }
    }

    fn folder(&self, attempt: &AttemptId) -> PathBuf {
        self.jobs.join(attempt.job.as_str()).join(attempt.number.to_string())
    }

    fn remove(&self, attempt: &AttemptId) {
        let folder = self.folder(attempt);
        let removed = fs::remove_dir_all(&folder);
        // The job's own folder goes when no other attempt is in it.
        let removed = removed.and_then(|()| folder.parent().map_or(Ok(()), fs::remove_dir));
        if let Err(error) = removed {
            tracing::debug!(folder = %folder.display(), %error, "not removed");
        }
    }
}

impl Workshop for Checkouts {
    fn check(&self, pipeline: &PipelineRow, given: &Given) -> Result<Checked, Refused> {
        let request = self.read(pipeline, given).map_err(|error| error.refused())?;
        let concurrency = self.group(&request, given).map_err(|error| error.refused())?;
        let supersedes = request.danubefile.cancel_superseded;
        Ok(Checked { params: request.params, concurrency, supersedes })
    }

    fn describe(&self, pipeline: &PipelineRow) -> Result<Description, Refused> {
        let file = Path::new(&pipeline.entry_point);
        let which = Which { dir: Path::new(&pipeline.dir), file, commit: None };
        let danubefile = checkout::describe(which).map_err(|error| error.refused())?;
        let asked = |(name, param): (&String, &Param)| Asked {
            name: name.clone(),
            description: param.description.clone(),
            default: param.default.as_ref().map(ToString::to_string),
            choices: param.choices.iter().map(ToString::to_string).collect(),
            is_switch: param.kind == ParamType::Bool,
        };
        Ok(Description {
            image: danubefile.image.clone().unwrap_or_else(|| checkout::DEFAULT_IMAGE.to_owned()),
            timeout: danubefile.timeout,
            params: danubefile.params.iter().map(asked).collect(),
        })
    }

    fn between(&self, pipeline: &PipelineRow, from: &str, to: &str) -> Result<Between, Refused> {
        let dir = Path::new(&pipeline.dir);
        let read = || {
            let commits = snapshot::commits_between(dir, from, to)?;
            Ok(Between { commits, danubefile: snapshot::diff(dir, from, to, Path::new(&pipeline.entry_point))? })
        };
        read().map_err(|error: snapshot::SnapshotError| CliError::config(error).refused())
    }

    fn origin(&self, pipeline: &PipelineRow, commit: &str, files: &[String]) -> Result<Option<Origin>, Refused> {
        let found = snapshot::origin(Path::new(&pipeline.dir), commit, files);
        found.map_err(|error| CliError::config(error).refused())
    }

    fn prepare(
        &self,
        pipeline: &PipelineRow,
        job: &JobRow,
        given: &Given,
        attempt: &AttemptId,
    ) -> Result<Prepared, Refused> {
        let mut prepared = self.copied(pipeline, job, given, attempt).map_err(|error| error.refused())?;
        self.runtime.fit(&mut prepared.plan, &self.places(attempt))?;
        Ok(prepared)
    }

    fn held(&self) -> Vec<AttemptId> {
        let folders = |of: &Path| fs::read_dir(of).into_iter().flatten().flatten();
        let attempts = folders(&self.jobs)
            .flat_map(|job| folders(&job.path()).map(move |attempt| (job.file_name(), attempt.file_name())));
        let named = attempts.filter_map(|(job, number)| {
            Some(AttemptId { job: job.to_str()?.parse().ok()?, number: number.to_str()?.parse().ok()? })
        });
        named.collect()
    }

    fn secrets(&self, plan: &Plan) -> Result<BTreeMap<String, String>, Refused> {
        let secrets = self.terms.secrets().map_err(|error| error.refused())?;
        match plan.secrets.iter().find(|name| !secrets.contains_key(*name)) {
            None => Ok(secrets),
            Some(missing) => Err(Refused {
                kind: FailureKind::Config,
                message: format!(
                    "it was begun with the secret {missing}, which is stored nowhere: start with --secret {missing} again"
                ),
            }),
        }
    }

    fn discard(&self, attempt: &AttemptId) {
        let _writing = self.writing.read().unwrap_or_else(PoisonError::into_inner);
        self.remove(attempt);
    }
}
