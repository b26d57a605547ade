//! Where artifacts are kept: `<job>/<attempt>/<call>`, one file per upload. The rows have the names, so that no name that
//! a danubefile chooses is ever a path here, and two uploads never write to one file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use danube_core::id::{AttemptId, StepId};
use danube_store::artifacts::ArtifactRow;

/// The folder of all artifacts.
#[derive(Clone, Debug)]
pub struct ArtifactDir {
    root: PathBuf,
}

impl ArtifactDir {
    /// The folder of all artifacts; usually [`danube_store::ARTIFACTS`] in the data directory. It is made when needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The file of a stored artifact.
    #[must_use]
    pub fn path(&self, attempt: &AttemptId, artifact: &ArtifactRow) -> PathBuf {
        self.folder(attempt).join(&artifact.call)
    }

    /// An empty file for what a call brings. What an engine that was killed had received of it is gone.
    pub(crate) fn begin(&self, attempt: &AttemptId, call: StepId) -> io::Result<(File, PathBuf)> {
        let folder = self.folder(attempt);
        fs::create_dir_all(&folder)?;
        let path = folder.join(call.to_string());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok((file, path))
    }

    fn folder(&self, attempt: &AttemptId) -> PathBuf {
        self.root.join(attempt.job.as_str()).join(attempt.number.to_string())
    }
}

/// Makes a file and its name survive a power cut.
pub(crate) fn sync(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    // The attempt's folder, the job's, that of all artifacts, and the one that has its name.
    path.ancestors().skip(1).take(4).try_for_each(|folder| File::open(folder)?.sync_all())
}
