//! A checkout becomes a job's private workspace: tracked and untracked-but-not-ignored files are copied (reflinked where
//! the file system can), Git's objects are shared read-only, nothing is ever written back.

mod copy;
pub(crate) mod git;
mod origin;
mod whole;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

pub use copy::Progress;
pub use origin::Origin;

/// Where Git's objects are mounted read-only inside the job.
pub const OBJECTS: &str = "/danube/objects";

/// What to copy, and where to.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The folder that holds the danubefile.
    pub dir: &'a Path,
    /// A branch, tag or commit, taken as it is: no changed, no untracked file. Without one the files as they stand.
    pub commit: Option<&'a str>,
    /// Becomes `/workspace`; must exist and be empty.
    pub workspace: &'a Path,
    /// Becomes `/danube/src`: the Python modules; must exist and be empty.
    pub source: &'a Path,
    /// Whether the title of the commit is wanted.
    pub title: bool,
    /// Where Git's objects are.
    pub objects: Objects,
}

/// Where the Git objects of a copy are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objects {
    /// Where the checkout has them: the copy borrows them, read-only.
    #[default]
    Borrowed,
    /// In the copy, which then needs nothing of this machine.
    Own {
        /// So many commits of history; without a number all of it.
        depth: Option<NonZeroU32>,
    },
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit that is checked out.
    pub commit: Option<String>,
    /// The branch that is checked out.
    pub branch: Option<String>,
    /// The first line of its message, if it was asked for.
    pub title: Option<String>,
    /// The copy differs from the commit.
    pub dirty: bool,
    /// Git's object store, to be mounted at [`OBJECTS`].
    pub objects: Option<PathBuf>,
    /// Files copied.
    pub files: u64,
    /// Bytes copied.
    pub bytes: u64,
}

/// Why a checkout could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Git is missing.
    #[error("cannot start `git`: {0}. Install it (Debian: apt install git)")]
    NoGit(std::io::Error),
    /// Git refused.
    #[error("git {command} failed in {dir}: {stderr}")]
    Git {
        /// The subcommand.
        command: String,
        /// Where.
        dir: PathBuf,
        /// Its words.
        stderr: String,
    },
    /// There is no commit to take.
    #[error("{0} is not a Git checkout with a commit")]
    NoCommit(PathBuf),
    /// Nothing has this name.
    #[error("{dir} has no branch, tag or commit `{reference}`")]
    NoReference {
        /// Where.
        dir: PathBuf,
        /// The name.
        reference: String,
    },
    /// The disk said no.
    #[error("cannot copy {path}: {source}{}", hint(.source))]
    Copy {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull => ". Free some space, or choose another place with --data-dir",
        std::io::ErrorKind::PermissionDenied => ". Make it readable, or let Git ignore it",
        _ => "",
    }
}

/// Copies a checkout.
///
/// # Errors
/// When Git is missing or refuses, or a file cannot be read or written.
pub fn take(request: &Request<'_>, progress: Progress<'_>) -> Result<Snapshot, SnapshotError> {
    match (git::Checkout::find(request.dir)?, request.commit) {
        (Some(checkout), Some(reference)) => clean(request, &checkout.at(reference)?, progress),
        (Some(checkout), None) => working_tree(request, &checkout, progress),
        (None, Some(_)) => Err(SnapshotError::NoCommit(request.dir.to_owned())),
        (None, None) => plain(request, progress),
    }
}

/// The files that a copy of the folder has, relative to it.
///
/// # Errors
/// When Git is missing or refuses, or a folder cannot be read.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    match git::Checkout::find(dir)? {
        Some(checkout) => checkout.files(),
        None => copy::walk(dir),
    }
}

/// The branch that a reference names, or without one that is checked out around `dir`; none where there is none.
///
/// # Errors
/// When Git is missing or refuses, or the reference leads nowhere.
pub fn branch(dir: &Path, reference: Option<&str>) -> Result<Option<String>, SnapshotError> {
    match (git::Checkout::find(dir)?, reference) {
        (Some(checkout), Some(reference)) => Ok(checkout.at(reference)?.branch),
        (Some(checkout), None) => Ok(checkout.branch),
        (None, Some(_)) => Err(SnapshotError::NoCommit(dir.to_owned())),
        (None, None) => Ok(None),
    }
}

