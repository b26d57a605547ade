//! Where things are kept: one data directory, in it one folder per run with the run's database, logs and groups.

use std::fs;
use std::path::{Path, PathBuf};

use danube_core::id::{AttemptId, JobId};

use crate::checkout::Places;
use crate::error::CliError;

/// Finished runs whose logs are kept.
const KEPT_RUNS: usize = 10;

/// The data directory.
#[derive(Clone, Debug)]
pub struct Place {
    dir: PathBuf,
}

/// One run's folder.
#[derive(Clone, Debug)]
pub struct RunDir {
    /// The run's job.
    pub job: JobId,
    /// The folder.
    pub dir: PathBuf,
}

impl Place {
    /// `--data-dir`, or `danube` in `XDG_STATE_HOME` or in `~/.local/state`.
    pub fn find(chosen: Option<&Path>) -> Result<Self, CliError> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let dir = match chosen {
            Some(dir) => std::path::absolute(dir).map_err(CliError::config)?,
            None => absolute("XDG_STATE_HOME")
                .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
                .ok_or_else(|| CliError::config("neither HOME nor XDG_STATE_HOME is set").hint("pass --data-dir"))?
                .join("danube"),
        };
        Ok(Self { dir })
    }

    /// Exactly this directory.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Danube's own unpacked files.
    pub fn assets(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// The data of a master that is started here.
    pub fn master(&self) -> PathBuf {
        self.dir.join("master")
    }

    /// Unpacked images, shared by all runs.
    pub fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    /// Which Python was found.
    pub fn python(&self) -> PathBuf {
        self.dir.join("python.json")
    }

    /// Makes the folder of a new run.
    pub fn new_run(&self, job: JobId) -> Result<RunDir, CliError> {
        let run = self.run(job);
        for folder in [run.dir.clone(), run.workspace(), run.source()] {
            create_private(&folder)?;
        }
        Ok(run)
    }

    /// The folder of a run.
    pub fn run(&self, job: JobId) -> RunDir {
        RunDir { dir: self.dir.join("runs").join(job.as_str()), job }
    }

    /// Every run, newest first: their ids sort by time.
    pub fn runs(&self) -> Vec<RunDir> {
        let entries = fs::read_dir(self.dir.join("runs")).into_iter().flatten().flatten();
        let jobs = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<JobId>().ok());
        let mut runs: Vec<RunDir> = jobs.map(|job| self.run(job)).collect();
        runs.sort_by(|a, b| b.job.cmp(&a.job));
        runs
    }

    /// Removes the logs of finished runs that are older than the last few. Whose workspace was kept stays.
    pub fn prune(&self) {
        let finished = self.runs().into_iter().filter(|run| run.is_finished() && !run.workspace().exists());
        for run in finished.skip(KEPT_RUNS) {
            if let Err(error) = fs::remove_dir_all(&run.dir) {
                tracing::warn!(run = %run.job, %error, "an old run was not removed");
            }
        }
    }
}

impl RunDir {
    /// The run's one attempt.
    pub fn attempt(&self) -> AttemptId {
        AttemptId { job: self.job.clone(), number: 1 }
    }

    /// Where its files are.
    pub fn places(&self) -> Places {
        Places { attempt: self.attempt(), workspace: self.workspace(), source: self.source() }
    }

    /// Becomes `/workspace`; with `--keep` it comes back here.
    pub fn workspace(&self) -> PathBuf {
        self.dir.join("workspace")
    }

    /// Becomes `/danube/src`.
    pub fn source(&self) -> PathBuf {
        self.dir.join("source")
    }

    /// Where artifacts stand under their names.
    pub fn named_artifacts(&self) -> PathBuf {
        self.dir.join("uploads")
    }

    /// Removes a run that was never begun.
    pub fn discard(&self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(run = %self.job, %error, "a run that could not begin was not removed");
        }
    }

    /// Whether the run came to its end and nothing but its record is left.
    pub fn is_finished(&self) -> bool {
        self.marker().exists()
    }

    /// Notes that the run came to its end.
    pub fn finished(&self) {
        if let Err(error) = fs::write(self.marker(), "") {
            tracing::warn!(run = %self.job, %error, "the end of the run was not noted");
        }
    }

    fn marker(&self) -> PathBuf {
        self.dir.join("finished")
    }
}

/// Makes a folder that is nobody else's to see.
pub fn create_private(dir: &Path) -> Result<(), CliError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        CliError::infra(format!("cannot make {}: {error}", dir.display()))
            .hint("check its permissions and the free space, or choose another place with --data-dir")
    })
}
