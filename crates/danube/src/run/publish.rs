//! Artifacts under their own names, where people find them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use danube_engine::artifacts::ArtifactDir;
use danube_store::artifacts::ArtifactRow;

use crate::place::RunDir;

/// Puts the run's artifacts into `chosen`, or else beside the run's record, which goes with the last runs' records. Says
/// where they are. One that cannot be put there is still in the run's record, and is told of on stderr.
pub fn publish(kept: &ArtifactDir, run: &RunDir, artifacts: &[ArtifactRow], chosen: Option<&Path>) -> Option<PathBuf> {
    if artifacts.is_empty() {
        return None;
    }
    let into = chosen.map_or_else(|| run.named_artifacts(), Path::to_owned);
    for artifact in artifacts {
        // The row's name was checked when it was written: it leads nowhere else.
        let (from, to) = (kept.path(&run.attempt(), artifact), into.join(&artifact.name));
        if let Err(error) = put(&from, &to, chosen.is_some()) {
            eprintln!("warning: the artifact {} could not be written to {}: {error}", artifact.name, to.display());
        }
    }
    Some(into)
}

/// The run's own folder shares the file; elsewhere it is a copy that others may read, and replaces an older one.
fn put(from: &Path, to: &Path, copy: bool) -> io::Result<()> {
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    if fs::symlink_metadata(to).is_ok() {
        fs::remove_file(to)?;
    }
    if copy {
        fs::copy(from, to)?;
        return fs::set_permissions(to, fs::Permissions::from_mode(0o644));
    }
    fs::hard_link(from, to)
}
