//! Finds the Python that runs danubefiles in a `host` coordinator.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::host;
use crate::error::SandboxError;

/// The oldest Python that the SDK speaks.
pub const OLDEST: (u32, u32) = (3, 11);
/// Names tried in each directory of `PATH`, the plain one first: it is the one its owner means.
const NAMES: [&str; 5] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"];
/// Prints the four facts on a line each. Launchers such as pyenv's run the real program, which then names itself.
const ASK: &str =
    "import sys; print(sys.executable, '%d.%d.%d' % sys.version_info[:3], sys.prefix, sys.base_prefix, sep='\\n')";

/// A Python that can run danubefiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// The program itself, no launcher.
    pub path: PathBuf,
    /// `3.12.4`.
    pub version: String,
    /// Directories that must be shown besides the `host` image's own.
    pub mounts: Vec<PathBuf>,
}

/// The first Python of at least [`OLDEST`] on a search path.
pub fn find_python(path: &str) -> Result<Python, SandboxError> {
    let mut seen = Vec::new();
    for dir in std::env::split_paths(path).filter(|dir| dir.is_absolute()) {
        for name in NAMES {
            match ask(&dir.join(name)) {
                Some((python, true)) => return Ok(python),
                Some((python, false)) => seen.push(format!("{} is {}", python.path.display(), python.version)),
                None => {}
            }
        }
    }
    let seen = if seen.is_empty() { "none found".to_owned() } else { seen.join(", ") };
    Err(SandboxError::Machine(format!(
        "no Python {}.{} or newer on PATH ({seen}): install one, for example the package python3, or with `uv python install`",
        OLDEST.0, OLDEST.1
    )))
}

/// What a program says of itself, and whether it is new enough. None when it is no Python that runs.
fn ask(program: &Path) -> Option<(Python, bool)> {
    if !program.exists() {
        return None;
    }
    let output =
        Command::new(program).args(["-I", "-c", ASK]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let mut lines = text.lines();
    let (path, version) = (PathBuf::from(lines.next()?), lines.next()?.to_owned());
    let mut numbers = version.split('.').map(|n| n.parse().unwrap_or(0));
    let new_enough = (numbers.next()?, numbers.next()?) >= OLDEST;
    let prefixes: Vec<_> = lines.map(PathBuf::from).collect();
    let mounts = mounts(&path, &prefixes);
    Some((Python { path, version, mounts }, new_enough))
}

/// The prefixes, and where links lead out of them, as far as the `host` image does not show them.
fn mounts(path: &Path, prefixes: &[PathBuf]) -> Vec<PathBuf> {
    let mut mounts: Vec<PathBuf> = Vec::new();
    let real = std::fs::canonicalize(path).ok();
    let program_dirs = [path.to_owned()].into_iter().chain(real).filter_map(|p| Some(p.parent()?.to_owned()));
    let real_prefixes = prefixes.iter().filter_map(|prefix| std::fs::canonicalize(prefix).ok());
    for dir in prefixes.iter().cloned().chain(real_prefixes).chain(program_dirs) {
        let shown = host::shows(&dir) || mounts.iter().any(|mount| dir.starts_with(mount));
        if !shown && dir.parent().is_some() {
            mounts.push(dir);
        }
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_is_not_taken_for_the_program() {
        let python = find_python(&std::env::var("PATH").unwrap()).unwrap();
        assert!(!python.path.components().any(|part| part.as_os_str() == "shims"), "{python:?}");
        assert!(python.mounts.iter().all(|mount| !mount.starts_with("/usr")), "{python:?}");
    }

    #[test]
    fn an_empty_search_path_says_what_to_do() {
        let error = find_python("").unwrap_err().to_string();
        assert!(error.contains("none found") && error.contains("install"), "{error}");
    }
}
