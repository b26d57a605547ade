//! A container's `/dev`: the harmless devices, a terminal namespace of its own, shared memory. No disk, no
//! `/dev/kmsg`, no `/dev/fuse`, no `/dev/kvm`.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::clone_tree;
use super::root::fresh;
use super::tree::Tree;
use crate::error::{Doing, SandboxError};
use crate::ids::Ids;
use crate::plan::Node;

const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];
/// The group `tty`, where there is a range of ids.
const TTY_GROUP: &str = "5";

/// The host's devices: nobody in a user namespace can make their own.
pub fn open() -> Result<Vec<(PathBuf, OwnedFd)>, SandboxError> {
    let open = |path: &&str| Ok((PathBuf::from(path), clone_tree(Path::new(path)).doing(|| format!("open {path}"))?));
    DEVICES.iter().map(open).collect()
}

/// Makes `/dev` in the root.
pub fn mount_dev(tree: &Tree<'_>, devices: &[(PathBuf, OwnedFd)]) -> Result<(), SandboxError> {
    fresh(tree, "/dev", &[("mode", "0755"), ("size", "1m")])?;
    for (path, device) in devices {
        tree.attach(device, path).doing(|| format!("make {} in the container", path.display()))?;
    }
    for (path, target) in LINKS {
        tree.make(&Node::Link(path.into(), target.into())).doing(|| format!("make {path} in the container"))?;
    }
    fresh(tree, "/dev/shm", &[("mode", "1777")])
}

/// Makes `/dev` with its pseudo-terminals.
pub fn mount(tree: &Tree<'_>, devices: Vec<(PathBuf, OwnedFd)>, ids: &Ids) -> Result<(), SandboxError> {
    mount_dev(tree, &devices)?;
    let mut options =
        vec![("newinstance", OsString::new()), ("ptmxmode", OsString::from("0666")), ("mode", OsString::from("0620"))];
    if ids.has_range() {
        options.push(("gid", OsString::from(TTY_GROUP)));
    }
    let attached = super::root::terminals(&options).and_then(|pts| tree.attach(&pts, Path::new("/dev/pts")));
    attached.doing(|| "make /dev/pts in the container")
}
