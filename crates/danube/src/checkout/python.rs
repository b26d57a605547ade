//! Which Python runs danubefiles. Asking one for its version takes as long as the rest of a short run, and through a
//! version manager's launcher much longer, so the answer is kept as long as the files it was asked of are the same.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use danube_sandbox::{Python, find_python};
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// The answer, and what it depends on.
#[derive(Serialize, Deserialize, PartialEq)]
struct Known {
    path_variable: String,
    python: Python,
    /// Name, inode, size and change time (seconds) of the first `python3` of the search path and of the answer.
    files: Vec<(PathBuf, u64, u64, i64)>,
}

/// Finds it, or remembers it.
pub fn find(memory: &Path) -> Result<Python, CliError> {
    let path_variable = std::env::var("PATH").unwrap_or_default();
    if let Some(python) = remembered(memory, &path_variable) {
        return Ok(python);
    }
    let python = find_python(&path_variable).map_err(CliError::infra)?;
    let known = Known { files: files(&path_variable, &python), path_variable, python: python.clone() };
    if let Err(error) = remember(memory, &known) {
        tracing::debug!(%error, "the Python is not remembered");
    }
    Ok(python)
}

fn remembered(memory: &Path, path_variable: &str) -> Option<Python> {
    let known: Known = serde_json::from_slice(&fs::read(memory).ok()?).ok()?;
    let same = known.path_variable == path_variable && known.files == files(path_variable, &known.python);
    same.then_some(known.python)
}

fn remember(memory: &Path, known: &Known) -> std::io::Result<()> {
    let new = memory.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, serde_json::to_vec(known)?)?;
    fs::rename(new, memory)
}

/// A version manager's choice lies in its own files, which change when another version becomes the default.
fn files(path_variable: &str, python: &Python) -> Vec<(PathBuf, u64, u64, i64)> {
    let first = std::env::split_paths(path_variable).map(|dir| dir.join("python3")).find(|file| file.exists());
    let chosen = std::env::home_dir().map(|home| home.join(".pyenv/version"));
    let files = first.into_iter().chain(chosen).chain([python.path.clone()]);
    files.filter_map(|file| fs::metadata(&file).ok().map(|m| (file, m.ino(), m.size(), m.ctime()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_until_a_file_changes() {
        let dir = tempfile::tempdir().expect("folder");
        let memory = dir.path().join("python.json");
        let found = find(&memory).expect("a Python on this machine");
        let path_variable = std::env::var("PATH").expect("PATH");
        assert_eq!(remembered(&memory, &path_variable), Some(found.clone()));
        assert_eq!(remembered(&memory, "/nowhere"), None, "another search path, another answer");
        let mut known: Known = serde_json::from_slice(&fs::read(&memory).expect("kept")).expect("read");
        known.files.last_mut().expect("files").2 += 1;
        remember(&memory, &known).expect("written");
        assert_eq!(remembered(&memory, &path_variable), None, "the program was replaced");
    }
}
