//! What is mounted into a container that stands already, before anything of its job runs in it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::thread::ThreadNameSpaceType;

use super::privileges;
use super::tree::Tree;
use crate::error::{Doing, SandboxError};
use crate::ids::Ids;

/// Enters the container of this process and attaches the mounts there. The caller is a copy made for it: it does not
/// come out again.
pub fn attach_in(container: impl AsFd, mounts: &[(PathBuf, OwnedFd)], ids: &Ids) -> Result<(), SandboxError> {
    let spaces = ThreadNameSpaceType::USER | ThreadNameSpaceType::MOUNT;
    rustix::thread::move_into_thread_name_spaces(container.as_fd(), spaces).doing(|| "enter a container")?;
    privileges::become_container_root(ids)?;
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.doing(|| "open a container's root")?;
    let attach = |path: &Path, mount: &OwnedFd| Tree(&root).attach(mount, path);
    mounts.iter().try_for_each(|(path, mount)| {
        attach(path, mount).doing(|| format!("mount {} in the container", path.display()))
    })
}
