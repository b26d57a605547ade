//! Gives files that the engine made to the containers' user. Works by descriptor, follows no link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::{Doing, SandboxError};
use crate::keeper::wire::Own;

/// Directories pass their group on and the group may write, so that containers of several images share a workspace.
const SHARED_DIR: u32 = 0o2070;
const SHARED_FILE: u32 = 0o060;

/// Gives the path, and everything beneath it if asked, to `owner` (ids as the keeper calls them).
pub fn give(own: &Own, owner: (u32, u32)) -> Result<(), SandboxError> {
    let said = || format!("give {} to the job's user", own.path.display());
    let top = open(rustix::fs::CWD, &own.path, OFlags::empty()).doing(said)?;
    give_one(&top, owner).doing(said)?;
    rustix::fs::fchmod(&top, Mode::from_raw_mode(own.mode)).doing(said)?;
    if own.recursive {
        give_beneath(&top, owner).doing(said)?;
    }
    Ok(())
}

fn open(at: impl AsFd, path: impl rustix::path::Arg, extra: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(at, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra, Mode::empty())
}

fn give_one(file: &OwnedFd, (user, group): (u32, u32)) -> Result<(), Errno> {
    rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
}

/// Walks with one open directory per level: a tree made by Git has no more levels than a path has bytes.
fn give_beneath(top: &OwnedFd, owner: (u32, u32)) -> Result<(), Errno> {
    let mut levels = vec![Dir::read_from(top)?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.read() else {
            levels.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if let Some(child) = give_entry(level.fd()?, name, owner)? {
            levels.push(Dir::new(child)?);
        }
    }
    Ok(())
}

/// Gives one entry away; a directory is returned for the walk.
fn give_entry(at: BorrowedFd<'_>, name: &std::ffi::CStr, owner: (u32, u32)) -> Result<Option<OwnedFd>, Errno> {
    let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::RegularFile && stat.st_nlink > 1 {
        // Another name of this file may be the user's own: it keeps its owner.
        return Ok(None);
    }
    let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    rustix::fs::chownat(at, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    match kind {
        FileType::Directory => {
            let child = open(at, name, OFlags::DIRECTORY)?;
            rustix::fs::fchmod(&child, widened(&stat, SHARED_DIR))?;
            Ok(Some(child))
        }
        FileType::RegularFile => {
            rustix::fs::chmodat(at, name, widened(&stat, SHARED_FILE), AtFlags::empty())?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// The old permissions and these; what the owner may execute the group may too.
fn widened(stat: &Stat, more: u32) -> Mode {
    let old = stat.st_mode & 0o777;
    Mode::from_raw_mode(old | more | ((old & 0o100) >> 3))
}