/// Reads one file of a branch, tag or commit of the checkout around `dir`; `path` is relative to `dir`.
///
/// # Errors
/// When there is no such commit, or no such file in it.
pub fn read(dir: &Path, reference: &str, path: &Path) -> Result<Vec<u8>, SnapshotError> {
    let checkout = git::Checkout::find(dir)?.ok_or_else(|| SnapshotError::NoCommit(dir.to_owned()))?;
    checkout.at(reference)?.show(path)
}

/// The commits that `to` has and `from` has not, newest first, at most 100: id and first line of each.
///
/// # Errors
/// When Git is missing, or there is no such commit.
pub fn commits_between(dir: &Path, from: &str, to: &str) -> Result<Vec<(String, String)>, SnapshotError> {
    git::commits_between(dir, from, to)
}

/// How a file changed from one commit to another, as a unified diff; empty if it did not.
///
/// # Errors
/// When Git is missing, or there is no such commit.
pub fn diff(dir: &Path, from: &str, to: &str, file: &Path) -> Result<String, SnapshotError> {
    git::diff(dir, from, to, file)
}

/// Where a commit of the repository around `dir` came from, and which of these files it has; names are relative to `dir`.
///
/// # Errors
/// When Git is missing or refuses.
pub fn origin(dir: &Path, commit: &str, files: &[String]) -> Result<Option<Origin>, SnapshotError> {
    origin::origin(dir, commit, files)
}

/// Files as they stand, changed or not. Git looks for changes while they are copied.
fn working_tree(
    request: &Request<'_>,
    checkout: &git::Checkout,
    progress: Progress<'_>,
) -> Result<Snapshot, SnapshotError> {
    std::thread::scope(|scope| {
        let dirty = scope.spawn(|| checkout.is_dirty());
        let title = scope.spawn(|| title(request, checkout));
        let files = checkout.files()?;
        let copied = copy::copy(request, &files, progress)?;
        let dirty = dirty.join().unwrap_or(Ok(true))?;
        let title = title.join().unwrap_or_default();
        Ok(Snapshot { title, ..finish(request, checkout, copied, dirty)? })
    })
}

/// A copy is as good without it.
fn title(request: &Request<'_>, checkout: &git::Checkout) -> Option<String> {
    let commit = checkout.commit.as_ref().filter(|_| request.title)?;
    git::title(request.dir, commit).ok().flatten()
}

fn clean(request: &Request<'_>, checkout: &git::Checkout, progress: Progress<'_>) -> Result<Snapshot, SnapshotError> {
    checkout.export(request.workspace)?;
    let files = copy::walk(request.workspace)?;
    let from_export = Request { dir: request.workspace, ..request.clone() };
    let copied = copy::copy_sources(&from_export, &files, progress)?;
    Ok(Snapshot { title: title(request, checkout), ..finish(request, checkout, copied, false)? })
}

fn plain(request: &Request<'_>, progress: Progress<'_>) -> Result<Snapshot, SnapshotError> {
    let files = copy::walk(request.dir)?;
    let copied = copy::copy(request, &files, progress)?;
    Ok(Snapshot { files: copied.files, bytes: copied.bytes, dirty: true, ..Snapshot::default() })
}

fn finish(
    request: &Request<'_>,
    checkout: &git::Checkout,
    copied: copy::Copied,
    dirty: bool,
) -> Result<Snapshot, SnapshotError> {
    let objects = match request.objects {
        Objects::Borrowed => checkout.recreate(request.workspace)?,
        Objects::Own { depth } => whole::recreate(checkout, request.workspace, depth).map(|()| None)?,
    };
    let (commit, branch) = (checkout.commit.clone(), checkout.branch.clone());
    Ok(Snapshot { commit, branch, title: None, dirty, objects, files: copied.files, bytes: copied.bytes })
}

#[cfg(test)]
mod tests;
