//! The two folders that the master may name: `/workspace` and, on a coordinator, `/danube` and the outbox. Every path
//! is resolved by the kernel beneath one of them, without following a link.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Nothing leaves the root: no `..`, no link, no `/proc` magic.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Where the folders are in this container.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/workspace`, unless moved.
    pub workspace: PathBuf,
    /// `/danube`, on a coordinator.
    pub danube: Option<PathBuf>,
    /// The SDK's outbox, on a coordinator.
    pub outbox: Option<PathBuf>,
}

/// A path inside a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The root.
    pub root: PathBuf,
    /// Below it; normal components only, none for the root itself.
    pub below: PathBuf,
}

impl Roots {
    /// A path as the master says it, as it is called here.
    pub fn here(&self, path: &Path) -> PathBuf {
        let moved = |root: &Path, name: &str| path.strip_prefix(name).ok().map(|below| root.join(below));
        let danube = || moved(self.danube.as_deref()?, "/danube");
        moved(&self.workspace, "/workspace").or_else(danube).unwrap_or_else(|| path.to_owned())
    }

    /// Where a file may be written.
    pub fn writable(&self, path: &str) -> Option<Inside> {
        self.inside(path, [Some(&self.workspace), self.danube.as_ref()])
    }

    /// Where a file may be read.
    pub fn readable(&self, path: &str) -> Option<Inside> {
        self.inside(path, [Some(&self.workspace), self.outbox.as_ref()])
    }

    fn inside(&self, path: &str, roots: [Option<&PathBuf>; 2]) -> Option<Inside> {
        let path = Path::new(path);
        if path.is_relative() || path.as_os_str().as_encoded_bytes().contains(&0) {
            return None;
        }
        let path = self.here(path);
        roots.into_iter().flatten().find_map(|root| {
            let below = path.strip_prefix(root).ok().filter(|below| is_plain(below))?;
            Some(Inside { root: root.clone(), below: below.to_owned() })
        })
    }
}

/// Only names: no `..`, no root.
pub fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Opens a root itself. The runtime made it, so its own path may hold links.
pub fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(root, OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Opens something beneath a folder.
pub fn open_beneath(folder: &OwnedFd, below: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    rustix::fs::openat2(folder, below, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH)
}

/// Opens the folder that `below` stands in, making what is missing; answers it with the last name.
pub fn open_parent<'a>(
    root: &OwnedFd,
    below: &'a Path,
    made: &dyn Fn(&OwnedFd),
) -> Result<(OwnedFd, &'a OsStr), Errno> {
    let name = below.file_name().ok_or(Errno::INVAL)?;
    let parent = below.parent().unwrap_or(Path::new(""));
    Ok((open_folders(root, parent, made)?, name))
}

/// Opens a folder beneath the root, making what is missing. `made` is given each new folder.
pub fn open_folders(root: &OwnedFd, below: &Path, made: &dyn Fn(&OwnedFd)) -> Result<OwnedFd, Errno> {
    match open_beneath(root, below, OFlags::DIRECTORY | OFlags::PATH) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let mut folder = open_beneath(root, Path::new("."), OFlags::DIRECTORY | OFlags::PATH)?;
    for name in below {
        let mode = Mode::from_raw_mode(0o775);
        let new = rustix::fs::mkdirat(&folder, name, mode);
        if !matches!(new, Ok(()) | Err(Errno::EXIST)) {
            new?;
        }
        folder = open_beneath(&folder, Path::new(name), OFlags::DIRECTORY | OFlags::RDONLY)?;
        if new.is_ok() {
            made(&folder);
        }
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        Roots { workspace: "/tmp/w".into(), danube: None, outbox: Some("/tmp/out".into()) }
    }

    #[test]
    fn a_moved_root_answers_to_both_names() {
        let expected = Some(Inside { root: "/tmp/w".into(), below: "a/b".into() });
        assert_eq!(roots().writable("/workspace/a/b"), expected);
        assert_eq!(roots().writable("/tmp/w/a/b"), expected);
    }

    #[test]
    fn nothing_else_is_inside() {
        for path in ["/workspace/../etc", "/workspacex", "/tmp/w/..", "a", "", "/", "/danube/x", "/tmp/out/x"] {
            assert_eq!(roots().writable(path), None, "{path}");
        }
        assert!(roots().readable("/tmp/out/script").is_some());
    }
}
