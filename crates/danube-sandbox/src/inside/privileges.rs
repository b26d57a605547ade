//! Which rights a container's processes keep.

use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

use crate::error::{Doing, SandboxError};
use crate::ids::Ids;

/// What the shim and steps as uid 0 may do, within the container's own ids: be each other's user, own, read and
/// signal each other's files and processes, give up rights. Nothing about mounts, devices, networks, other
/// processes' memory.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP);

/// Open files at once: what systemd gives services as the hard limit.
const OPEN_FILES: u64 = 524_288;
/// The customary soft limit: programs that use `select` break above it.
const OPEN_FILES_SOFT: u64 = 1024;

/// Becomes uid 0 of the container where there is a range of ids. With a single id the process already has it.
pub fn become_container_root(ids: &Ids) -> Result<(), SandboxError> {
    if !ids.has_range() {
        return Ok(());
    }
    let (user, group) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_groups(&[]).doing(|| "leave the caller's groups")?;
    rustix::thread::set_thread_res_gid(group, group, group).doing(|| "become the container's group 0")?;
    rustix::thread::set_thread_res_uid(user, user, user).doing(|| "become the container's user 0")
}

/// Gives up everything but the kept rights, for good.
pub fn give_up(ids: &Ids) -> Result<(), SandboxError> {
    let kept = if ids.has_range() { KEPT } else { CapabilitySet::empty() };
    rustix::thread::set_no_new_privs(true).doing(|| "set no_new_privs")?;
    limit_resources()?;
    rustix::thread::clear_ambient_capability_set().doing(|| "clear ambient capabilities")?;
    for number in 0..64 {
        let right = CapabilitySet::from_bits_retain(1 << number);
        if !kept.contains(right) && !drop_from_bounding(right)? {
            break;
        }
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).doing(|| "drop capabilities")
}

/// False when the kernel knows no such capability, and so none with a higher number.
fn drop_from_bounding(right: CapabilitySet) -> Result<bool, SandboxError> {
    match rustix::thread::remove_capability_from_bounding_set(right) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::INVAL) => Ok(false),
        Err(error) => Err(error).doing(|| "bound capabilities"),
    }
}

fn limit_resources() -> Result<(), SandboxError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none).doing(|| "forbid core files")?;
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    let files = Rlimit { current: Some(OPEN_FILES_SOFT.min(hard)), maximum: Some(hard) };
    rustix::process::setrlimit(Resource::Nofile, files).doing(|| "limit open files")
}
