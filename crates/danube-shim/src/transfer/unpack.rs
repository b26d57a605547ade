//! Unpacks a tar beneath a folder, entry by entry, as a checkout under umask 0002 would leave it. The `tar` crate
//! only reads headers here; every path is ours to resolve.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::place::{Owner, PlaceError, new_file};
use crate::roots;

/// Entries of one tree at most.
const ENTRIES: usize = 2_000_000;

/// Unpacks all of it.
pub fn unpack(folder: &OwnedFd, owner: &Owner, content: impl Read) -> Result<(), PlaceError> {
    let mut archive = Archive::new(content);
    for (count, entry) in archive.entries().map_err(PlaceError::Damaged)?.enumerate() {
        let mut entry = entry.map_err(PlaceError::Damaged)?;
        let path = entry.path().map_err(PlaceError::Damaged)?.into_owned();
        if count >= ENTRIES {
            return Err(refused(&path, "more than two million entries"));
        }
        unpack_one(folder, owner, &mut entry, &path)?;
    }
    Ok(())
}

fn refused(path: &Path, why: &'static str) -> PlaceError {
    PlaceError::Refused { path: path.to_string_lossy().into_owned(), why }
}

fn unpack_one(
    folder: &OwnedFd,
    owner: &Owner,
    entry: &mut Entry<'_, impl Read>,
    path: &Path,
) -> Result<(), PlaceError> {
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(()); // `git archive` puts the commit's id there.
    }
    let below = below(path)?;
    let at = || path.to_string_lossy().into_owned();
    if kind.is_dir() {
        let made = |folder: &OwnedFd| own_folder(folder, owner);
        return roots::open_folders(folder, &below, &made).map(drop).map_err(PlaceError::at(at()));
    }
    let made = |folder: &OwnedFd| own_folder(folder, owner);
    let (parent, name) = roots::open_parent(folder, &below, &made).map_err(PlaceError::at(at()))?;
    make_way(&parent, name).map_err(PlaceError::at(at()))?;
    match kind {
        EntryType::Regular | EntryType::Continuous => file(&parent, name, owner, entry).map_err(PlaceError::at(at())),
        EntryType::Symlink => symlink(&parent, name, owner, entry, path),
        EntryType::Link => hard_link(folder, &parent, name, entry, path),
        _ => Err(refused(path, "only files, folders and links are unpacked")),
    }
}

/// The path without `./`; anything that climbs or starts at the root is refused rather than mended.
fn below(path: &Path) -> Result<PathBuf, PlaceError> {
    let below: PathBuf = path.components().filter(|part| *part != std::path::Component::CurDir).collect();
    if roots::is_plain(&below) { Ok(below) } else { Err(refused(path, "the path leads outside")) }
}

/// Group as owner, and new files take the folder's group: every container of the job writes here.
fn own_folder(folder: &OwnedFd, owner: &Owner) {
    owner.give(folder);
    // Refused only where the folder is not ours, and then a step's own write will say so.
    let _ = rustix::fs::fchmod(folder, Mode::from_raw_mode(0o2775));
}

/// An older file goes; a folder in the way is an error.
fn make_way(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

fn file(parent: &OwnedFd, name: &OsStr, owner: &Owner, entry: &mut Entry<'_, impl Read>) -> std::io::Result<()> {
    let mode = entry.header().mode()? & 0o777 | 0o600;
    let modified = entry.header().mtime()?;
    let file = new_file(parent, name, mode | (mode & 0o700) >> 3, owner, entry)?;
    let at = Timespec::try_from(Duration::from_secs(modified)).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
    // Build tools compare times; a file system that refuses them only costs a rebuild.
    let _ = rustix::fs::futimens(&file, &Timestamps { last_access: at, last_modification: at });
    Ok(())
}

/// A link may point anywhere, as in Git: nothing here follows one.
fn symlink(
    parent: &OwnedFd,
    name: &OsStr,
    owner: &Owner,
    entry: &Entry<'_, impl Read>,
    path: &Path,
) -> Result<(), PlaceError> {
    let target = entry.link_name().map_err(PlaceError::Damaged)?.ok_or_else(|| refused(path, "a link to nothing"))?;
    let at = path.to_string_lossy();
    rustix::fs::symlinkat(target.as_ref(), parent, name).map_err(PlaceError::at(at))?;
    owner.give_link(parent, name);
    Ok(())
}

fn hard_link(
    folder: &OwnedFd,
    parent: &OwnedFd,
    name: &OsStr,
    entry: &Entry<'_, impl Read>,
    path: &Path,
) -> Result<(), PlaceError> {
    let target = entry.link_name().map_err(PlaceError::Damaged)?.ok_or_else(|| refused(path, "a link to nothing"))?;
    let target = below(&target)?;
    let (from, last) = target.parent().zip(target.file_name()).ok_or_else(|| refused(path, "a link to a folder"))?;
    let at = || path.to_string_lossy().into_owned();
    let from = roots::open_beneath(folder, from, OFlags::DIRECTORY | OFlags::PATH).map_err(PlaceError::at(at()))?;
    rustix::fs::linkat(&from, last, parent, name, AtFlags::empty()).map_err(PlaceError::at(at()))
}
