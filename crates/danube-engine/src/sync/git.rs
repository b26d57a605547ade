//! What is read of the configuration repository: the head of a branch, and the files in its folder of pipelines.

use std::path::{Path, PathBuf};
use std::process::Output;

use danube_config::repository::{File, LONGEST_FILE, PIPELINES};

use crate::snapshot::git::base;

/// More files than a configuration has.
const MOST_FILES: usize = 10_000;

/// A commit and its files.
pub struct Commit {
    /// Its id.
    pub sha: String,
    /// Those in its folder of pipelines.
    pub files: Vec<File>,
}

/// Why the repository cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Git is missing.
    #[error("cannot start `git`: {0}. Install it (Debian: apt install git)")]
    NoGit(std::io::Error),
    /// Git refused.
    #[error("the configuration repository {dir} cannot be read: {stderr}")]
    Refused {
        /// The repository.
        dir: PathBuf,
        /// Its words.
        stderr: String,
    },
    /// There is no such branch.
    #[error(
        "the configuration repository {dir} has no branch `{branch}`: push one, or name another below [config] in danube.toml"
    )]
    NoBranch {
        /// The repository.
        dir: PathBuf,
        /// The branch.
        branch: String,
    },
    /// A file that is not read.
    #[error("the configuration repository {dir}: {path} {what}")]
    File {
        /// The repository.
        dir: PathBuf,
        /// Which file.
        path: String,
        /// Why not, and what to do.
        what: String,
    },
}

/// The newest commit of a branch, unless it is the one that is known.
pub fn newest(dir: &Path, branch: &str, known: Option<&str>) -> Result<Option<Commit>, GitError> {
    let sha = head(dir, branch)?;
    if known == Some(sha.as_str()) {
        return Ok(None);
    }
    let files = entries(dir, &sha)?.into_iter().map(|entry| read(dir, entry)).collect::<Result<_, _>>()?;
    Ok(Some(Commit { sha, files }))
}

fn head(dir: &Path, branch: &str) -> Result<String, GitError> {
    // First whether it is a repository at all: without a branch Git says nothing of why.
    git(dir, &["rev-parse", "--git-dir"])?;
    let name = format!("refs/heads/{branch}^{{commit}}");
    let found = output(dir, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name])?;
    let sha = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    if !found.status.success() || sha.is_empty() {
        return Err(GitError::NoBranch { dir: dir.to_owned(), branch: branch.to_owned() });
    }
    Ok(sha)
}

/// A file of a tree.
struct Entry {
    path: String,
    blob: String,
}

/// The files in the folder of pipelines; not those in folders within.
fn entries(dir: &Path, sha: &str) -> Result<Vec<Entry>, GitError> {
    let folder = format!("{PIPELINES}/");
    let listed = git(dir, &["ls-tree", "-z", "-l", "--full-tree", sha, "--", &folder])?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let lines = listed.split('\0').filter(|line| !line.is_empty());
    let entries = lines.filter_map(|line| entry(dir, line).transpose()).collect::<Result<Vec<_>, _>>()?;
    if entries.len() > MOST_FILES {
        return Err(refused(dir, &folder, format!("has {} files; at most {MOST_FILES} are read", entries.len())));
    }
    Ok(entries)
}

/// `100644 blob 0123abcd    4711<TAB>pipelines/web.yaml`; none for a folder.
fn entry(dir: &Path, line: &str) -> Result<Option<Entry>, GitError> {
    let (facts, path) = line.split_once('\t').unwrap_or((line, ""));
    let mut facts = facts.split_ascii_whitespace();
    let (mode, kind, blob) = (facts.next(), facts.next(), facts.next().unwrap_or_default());
    if kind != Some("blob") {
        return Ok(None);
    }
    if mode == Some("120000") {
        return Err(refused(dir, path, "is a symbolic link: write the file itself".to_owned()));
    }
    let size: u64 = facts.next().and_then(|size| size.parse().ok()).unwrap_or(u64::MAX);
    if size > LONGEST_FILE {
        return Err(refused(dir, path, format!("has {size} bytes; at most {LONGEST_FILE} are read")));
    }
    Ok(Some(Entry { path: path.to_owned(), blob: blob.to_owned() }))
}

fn read(dir: &Path, entry: Entry) -> Result<File, GitError> {
    Ok(File { bytes: git(dir, &["cat-file", "blob", &entry.blob])?, path: entry.path })
}

fn refused(dir: &Path, path: &str, what: String) -> GitError {
    GitError::File { dir: dir.to_owned(), path: path.chars().take(200).collect(), what }
}

fn git(dir: &Path, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
    let output = output(dir, arguments)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(GitError::Refused { dir: dir.to_owned(), stderr })
}

/// The repository is the folder that was named, and none around it.
fn output(dir: &Path, arguments: &[&str]) -> Result<Output, GitError> {
    let mut git = base(dir);
    git.env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir));
    git.args(arguments).output().map_err(GitError::NoGit)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    fn run(dir: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let done = Command::new("git").arg("-C").arg(dir).args(identity).args(arguments).status().expect("git");
        assert!(done.success(), "{arguments:?}");
    }

    /// A repository with this file, and a pipeline beside it.
    fn repository(make: impl FnOnce(&Path)) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::create_dir_all(dir.path().join("pipelines/folder")).expect("folders");
        fs::write(dir.path().join("pipelines/web.yaml"), "web").expect("written");
        fs::write(dir.path().join("pipelines/folder/deep.yaml"), "deep").expect("written");
        fs::write(dir.path().join("other.yaml"), "other").expect("written");
        make(&dir.path().join("pipelines/x.yaml"));
        run(dir.path(), &["init", "-q", "-b", "main"]);
        run(dir.path(), &["add", "-A"]);
        run(dir.path(), &["commit", "-qm", "first"]);
        dir
    }

    fn refusal(dir: &Path, branch: &str) -> String {
        newest(dir, branch, None).err().expect("refused").to_string()
    }

    #[test]
    fn the_files_of_the_newest_commit_are_read_once() {
        let dir = repository(|x| fs::write(x, "x\n\u{e4}").expect("written"));
        let commit = newest(dir.path(), "main", None).expect("read").expect("a commit");
        let files: Vec<_> = commit.files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice())).collect();
        assert_eq!(files, [("pipelines/web.yaml", &b"web"[..]), ("pipelines/x.yaml", "x\n\u{e4}".as_bytes())]);
        assert!(newest(dir.path(), "main", Some(&commit.sha)).expect("looked at").is_none());
    }

    #[test]
    fn no_file_of_the_server_is_read_and_none_without_measure() {
        let link = repository(|x| std::os::unix::fs::symlink("/etc/shadow", x).expect("linked"));
        assert!(refusal(link.path(), "main").contains("pipelines/x.yaml is a symbolic link"));
        let large = repository(|x| fs::write(x, "x".repeat(1_048_577)).expect("written"));
        assert!(refusal(large.path(), "main").contains("has 1048577 bytes; at most 1048576"));
    }

    #[test]
    fn what_is_no_repository_is_told_and_none_around_it_is_taken() {
        let dir = repository(|_| ());
        assert!(refusal(dir.path(), "prod").contains("has no branch `prod`"));
        assert!(refusal(&dir.path().join("pipelines"), "main").contains("not a git repository"));
        assert!(refusal(Path::new("/nowhere"), "main").contains("/nowhere"));
    }
}
