//! A `.git` that needs nothing of this machine: a repository of its own with the commit, and as much of its history as is
//! wanted. For workspaces that travel.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use super::SnapshotError;
use super::git::{Checkout, base, checked, harmless_config};

/// Where the commit is kept that is on no branch.
const LOOSE: &str = "refs/danube/commit";
/// The repository is read by whoever was allowed to name it, and any commit of it may be asked for.
const UPLOAD_PACK: &str = "git -c uploadpack.allowAnySHA1InWant=true -c safe.directory=* upload-pack";

/// Gives a copy of the checkout a repository of its own with so many commits of history, or all of it; tags that name
/// one of them come along.
pub fn recreate(checkout: &Checkout, workspace: &Path, depth: Option<NonZeroU32>) -> Result<(), SnapshotError> {
    let Some(commit) = checkout.commit.as_deref().filter(|_| checkout.is_whole()) else { return Ok(()) };
    let format = format!("--object-format={}", if commit.len() == 64 { "sha256" } else { "sha1" });
    let branch = checkout.branch.as_ref().map(|branch| format!("--initial-branch={branch}"));
    run(workspace, &[&["init", "--quiet", "--template=", &format], branch.as_deref().as_slice()].concat())?;
    fetch(checkout, workspace, commit, depth)?;
    if branch.is_none() {
        run(workspace, &["update-ref", "--no-deref", "HEAD", commit])?;
    }
    remember_origin(checkout, workspace)?;
    run(workspace, &["read-tree", commit])
}

fn fetch(checkout: &Checkout, workspace: &Path, commit: &str, depth: Option<NonZeroU32>) -> Result<(), SnapshotError> {
    let from = checkout.common_dir().to_string_lossy();
    let to = checkout.branch.as_ref().map_or_else(
        || vec![format!("{commit}:{LOOSE}")],
        |branch| ["heads", "remotes/origin"].map(|kind| format!("{commit}:refs/{kind}/{branch}")).to_vec(),
    );
    let history = depth.map_or_else(|| "--update-shallow".to_owned(), |depth| format!("--depth={depth}"));
    // What Git would tidy up afterwards is thrown away with the job. The branch is the one that is checked out.
    let quiet = ["-c", "maintenance.auto=false", "-c", "gc.auto=0", "fetch", "--quiet", "--no-write-fetch-head"];
    let how = ["--update-head-ok", "--upload-pack", UPLOAD_PACK, &history, "--end-of-options", &from];
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    run(workspace, &[&quiet[..], &how[..], &to].concat())
}

/// Where the repository came from, without credentials.
fn remember_origin(checkout: &Checkout, workspace: &Path) -> Result<(), SnapshotError> {
    let config = workspace.join(".git/config");
    let failed = |source| SnapshotError::Copy { path: config.clone(), source };
    let theirs = fs::read(checkout.common_dir().join("config")).map_err(failed)?;
    let remotes = remotes(&harmless_config(&String::from_utf8_lossy(&theirs)));
    let own = fs::read_to_string(&config).map_err(failed)?;
    fs::write(&config, own + &remotes).map_err(failed)
}

/// The sections of a configuration that are about remotes.
fn remotes(config: &str) -> String {
    let mut kept = String::new();
    let mut is_kept = false;
    for line in config.lines() {
        if line.starts_with('[') {
            is_kept = line.to_ascii_lowercase().starts_with("[remote ");
        }
        if is_kept {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn run(workspace: &Path, arguments: &[&str]) -> Result<(), SnapshotError> {
    let command = arguments.iter().find(|word| !word.starts_with('-') && !word.contains('=')).copied();
    let output = base(workspace).args(arguments).output().map_err(SnapshotError::NoGit)?;
    checked(workspace, command.unwrap_or_default(), output).map(drop)
}
