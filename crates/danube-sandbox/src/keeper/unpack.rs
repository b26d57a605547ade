//! Unpacks an image in a process of its own, within the ids that containers have: the layers are opened with the
//! caller's id, everything after that is done as nobody but the image's own root.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, WaitOptions};

use super::wire::{self, Reply};
use super::{answer, socket_pair, write_maps};
use crate::error::{Doing, SandboxError};
use crate::ids::Ids;
use crate::images::{Limits, OpenImage, Ownership, ResolvedImage, unpack};
use crate::inside;
use crate::sys::{self, Fork};

/// Unpacks into an empty directory of the caller's. The new process answers the monitor itself when it succeeds.
pub fn run(channel: &OwnedFd, ids: &Ids, image: &ResolvedImage, root: &OwnedFd) -> Result<(), SandboxError> {
    let (user, group) = ids.in_keeper((0, 0));
    let (user, group) = (rustix::fs::Uid::from_raw(user), rustix::fs::Gid::from_raw(group));
    rustix::fs::fchown(root, Some(user), Some(group)).doing(|| "give the image's directory to its root")?;
    let (ours, theirs) = socket_pair()?;
    let keeper = rustix::process::getpid();
    match sys::fork(libc::CLONE_NEWUSER).doing(|| "make a process to unpack in")? {
        Fork::Child => {
            drop(ours);
            let done =
                unpack_as_root(channel, ids, image, root, &|| inside::become_root_when_told(ids, &theirs, keeper));
            let told = done.or_else(|error| answer(channel, &Reply::Failed(error.to_string())));
            sys::exit_now(i32::from(told.is_err()))
        }
        Fork::Parent(pid) => {
            drop(theirs);
            let mapped = write_maps(pid, &ids.inner((0, 0)));
            let go = mapped.and_then(|()| rustix::io::write(&ours, &[1]).doing(|| "let the image be unpacked"));
            drop(ours);
            wait(pid)?;
            go.map(drop)
        }
    }
}

fn wait(pid: Pid) -> Result<(), SandboxError> {
    let status = rustix::process::waitpid(Some(pid), WaitOptions::empty()).doing(|| "wait for the unpacking")?;
    match status.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        _ => Err(SandboxError::Image(
            "the process that unpacked the image was killed, perhaps for want of memory".into(),
        )),
    }
}

fn unpack_as_root(
    channel: &OwnedFd,
    ids: &Ids,
    image: &ResolvedImage,
    root: &OwnedFd,
    become_root: &dyn Fn() -> Result<(), SandboxError>,
) -> Result<(), SandboxError> {
    let words = |error: crate::images::ImageError| SandboxError::Image(error.to_string());
    let open = OpenImage::open(image).map_err(words)?;
    let limits = Limits::from_env().map_err(words)?;
    become_root()?;
    let ownership = ownership(ids);
    let mut progress = |done, total| {
        // A monitor that is gone ends this process anyway.
        let _ = wire::send(channel, &Reply::Progress { done, total }, &[]);
    };
    let unpacked = unpack(&open, root.as_fd(), ownership, &limits, &mut progress).map_err(words)?;
    answer(channel, &Reply::Unpacked(unpacked))
}

/// To whom unpacked files belong, by the group's ids.
#[must_use]
pub fn ownership(ids: &Ids) -> Ownership {
    if ids.has_range() { Ownership::Mapped } else { Ownership::Single }
}
