//! Builds a container's root directory and moves into it.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags};

use super::tree::{self, Tree};
use super::{clone_tree, dev, proc};
use crate::error::{Doing, SandboxError};
use crate::ids::Ids;
use crate::plan::{Access, Bind, ContainerPlan, Root};
use crate::sys::{self, MountLimits};

/// What is taken from outside, opened with the caller's id, since a tenant's id cannot walk to it.
pub struct Sources {
    binds: Vec<(PathBuf, OwnedFd)>,
    layers: Option<[OwnedFd; 3]>,
    devices: Vec<(PathBuf, OwnedFd)>,
    processors: Option<OwnedFd>,
    /// Any directory, to attach the new root to until it becomes the root.
    anchor: OwnedFd,
}

impl Sources {
    /// Opens everything the plan names.
    pub fn open(plan: &ContainerPlan) -> Result<Self, SandboxError> {
        Ok(Self {
            binds: plan.binds.iter().map(open_bind).collect::<Result<_, _>>()?,
            layers: open_layers(&plan.root)?,
            devices: dev::open()?,
            processors: clone_tree(Path::new(PROCESSORS)).ok(),
            anchor: open_path(Path::new("/tmp")).or_else(|_| open_path(Path::new("/")))?,
        })
    }
}

/// Language runtimes count processors here; nothing else of `/sys` is given.
const PROCESSORS: &str = "/sys/devices/system/cpu";

fn open_path(path: &Path) -> Result<OwnedFd, SandboxError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing(|| format!("open {}", path.display()))
}

fn open_layers(root: &Root) -> Result<Option<[OwnedFd; 3]>, SandboxError> {
    let Root::Overlay { lower, upper, work } = root else { return Ok(None) };
    Ok(Some([open_path(lower)?, open_path(upper)?, open_path(work)?]))
}

/// A copy of what is mounted at the source of a bind, with the limits that it has in a container.
pub fn open_bind(bind: &Bind) -> Result<(PathBuf, OwnedFd), SandboxError> {
    let said = || format!("mount {} into the container", bind.source.display());
    let tree = clone_tree(&bind.source).doing(said)?;
    let limits = match bind.access {
        Access::ReadOnly => MountLimits { read_only: true, no_devices: true, no_exec: false },
        Access::ReadWrite => MountLimits { read_only: false, no_devices: true, no_exec: false },
        Access::Masked => MountLimits { read_only: true, no_devices: false, no_exec: true },
    };
    sys::limit_mounts(&tree, limits).doing(said)?;
    Ok((bind.target.clone(), tree))
}

/// Builds the root from the plan and makes it this process's root.
pub fn build(plan: &ContainerPlan, sources: Sources, ids: &Ids) -> Result<(), SandboxError> {
    let root = new_root(&sources)?;
    tree::attach(&root, &sources.anchor).doing(|| "attach the container's root")?;
    let tree = Tree(&root);
    for node in &plan.nodes {
        tree.make(node).doing(|| format!("make {node:?} in the container"))?;
    }
    proc::mount(&tree, plan.pids)?;
    dev::mount(&tree, sources.devices, ids)?;
    fresh(&tree, "/run", &[("mode", "0755")])?;
    fresh(&tree, "/danube", &[("mode", "0755")])?;
    if let Some(processors) = sources.processors {
        sys::limit_mounts(&processors, MountLimits { read_only: true, no_devices: true, no_exec: true })
            .and_then(|()| Ok(tree.attach(&processors, Path::new(PROCESSORS))?))
            .doing(|| "show the processors to the container")?;
    }
    for (target, mount) in &sources.binds {
        tree.attach(mount, target).doing(|| format!("mount {} in the container", target.display()))?;
    }
    proc::forbid_namespaces();
    proc::cover(&tree)?;
    pivot(&root).doing(|| "enter the container's root")
}

fn new_root(sources: &Sources) -> Result<OwnedFd, SandboxError> {
    let Some(layers) = &sources.layers else {
        return mount("tmpfs", &[("mode", "0755".into())]).doing(|| "make the container's root");
    };
    let [lower, upper, work] = layers.each_ref().map(|fd| OsString::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
    let options = [("lowerdir", lower), ("upperdir", upper), ("workdir", work)];
    overlay(&options).map_err(|errno| {
        SandboxError::Machine(format!(
            "cannot lay a writable layer over the image ({errno}): the kernel must allow overlay in user namespaces \
             (5.11 or later), on a file system with extended attributes; `danube doctor` tells"
        ))
    })
}

/// Tries whether an overlay can be mounted in this user namespace. Covers `/tmp` of this mount namespace.
pub fn try_overlay() -> Result<(), Errno> {
    let space = mount("tmpfs", &[])?;
    tree::attach(&space, &rustix::fs::open("/tmp", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)?;
    let make = |name: &str| {
        rustix::fs::mkdirat(&space, name, Mode::RWXU)?;
        rustix::fs::openat(&space, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
    };
    let dirs = [make("lower")?, make("upper")?, make("work")?];
    let [lower, upper, work] = dirs.each_ref().map(|fd| OsString::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
    overlay(&[("lowerdir", lower), ("upperdir", upper), ("workdir", work)]).map(drop)
}

fn overlay(options: &[(&str, OsString)]) -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&fs, *key, value.as_os_str())?;
    }
    rustix::mount::fsconfig_set_flag(&fs, "userxattr")?;
    finish(&fs, MountAttrFlags::MOUNT_ATTR_NODEV)
}

/// A new file system, attached nowhere yet; never with devices or set-user-id.
pub fn mount(kind: &str, options: &[(&str, OsString)]) -> Result<OwnedFd, Errno> {
    made(kind, options, MountAttrFlags::MOUNT_ATTR_NODEV)
}

/// New pseudo-terminals: these are devices, and nothing else can be on such a file system.
pub fn terminals(options: &[(&str, OsString)]) -> Result<OwnedFd, Errno> {
    made("devpts", options, MountAttrFlags::MOUNT_ATTR_NOEXEC)
}

fn made(kind: &str, options: &[(&str, OsString)], attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(&fs, *key)?;
        } else {
            rustix::mount::fsconfig_set_string(&fs, *key, value.as_os_str())?;
        }
    }
    finish(&fs, attributes)
}

fn finish(fs: &OwnedFd, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    rustix::mount::fsconfig_create(fs)?;
    rustix::mount::fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOSUID | attributes)
}

/// An empty directory in memory.
pub fn fresh(tree: &Tree<'_>, path: &str, options: &[(&str, &str)]) -> Result<(), SandboxError> {
    let options: Vec<_> = options.iter().map(|(key, value)| (*key, OsString::from(value))).collect();
    let attached = mount("tmpfs", &options).and_then(|mount| tree.attach(&mount, Path::new(path)));
    attached.doing(|| format!("make {path} in the container"))
}

/// Stacks the new root over the old one and takes the old one away from below: no directory need be left for it.
fn pivot(root: &OwnedFd) -> Result<(), Errno> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}
