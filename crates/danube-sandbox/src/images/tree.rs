//! The tree that an image is unpacked into, touched by descriptors only.
//!
//! No path of an image is ever given to the kernel whole: each component is opened from the directory before it
//! with `O_NOFOLLOW`. Links are followed here, by hand: an absolute one starts again at the tree's root, and `..`
//! at the root stays there. So whatever an image contains, nothing outside the tree is reached.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// A directory to be opened for walking only; needs no permission but search.
const WALK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A directory to be read or changed itself.
const READ: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a walk does with a component that is a link or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Links are followed within the tree; what is missing is made.
    Make,
    /// Links end the walk, and so does what is missing.
    Strict,
}

/// Why a walk did not arrive.
#[derive(Debug)]
pub(super) enum WalkError {
    /// A component is missing, or is no directory, or (strict) is a link.
    Nowhere(&'static str),
    /// It is deeper, or takes more steps, than allowed.
    TooDeep,
    /// The kernel refused.
    Io(io::Error),
}

impl From<Errno> for WalkError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// A tree, by the descriptor of its root.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    pub root: BorrowedFd<'a>,
    pub depth: usize,
}

/// Each link may multiply the components to walk; this bounds them all.
const MOST_STEPS: usize = 2048;
const MOST_LINKS: usize = 40;

/// The directories from the root (excluded) to the one arrived at.
#[derive(Default)]
pub(super) struct Arrival {
    above: Vec<OwnedFd>,
}

impl Arrival {
    /// The directory arrived at.
    pub fn directory<'s>(&'s self, tree: &Tree<'s>) -> BorrowedFd<'s> {
        self.above.last().map_or(tree.root, AsFd::as_fd)
    }
}

impl Tree<'_> {
    /// Walks to the directory of this path. `made` is told of every directory that had to be made.
    pub fn walk(
        &self,
        path: &[&[u8]],
        walk: Walk,
        mut made: impl FnMut(BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<Arrival, WalkError> {
        let mut arrival = Arrival::default();
        let mut ahead: Vec<Vec<u8>> = path.iter().rev().map(|part| part.to_vec()).collect();
        let mut links = 0;
        let mut steps = 0;
        while let Some(part) = ahead.pop() {
            steps += 1;
            if steps > MOST_STEPS || arrival.above.len() >= self.depth {
                return Err(WalkError::TooDeep);
            }
            let here = arrival.directory(self);
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    arrival.above.pop();
                    continue;
                }
                _ => {}
            }
            match fs::openat(here, part.as_slice(), WALK, Mode::empty()) {
                Ok(next) => arrival.above.push(next),
                Err(Errno::NOENT) if walk == Walk::Make => {
                    fs::mkdirat(here, part.as_slice(), Mode::RWXU)?;
                    let next = fs::openat(here, part.as_slice(), READ, Mode::empty())?;
                    made(next.as_fd()).map_err(WalkError::Io)?;
                    arrival.above.push(next);
                }
                Err(Errno::NOENT) => return Err(WalkError::Nowhere("a directory above it does not exist")),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    links += 1;
                    let target = link_target(here, &part, walk, links)?;
                    if target.starts_with(b"/") {
                        arrival.above.clear();
                    }
                    ahead.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(arrival)
    }
}

/// Where the link leads that stands in the way of a walk.
fn link_target(here: BorrowedFd<'_>, part: &[u8], walk: Walk, links: usize) -> Result<Vec<u8>, WalkError> {
    match fs::readlinkat(here, part, Vec::new()) {
        Ok(_) if walk == Walk::Strict => Err(WalkError::Nowhere("a directory above it is a symbolic link")),
        Ok(_) if links > MOST_LINKS => Err(WalkError::Nowhere("too many symbolic links lead to it")),
        Ok(target) => Ok(target.into_bytes()),
        Err(Errno::INVAL) => Err(WalkError::Nowhere("something above it is not a directory")),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens the named directory itself, never what a link of that name leads to.
pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    match fs::openat(parent, name, READ, Mode::empty()) {
        // A directory of ours that its owner may not read: give ourselves the right.
        Err(Errno::ACCESS) => {
            let held = fs::openat(parent, name, WALK, Mode::empty())?;
            fs::chmod(format!("/proc/self/fd/{}", held.as_raw_fd()), Mode::RWXU)?;
            Ok(fs::openat(parent, name, READ, Mode::empty())?)
        }
        opened => Ok(opened?),
    }
}

/// Removes a file, a link or a whole directory. Says whether there was one.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => return Ok(true),
        Err(Errno::NOENT) => return Ok(false),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let directory = open_directory(parent, name)?;
    clear(directory.as_fd())?;
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    Ok(true)
}

/// Removes everything within a directory, in batches, so that a directory of any size takes little memory.
pub(super) fn clear(directory: BorrowedFd<'_>) -> io::Result<()> {
    const BATCH: usize = 1024;
    // Files cannot be removed from a directory that its owner may not write to. Where this is not ours to
    // change, the removal itself will say so.
    let _ = fs::fchmod(directory, Mode::RWXU);
    loop {
        let mut names = Vec::new();
        for_each(directory, |name, _| {
            names.push(name.to_vec());
            Ok(names.len() < BATCH)
        })?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            remove(directory, &name)?;
        }
    }
}

/// Tells every name in a directory (not `.` and `..`) and its type, until the visitor has enough.
pub(super) fn for_each(
    directory: BorrowedFd<'_>,
    mut visit: impl FnMut(&[u8], FileType) -> io::Result<bool>,
) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not tell the type in the listing.
            FileType::Unknown => {
                FileType::from_raw_mode(fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            known => known,
        };
        if !visit(name, kind)? {
            break;
        }
    }
    Ok(())
}
