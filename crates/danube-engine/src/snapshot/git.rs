//! What is asked of the `git` program, and the copy of a checkout's own folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{OBJECTS, SnapshotError};

/// A Git checkout that holds the danubefile's folder.
#[derive(Debug)]
pub struct Checkout {
    /// The danubefile's folder.
    dir: PathBuf,
    /// The danubefile's folder below the top of the checkout, with a slash at its end; empty at the top.
    prefix: String,
    /// This work tree's own part of Git's folder (HEAD, index).
    git_dir: PathBuf,
    /// The part shared by all work trees (refs, objects, config).
    common_dir: PathBuf,
    /// The commit that is checked out; none in a new repository.
    pub commit: Option<String>,
    /// The branch that is checked out; none when HEAD is detached.
    pub branch: Option<String>,
    /// The commit is taken as it is, whatever this work tree and its index have.
    elsewhere: bool,
}

/// Characters of a title that are kept.
const LONGEST_TITLE: usize = 200;

impl Checkout {
    /// Looks for a checkout around `dir`.
    pub fn find(dir: &Path) -> Result<Option<Self>, SnapshotError> {
        // One question for all: where there is no commit yet, the last answer is missing and the others are not.
        let asked = ["rev-parse", "--show-prefix", "--absolute-git-dir", "--git-common-dir", "HEAD^{commit}"];
        let output = git(dir, &asked)?;
        let mut lines = output.stdout.split(|byte| *byte == b'\n').map(|line| Path::new(OsStr::from_bytes(line)));
        let (Some(prefix), Some(git_dir), Some(common)) = (lines.next(), lines.next(), lines.next()) else {
            let stderr = words(&output.stderr);
            // "dubious ownership" must be said; everything else means that this is no checkout.
            return if stderr.contains("ownership") { Err(failed(dir, "rev-parse", stderr)) } else { Ok(None) };
        };
        let (git_dir, common_dir) = (git_dir.to_owned(), dir.join(common));
        let prefix = prefix.to_string_lossy().into_owned();
        let branch = branch(&git_dir);
        let commit = lines.next().filter(|_| output.status.success());
        let commit = commit.map(|commit| commit.to_string_lossy().into_owned()).filter(|commit| !commit.is_empty());
        Ok(Some(Self { dir: dir.to_owned(), prefix, git_dir, common_dir, commit, branch, elsewhere: false }))
    }

    /// Whether the folder is the top of the checkout: the `.git` of an enclosing one describes more than a copy holds.
    pub fn is_whole(&self) -> bool {
        self.prefix.is_empty()
    }

    /// Where refs, objects and configuration are.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// The checkout as if this branch, tag or commit were checked out.
    pub fn at(self, reference: &str) -> Result<Self, SnapshotError> {
        if reference == "HEAD" {
            // Its index may hold what is in no commit, and a bare repository has none.
            return Ok(Self { elsewhere: true, ..self });
        }
        let commit = resolve(&self.dir, reference)?;
        let commit = commit
            .ok_or_else(|| SnapshotError::NoReference { dir: self.dir.clone(), reference: reference.to_owned() })?;
        let is_branch = resolve(&self.dir, &format!("refs/heads/{reference}"))?.is_some();
        let branch = is_branch.then(|| reference.to_owned());
        Ok(Self { commit: Some(commit), branch, elsewhere: true, ..self })
    }

    /// One file of the commit.
    pub fn show(&self, path: &Path) -> Result<Vec<u8>, SnapshotError> {
        let commit = self.commit.as_ref().ok_or_else(|| SnapshotError::NoCommit(self.dir.clone()))?;
        let blob = format!("{commit}:{}{}", self.prefix, path.display());
        checked(&self.dir, "show", git(&self.dir, &["cat-file", "blob", &blob])?)
    }

