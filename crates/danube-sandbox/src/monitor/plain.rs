//! `--isolation none`: containers that are plain processes of the caller, on a machine without user namespaces. The
//! shim serves its steps as everywhere; only what keeps them away from the machine is missing.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::{Command, Stdio};

use danube_core::runtime::{ContainerSpec, Role, shim_env};
use rustix::process::WaitOptions;

use super::cgroups::Cgroup;
use super::container::{Openings, Process};
use super::serve::Group;
use crate::error::{Doing, SandboxError};
use crate::group::processes;
use crate::sys;

/// What the shim calls its folders here (docs/shim.md).
const WORKSPACE: &str = "DANUBE_SHIM_WORKSPACE";
const DANUBE: &str = "DANUBE_SHIM_DANUBE";
const PRIVATE: &str = "DANUBE_SHIM_PRIVATE";
/// Where the SDK's runner finds the danubefile.
const SOURCE: &str = "DANUBE_SOURCE";
/// What steps get of the caller's environment: nothing that is known to hold secrets.
const PASSED: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR"];

/// Starts a container's shim as a child of this process.
pub fn start(
    group: &Group,
    spec: &ContainerSpec,
    openings: &Openings,
    cgroup: Option<&Cgroup>,
) -> Result<Process, SandboxError> {
    let said = || format!("start the shim of {}", spec.name);
    let folder = group.folder.container(&spec.name);
    for dir in [folder.danube(), folder.private()] {
        std::fs::create_dir_all(dir).doing(said)?;
    }
    let oom = cgroup.and_then(Cgroup::oom_counter);
    let mut command = Command::new(&group.assignment.config.shim);
    command.env_clear().envs(inherited_env()).envs(tools(group)).envs(env(group, spec));
    let named = [
        (shim_env::LISTEN_FD, Some(&openings.listen)),
        (shim_env::SPOOL_FD, Some(&openings.spool)),
        (shim_env::OOM_FD, oom.as_ref()),
    ];
    let named: Vec<(&str, BorrowedFd<'_>)> =
        named.into_iter().filter_map(|(name, fd)| Some((name, fd?.as_fd()))).collect();
    command.envs(named.iter().map(|(name, fd)| (name, fd.as_raw_fd().to_string())));
    let log = || openings.log.try_clone().map(Stdio::from);
    command
        .current_dir(group.folder.workspace())
        .stdin(Stdio::null())
        .stdout(log().doing(said)?)
        .stderr(log().doing(said)?);
    let fds: Vec<_> = named.iter().map(|(_, fd)| *fd).collect();
    let pid = sys::spawn_tied(&mut command, &fds, group.ground.open_files).doing(said)?;
    if let Some(cgroup) = cgroup {
        cgroup.add(pid).doing(|| format!("limit {}", spec.name))?;
    }
    Process::of(pid)
}

/// The shim's own variables, and what its steps are told.
fn env(group: &Group, spec: &ContainerSpec) -> Vec<(&'static str, OsString)> {
    let (folder, assigned) = (group.folder.container(&spec.name), &group.assignment.spec);
    let is_coordinator = spec.role == Role::Coordinator;
    let mut env: Vec<(&str, OsString)> = vec![
        (shim_env::ROLE, spec.role.as_str().into()),
        (shim_env::NONCE, assigned.nonce.clone().into()),
        (shim_env::ORPHAN_GRACE, assigned.orphan_grace.as_secs().to_string().into()),
        (WORKSPACE, group.folder.workspace().into()),
        (DANUBE, folder.danube().into()),
        (PRIVATE, folder.private().into()),
        (processes::MARKER, group.folder.path().into()),
    ];
    if is_coordinator {
        env.push((shim_env::MAILBOX, folder.danube().join("mailbox.sock").into()));
        env.push((shim_env::OUTBOX, folder.danube().join("outbox").into()));
        env.push((SOURCE, group.folder.source().into()));
    }
    env
}

fn inherited_env() -> impl Iterator<Item = (OsString, OsString)> {
    let passed =
        std::env::vars_os().filter(|(name, value)| is_passed(&name.to_string_lossy(), &value.to_string_lossy()));
    [("LANG".into(), "C.UTF-8".into())].into_iter().chain(passed)
}

/// A proxy's address may hold a password, and then steps do without.
fn is_passed(name: &str, value: &str) -> bool {
    PASSED.contains(&name) || name.to_ascii_lowercase().ends_with("_proxy") && !value.contains('@')
}

fn tools(group: &Group) -> impl Iterator<Item = (&str, &str)> {
    group.assignment.config.tools.env.iter().filter_map(|pair| pair.split_once('='))
}

/// Makes the orphans of a shim that is killed this process's children, so that [`end_orphans`] finds them.
pub fn adopt_orphans() -> Result<(), SandboxError> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).doing(|| "adopt orphans")
}

/// Kills whatever descends from this process, once its last container has ended.
pub fn end_orphans() {
    let left = || {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        processes::descendants(rustix::process::getpid())
    };
    if !processes::end(left) {
        eprintln!("monitor: processes of the job cannot be killed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_get_no_secrets_of_the_callers_environment() {
        for (name, value) in
            [("AWS_SECRET_ACCESS_KEY", "x"), ("https_proxy", "http://me:word@proxy"), ("DANUBE_IMAGE_X", "1")]
        {
            assert!(!is_passed(name, value), "{name}");
        }
        assert!(is_passed("PATH", "/bin") && is_passed("HTTPS_PROXY", "http://proxy:3128"));
    }
}
