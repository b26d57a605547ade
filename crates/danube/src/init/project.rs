//! What can be seen of a project without running any of it: its files, what is in them, and the machine's programs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::CliError;

/// A longer file is read as far as this.
const LONGEST: u64 = 1 << 20;

/// A folder with code.
pub struct Project {
    dir: PathBuf,
    /// Those that a job's workspace will have, relative.
    files: BTreeSet<PathBuf>,
    /// Where steps will find programs.
    path: Vec<PathBuf>,
}

impl Project {
    /// `path` is where steps find programs.
    pub fn look(dir: &Path, path: Vec<PathBuf>) -> Result<Self, CliError> {
        let files = danube_engine::snapshot::files(dir).map_err(CliError::config)?;
        Ok(Self { dir: dir.to_owned(), files: files.into_iter().collect(), path })
    }

    /// The folder's own name.
    pub fn folder(&self) -> String {
        self.dir.file_name().map_or_else(|| "project".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// Whether a job will have this file.
    pub fn has(&self, name: &str) -> bool {
        self.files.contains(Path::new(name))
    }

    /// The first of these files that a job will have.
    pub fn first_of(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.has(name))
    }

    /// Every file, relative, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// What is in a file; nothing for a file that is not there, or is no file.
    pub fn text(&self, name: impl AsRef<Path>) -> String {
        let path = self.dir.join(&name);
        // Whoever opened a FIFO would wait for its writer.
        if !self.files.contains(name.as_ref()) || !path.is_file() {
            return String::new();
        }
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)) {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file of the project cannot be read");
                String::new()
            }
        }
    }

    /// Whether steps will find a program of this name.
    pub fn program(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether steps will find this program and it succeeds with these arguments.
    pub fn can(&self, name: &str, arguments: &[&str]) -> bool {
        let Some(program) = self.find(name) else { return false };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let runs =
            |path: &PathBuf| path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
        self.path.iter().map(|dir| dir.join(name)).find(runs)
    }
}
