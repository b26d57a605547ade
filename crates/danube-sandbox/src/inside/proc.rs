//! A container's `/proc`: its own processes, nothing of the host to read or to turn.

use std::ffi::OsString;
use std::path::Path;

use super::clone_tree;
use super::root;
use super::tree::Tree;
use crate::error::{Doing, SandboxError};
use crate::sys::{self, MountLimits};

use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

/// Covered: they tell of the host or of its memory.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/kallsyms",
    "/proc/kpagecount",
];
/// Readable only: they turn the host's knobs. `/proc/sys/net` would otherwise belong to the job's network.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// The kernel keeps the first 300 ids for itself once ids have been used up, and counts them into `pid_max`.
const RESERVED_PIDS: u32 = 300;

/// Mounts `/proc` for the container's process namespace and bounds its number of processes where the kernel can.
pub fn mount(tree: &Tree<'_>, pids: u32) -> Result<(), SandboxError> {
    let mounted = root::mount("proc", &[]).and_then(|proc| {
        tree.attach(&proc, Path::new("/proc"))?;
        if pid_max_is_per_namespace() {
            bound_pids(&proc, pids);
        }
        Ok(())
    });
    mounted.map_err(|errno| {
        SandboxError::Machine(format!(
            "cannot mount /proc for a container ({errno}): inside another container runtime that covers parts of \
             /proc the kernel forbids it; start that one with an unmasked /proc, or run on the host"
        ))
    })
}

/// Since Linux 6.14. Before, the file turned a knob of the whole machine.
#[must_use]
pub fn pid_max_is_per_namespace() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 14)
}

fn bound_pids(proc: impl std::os::fd::AsFd, pids: u32) {
    use rustix::fs::{Mode, OFlags};
    let text = pids.saturating_add(RESERVED_PIDS).to_string();
    let file = rustix::fs::openat(proc, "sys/kernel/pid_max", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    if let Err(error) = file.and_then(|file| rustix::io::write(file, text.as_bytes())) {
        eprintln!("the number of processes is not bounded by pid_max: {error}");
    }
}

/// No process in this container's user namespace may make another one. seccomp says the same; this holds without it.
pub fn forbid_namespaces() {
    if let Err(error) = std::fs::write("/proc/sys/user/max_user_namespaces", "0") {
        eprintln!("nested user namespaces are forbidden by seccomp only: {error}");
    }
}

/// Covers what must not be read and protects what must not be written.
pub fn cover(tree: &Tree<'_>) -> Result<(), SandboxError> {
    for path in MASKED {
        mask(tree, Path::new(path)).doing(|| format!("cover {path}"))?;
    }
    for path in READ_ONLY {
        protect(tree, Path::new(path)).doing(|| format!("protect {path}"))?;
    }
    Ok(())
}

fn mask(tree: &Tree<'_>, path: &Path) -> std::io::Result<()> {
    let at = match tree.find(path) {
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    let cover = if super::is_dir(&at)? {
        root::mount("tmpfs", &[("size", OsString::from("4k"))])?
    } else {
        clone_tree(Path::new("/dev/null"))?
    };
    sys::limit_mounts(&cover, MountLimits { read_only: true, no_devices: false, no_exec: true })?;
    Ok(super::tree::attach(&cover, &at)?)
}

fn protect(tree: &Tree<'_>, path: &Path) -> std::io::Result<()> {
    let at = match tree.find(path) {
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = rustix::mount::open_tree(&at, "", flags | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE)?;
    sys::limit_mounts(&copy, MountLimits { read_only: true, no_devices: true, no_exec: true })?;
    Ok(super::tree::attach(&copy, &at)?)
}