    /// Tracked and untracked-but-not-ignored files below the folder, submodules included.
    pub fn files(&self) -> Result<Vec<PathBuf>, SnapshotError> {
        let mut files = Vec::new();
        let mut pending = vec![PathBuf::new()];
        while let Some(folder) = pending.pop() {
            for path in list(&self.dir.join(&folder))? {
                let path = folder.join(path);
                // Git names a submodule, and an untracked checkout within, by its folder.
                if fs::symlink_metadata(self.dir.join(&path)).is_ok_and(|meta| meta.is_dir()) {
                    pending.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files.sort_unstable();
        files.dedup();
        Ok(files)
    }

    /// Whether anything differs from the commit.
    pub fn is_dirty(&self) -> Result<bool, SnapshotError> {
        let output = git(&self.dir, &["--no-optional-locks", "status", "--porcelain", "-z", "--", "."])?;
        Ok(self.commit.is_none() || !checked(&self.dir, "status", output)?.is_empty())
    }

    /// Writes the commit's tree into `to`.
    pub fn export(&self, to: &Path) -> Result<(), SnapshotError> {
        let commit = self.commit.as_ref().ok_or_else(|| SnapshotError::NoCommit(self.dir.clone()))?;
        let index = to.join(".danube-index");
        let tree = format!("{commit}:{}", self.prefix);
        for command in [["read-tree", tree.as_str()], ["checkout-index", "--all"]] {
            let mut git = base(to);
            git.arg("--git-dir").arg(&self.git_dir).args(["--work-tree", "."]).args(command);
            let output = git.env("GIT_INDEX_FILE", &index).output().map_err(SnapshotError::NoGit)?;
            checked(&self.dir, command[0], output)?;
        }
        let _ = fs::remove_file(index);
        Ok(())
    }

    /// Gives the copy a `.git` of its own that borrows the objects: refs, HEAD and index are copied, the configuration
    /// is written anew without credentials, filters or hooks. Gives the object store to mount; a store made under a
    /// strict umask is copied instead, since the job's ids could not read it.
    pub fn recreate(&self, workspace: &Path) -> Result<Option<PathBuf>, SnapshotError> {
        if !self.is_whole() {
            return Ok(None);
        }
        let to = workspace.join(".git");
        let failed = |source| SnapshotError::Copy { path: to.clone(), source };
        fs::create_dir_all(to.join("objects/info")).map_err(failed)?;
        fs::create_dir_all(to.join("refs")).map_err(failed)?;
        self.check_out(&to)?;
        copy_if_there(&self.common_dir.join("packed-refs"), &to.join("packed-refs")).map_err(failed)?;
        copy_if_there(&self.common_dir.join("shallow"), &to.join("shallow")).map_err(failed)?;
        for folder in ["refs", "reftable"] {
            copy_tree(&self.common_dir.join(folder), &to.join(folder)).map_err(failed)?;
        }
        let config = fs::read(self.common_dir.join("config")).map_err(failed)?;
        fs::write(to.join("config"), harmless_config(&String::from_utf8_lossy(&config))).map_err(failed)?;
        let objects = self.common_dir.join("objects");
        if !all_may_read(&objects).map_err(failed)? {
            copy_tree(&objects, &to.join("objects")).map_err(failed)?;
            return Ok(None);
        }
        fs::write(to.join("objects/info/alternates"), format!("{OBJECTS}\n")).map_err(failed)?;
        Ok(Some(objects))
    }
}

impl Checkout {
    /// Writes what says which commit the copy is of.
    fn check_out(&self, to: &Path) -> Result<(), SnapshotError> {
        let failed = |source| SnapshotError::Copy { path: to.to_owned(), source };
        if !self.elsewhere {
            return ["HEAD", "index"]
                .iter()
                .try_for_each(|name| copy_if_there(&self.git_dir.join(name), &to.join(name)))
                .map_err(failed);
        }
        let commit = self.commit.as_deref().unwrap_or_default();
        let head = self.branch.as_ref().map_or_else(|| commit.to_owned(), |branch| format!("ref: refs/heads/{branch}"));
        fs::write(to.join("HEAD"), format!("{head}\n")).map_err(failed)?;
        let mut git = base(&self.dir);
        let output = git.args(["read-tree", commit]).env("GIT_INDEX_FILE", to.join("index")).output();
        checked(&self.dir, "read-tree", output.map_err(SnapshotError::NoGit)?).map(drop)
    }
}

/// Keeps what describes the repository's format and where it came from; drops all that could run or tell anything.
pub fn harmless_config(config: &str) -> String {
    let mut out = String::new();
    let mut section = String::new();
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.to_ascii_lowercase();
            if section.starts_with("[extensions") || section.starts_with("[core") || section.starts_with("[remote ") {
                out.push_str(line);
                out.push('\n');
            }
            continue;
        }
        let (key, value) = line.split_once('=').map_or((line, ""), |(key, value)| (key.trim(), value.trim()));
        let key_lower = key.to_ascii_lowercase();
        let kept = match section.as_str() {
            "[core]" => ["repositoryformatversion", "filemode", "ignorecase", "symlinks"].contains(&key_lower.as_str()),
            "[extensions]" => ["objectformat", "refstorage"].contains(&key_lower.as_str()),
            _ if section.starts_with("[remote ") => key_lower == "url" || key_lower == "fetch",
            _ => false,
        };
        if kept {
            let value = if key_lower == "url" { without_credentials(value) } else { value.to_owned() };
            out.push_str(&format!("\t{key} = {value}\n"));
        }
    }
    out
}

/// `https://user:token@host/x` becomes `https://host/x`; `git@host:x` stays.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

fn branch(git_dir: &Path) -> Option<String> {
    let head = fs::read_to_string(git_dir.join("HEAD")).ok()?;
    head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned)
}

