//! Where a commit came from: the repository that this one is a copy of, as far as the copy knows that it has the commit.

use std::collections::BTreeMap;
use std::path::Path;

use super::SnapshotError;
use super::git::{base, checked, words};

/// The repository that another one was copied from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// As the copy's configuration has it.
    pub url: String,
    /// Of the files that were asked for those that the commit has: as they were asked for, and from the top.
    pub files: BTreeMap<String, String>,
}

/// Where a commit came from; none where nothing is known of it, or it is only here.
pub(super) fn origin(dir: &Path, commit: &str, files: &[String]) -> Result<Option<Origin>, SnapshotError> {
    let Some((url, is_bare)) = configured(dir)? else { return Ok(None) };
    if !has(dir, commit, is_bare)? {
        return Ok(None);
    }
    let top = text(dir, &["rev-parse", "--show-prefix"])?.unwrap_or_default();
    let listed = blobs(dir, commit, files)?;
    let files = listed.into_iter().map(|name| (name.clone(), format!("{top}{name}"))).collect();
    Ok(Some(Origin { url, files }))
}

/// The address of the origin, and whether the branches here are the origin's own.
fn configured(dir: &Path) -> Result<Option<(String, bool)>, SnapshotError> {
    let asked = ["config", "--get-regexp", r"^(remote\.origin\.url|core\.bare)$"];
    let all = text(dir, &asked)?.unwrap_or_default();
    let value = |key: &str| all.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let is_bare = value("core.bare") == Some("true");
    Ok(value("remote.origin.url").map(|url| (url.to_owned(), is_bare)))
}

/// Whether a branch that the origin had when it was last asked has the commit.
fn has(dir: &Path, commit: &str, is_bare: bool) -> Result<bool, SnapshotError> {
    let branches = if is_bare { "refs/heads/" } else { "refs/remotes/origin/" };
    let contains = format!("--contains={commit}");
    let first = text(dir, &["for-each-ref", "--count=1", "--format=%(refname)", &contains, branches])?;
    Ok(first.is_some_and(|name| !name.is_empty()))
}

/// Those of these names that are files of the commit. Names are taken as they are, and relative to `dir`.
fn blobs(dir: &Path, commit: &str, names: &[String]) -> Result<Vec<String>, SnapshotError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut git = base(dir);
    git.args(["ls-tree", "-z", "--end-of-options", commit, "--"]).args(names);
    let listed = checked(dir, "ls-tree", git.output().map_err(SnapshotError::NoGit)?)?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let blob = |entry: &str| {
        let (kind, name) = entry.split_once('\t')?;
        (kind.split(' ').nth(1) == Some("blob")).then(|| name.to_owned())
    };
    Ok(listed.split('\0').filter_map(blob).collect())
}

/// What Git answers; none when it has no answer.
fn text(dir: &Path, arguments: &[&str]) -> Result<Option<String>, SnapshotError> {
    let output = base(dir).args(arguments).output().map_err(SnapshotError::NoGit)?;
    Ok(output.status.success().then(|| words(&output.stdout)))
}
