//! Puts a complete transfer where it belongs. Steps run meanwhile and move folders about: every name is resolved
//! beneath the root by the kernel, and nothing that exists is written to.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use danube_proto::v1::{PutFileHeader, PutTarget};
use rustix::fs::{Gid, Mode, OFlags, Uid};

use super::{FromStart, unpack};
use crate::roots::{self, Inside};
use crate::user::User;

/// Why content could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The system refused.
    #[error("cannot write {path}: {source}")]
    System {
        /// What was written.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A tar entry that could lead outside, or is no file, folder or link.
    #[error("refused to unpack {path:?}: {why}")]
    Refused {
        /// The entry.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a tar.
    #[error("the tree is not a tar: {0}")]
    Damaged(io::Error),
}

impl PlaceError {
    /// For `map_err`.
    pub fn at<E: Into<io::Error>>(path: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| Self::System { path: path.into(), source: source.into() }
    }
}

/// Writes the file or unpacks the tree.
pub fn place(header: &PutFileHeader, inside: &Inside, user: &User, file: Arc<File>) -> Result<(), PlaceError> {
    let root = roots::open_root(&inside.root).map_err(PlaceError::at(inside.root.to_string_lossy()))?;
    let owner = Owner::of(user);
    let content = FromStart { file, offset: 0 };
    if header.target() == PutTarget::Tree {
        let made = |folder: &OwnedFd| owner.give(folder);
        let folder = roots::open_folders(&root, &inside.below, &made).map_err(PlaceError::at(header.path.clone()))?;
        return unpack::unpack(&folder, &owner, content);
    }
    write_file(&root, inside, header.mode, &owner, content).map_err(PlaceError::at(header.path.clone()))
}

/// A temporary name beside the final one, then a rename: readers see the old file or the new one.
fn write_file(root: &OwnedFd, inside: &Inside, mode: u32, owner: &Owner, mut content: FromStart) -> io::Result<()> {
    let (parent, name) = roots::open_parent(root, &inside.below, &|folder| owner.give(folder))?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let temporary = format!(".danube-{}", hex::encode(random));
    let written = new_file(&parent, OsStr::new(&temporary), mode, owner, &mut content)
        .and_then(|_| Ok(rustix::fs::renameat(&parent, &temporary, &parent, name)?));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&parent, &temporary, rustix::fs::AtFlags::empty());
    }
    written
}

/// Makes a file that did not exist.
pub fn new_file(
    parent: &OwnedFd,
    name: &OsStr,
    mode: u32,
    owner: &Owner,
    content: &mut dyn io::Read,
) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file: File = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?.into();
    io::copy(content, &mut file)?;
    owner.give(&file);
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777))?;
    Ok(file)
}

/// Whom new files belong to.
#[derive(Debug)]
pub struct Owner(Option<(Uid, Gid)>);

impl Owner {
    fn of(user: &User) -> Self {
        Self((!user.is_current()).then(|| (Uid::from_raw(user.uid), Gid::from_raw(user.gid))))
    }

    /// Hands a file over. Where the shim may not, it is the user already or the step says what it cannot write.
    pub fn give(&self, file: impl std::os::fd::AsFd) {
        if let Some((uid, gid)) = self.0 {
            let _ = rustix::fs::fchown(file, Some(uid), Some(gid));
        }
    }

    /// The same for a link itself.
    pub fn give_link(&self, parent: &OwnedFd, name: &OsStr) {
        if let Some((uid, gid)) = self.0 {
            let _ = rustix::fs::chownat(parent, name, Some(uid), Some(gid), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        }
    }
}
