//! Git in a project, as somebody with a name, whatever this machine's settings are.

use std::path::Path;
use std::process::Command;

use super::Project;

/// Runs git in the project; gives what it printed.
pub fn git(project: &Project, arguments: &[&str]) -> String {
    git_in(&project.dir(), arguments)
}

/// Runs git in a folder; gives what it printed.
pub fn git_in(dir: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(arguments);
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
    }
    let output = git.output().expect("git is there");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Makes the project a repository with one commit of all its files.
pub fn commit(project: &Project, message: &str) {
    git(project, &["init", "--quiet", "--initial-branch=trunk"]);
    git(project, &["add", "."]);
    git(project, &["commit", "--quiet", "--message", message]);
}
