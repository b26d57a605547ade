//! How other commands find a master that runs on this machine: a file in the data directory, for its owner's eyes only.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Where it is spoken to.
    pub url: String,
    /// What lets in.
    pub token: String,
    /// Its process.
    pub pid: u32,
}

/// The file, as long as the master runs.
pub struct Announced(PathBuf);

impl Announced {
    /// Writes it.
    pub fn write(dir: &Path, url: &str, token: &str) -> Result<Self, CliError> {
        let path = path(dir);
        let instance = Instance { url: url.to_owned(), token: token.to_owned(), pid: std::process::id() };
        write(&path, &instance)
            .map_err(|error| CliError::infra(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // The process is gone soon, which whoever reads the file finds out.
        let _ = fs::remove_file(&self.0);
    }
}

/// Where it stands in the data directory.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("dev.json")
}

fn write(path: &Path, instance: &Instance) -> std::io::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(instance)?)?;
    fs::rename(new, path)
}