/// The commit that a name leads to.
fn resolve(dir: &Path, name: &str) -> Result<Option<String>, SnapshotError> {
    let name = format!("{name}^{{commit}}");
    let output = git(dir, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name])?;
    let id = words(&output.stdout);
    Ok((output.status.success() && !id.is_empty()).then_some(id))
}

/// The first line of a commit's message.
pub fn title(dir: &Path, commit: &str) -> Result<Option<String>, SnapshotError> {
    let output = git(dir, &["log", "-1", "--no-show-signature", "--format=%s", "--end-of-options", commit, "--"])?;
    let title: String = words(&output.stdout).chars().take(LONGEST_TITLE).collect();
    Ok((output.status.success() && !title.is_empty()).then_some(title))
}

/// What `to` has and `from` has not: id and first line of each commit.
pub fn commits_between(dir: &Path, from: &str, to: &str) -> Result<Vec<(String, String)>, SnapshotError> {
    let (not, format) = (format!("^{from}"), "--format=%H %s");
    let arguments = ["log", "--no-show-signature", "--max-count=100", format, "--end-of-options", to, &not, "--"];
    let listed = checked(dir, "log", git(dir, &arguments)?)?;
    let line = |line: &str| {
        let (id, title) = line.split_once(' ').unwrap_or((line, ""));
        (id.to_owned(), title.chars().take(LONGEST_TITLE).collect())
    };
    Ok(String::from_utf8_lossy(&listed).lines().map(line).collect())
}

/// How a file changed. Programs that a repository names for showing files are not started.
pub fn diff(dir: &Path, from: &str, to: &str, file: &Path) -> Result<String, SnapshotError> {
    let mut git = base(dir);
    git.args(["diff", "--no-ext-diff", "--no-textconv", "--no-color", "--end-of-options", from, to, "--"]).arg(file);
    let text = checked(dir, "diff", git.output().map_err(SnapshotError::NoGit)?)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let output = git(dir, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let names = checked(dir, "ls-files", output)?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(std::ffi::OsString::from_vec(name.to_vec()))).collect())
}

/// Git with everything off by which a repository's own configuration could start programs.
pub fn base(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
    git.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").stdin(Stdio::null());
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        git.env_remove(name);
    }
    git
}

fn git(dir: &Path, arguments: &[&str]) -> Result<Output, SnapshotError> {
    base(dir).args(arguments).output().map_err(SnapshotError::NoGit)
}

pub fn checked(dir: &Path, command: &str, output: Output) -> Result<Vec<u8>, SnapshotError> {
    if output.status.success() { Ok(output.stdout) } else { Err(failed(dir, command, words(&output.stderr))) }
}

fn failed(dir: &Path, command: &str, stderr: String) -> SnapshotError {
    SnapshotError::Git { command: command.to_owned(), dir: dir.to_owned(), stderr }
}

pub fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn copy_if_there(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::copy(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            copy_if_there(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Whether everything in a folder can be read by every user who gets to the folder.
fn all_may_read(folder: &Path) -> std::io::Result<bool> {
    if fs::metadata(folder)?.mode() & 0o005 != 0o005 {
        return Ok(false);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let may = if meta.is_dir() { all_may_read(&entry.path())? } else { meta.mode() & 0o004 != 0 };
        if !may {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_configuration_has_no_credentials_and_starts_nothing() {
        let config = "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = /bin/evil\n\tsshCommand = evil\n\
            [remote \"origin\"]\n\turl = https://me:token@git.example/x.git\n\tfetch = +refs/*:refs/*\n\
            [http]\n\textraheader = AUTHORIZATION: basic Zm9v\n[filter \"x\"]\n\tsmudge = evil\n";
        let kept = "[core]\n\trepositoryformatversion = 0\n[remote \"origin\"]\n\turl = https://git.example/x.git\n\
            \tfetch = +refs/*:refs/*\n";
        assert_eq!(harmless_config(config), kept);
    }

    #[test]
    fn only_the_credentials_leave_a_url() {
        for (url, kept) in [
            ("https://a:b@h/x", "https://h/x"),
            ("https://h/x@y", "https://h/x@y"),
            ("git@h:x.git", "git@h:x.git"),
            ("/srv/x.git", "/srv/x.git"),
        ] {
            assert_eq!(without_credentials(url), kept);
        }
    }
}
