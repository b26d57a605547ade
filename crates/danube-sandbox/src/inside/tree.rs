//! Paths in a root that is being built. Everything is resolved within that root, since a hostile image may hold
//! any link.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::MoveMountFlags;

use crate::plan::Node;

/// The root that is being built.
pub struct Tree<'a>(pub &'a OwnedFd);

impl Tree<'_> {
    /// Opens a path within the root without reading it.
    pub fn find(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH, Mode::empty())
    }

    fn open(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(self.0, path, flags | OFlags::CLOEXEC, mode, within)
    }

    /// Opens a directory, making what is missing of the way.
    pub fn dir(&self, path: &Path) -> Result<OwnedFd, Errno> {
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => {}
            done => return done,
        }
        let (parent, name) = parts(path)?;
        let parent = self.dir(parent)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        self.open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    }

    /// Opens a file, making an empty one if there is none.
    pub fn file(&self, path: &Path) -> Result<OwnedFd, Errno> {
        match self.find(path) {
            Err(Errno::NOENT) => {}
            done => return done,
        }
        let (parent, name) = parts(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(self.dir(parent)?, name, flags, Mode::from_raw_mode(0o644))
    }

    /// Attaches a mount over a directory or file that is made if missing.
    pub fn attach(&self, mount: &OwnedFd, path: &Path) -> Result<(), Errno> {
        let at = if super::is_dir(mount)? { self.dir(path)? } else { self.file(path)? };
        attach(mount, &at)
    }

    /// Makes a directory, a file or a link.
    pub fn make(&self, node: &Node) -> Result<(), Errno> {
        match node {
            Node::Dir(path) => self.dir(path).map(drop),
            Node::File(path, text) => self.write(path, text),
            Node::Link(path, target) => {
                let (parent, name) = parts(path)?;
                rustix::fs::symlinkat(target, self.dir(parent)?, name)
            }
        }
    }

    /// Replaces whatever has this name: an image's file may be a link to anywhere.
    fn write(&self, path: &Path, text: &str) -> Result<(), Errno> {
        let (parent, name) = parts(path)?;
        let parent = self.dir(parent)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(&file, rest)?..];
        }
        Ok(())
    }
}

/// Attaches a detached mount over whatever `at` is.
pub fn attach(mount: impl AsFd, at: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", at, "", flags)
}

fn parts(path: &Path) -> Result<(&Path, &Path), Errno> {
    let (Some(parent), Some(Component::Normal(name))) = (path.parent(), path.components().next_back()) else {
        return Err(Errno::INVAL);
    };
    Ok((parent, Path::new(name)))
}
