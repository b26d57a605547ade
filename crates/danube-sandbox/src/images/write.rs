//! Writes the entries of a layer, one by one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::directories::{Directories, times};
use super::error::{ImageError, Result};
use super::limits::Limits;
use super::path::{EntryPath, refuse};
use super::sparse::SparseMap;
use super::tarball::{Entry, Kind};
use super::tree::{self, Arrival, Tree, Walk};
use super::unpack::{Ownership, walk_error, write_error};

/// Writes entries beneath a tree.
pub(super) struct Writer<'a> {
    tree: Tree<'a>,
    ownership: Ownership,
    directories: &'a mut Directories,
    /// Entries mostly come directory by directory: the last one walked to. Forgotten when anything is removed.
    last: Option<(Vec<Vec<u8>>, Arrival)>,
}

/// The largest id that Danube maps into a container.
const LAST_ID: u64 = 65535;

impl<'a> Writer<'a> {
    pub fn new(tree: Tree<'a>, ownership: Ownership, directories: &'a mut Directories) -> Self {
        Self { tree, ownership, directories, last: None }
    }

    /// Writes one entry over whatever has its name. Says whether its kind is one that is made at all.
    pub fn write(&mut self, entry: &Entry, path: &EntryPath<'_>, limits: &Limits, data: &mut dyn Read) -> Result<bool> {
        self.check_owner(entry)?;
        let Some((name, above)) = path.split() else {
            self.root(entry)?;
            return Ok(true);
        };
        let (above, parent) = self.parent(above, entry)?;
        let target = Target { parent: parent.directory(&self.tree), name, entry };
        let removed = match entry.kind {
            Kind::Directory => self.directory(&target)?,
            Kind::File => self.file(&target, data)?,
            Kind::Symlink => self.symlink(&target, limits)?,
            Kind::HardLink => self.hard_link(&target, limits)?,
            Kind::Device | Kind::Fifo => target.make_way()?,
        };
        if !removed {
            self.last = Some((above, parent));
        }
        Ok(!matches!(entry.kind, Kind::Device | Kind::Fifo))
    }

    /// The entry's directory; taken out of the cache while it is in use.
    fn parent(&mut self, above: &[&[u8]], entry: &Entry) -> Result<(Vec<Vec<u8>>, Arrival)> {
        if let Some((known, arrival)) = self.last.take()
            && known == above
        {
            return Ok((known, arrival));
        }
        let made = |fd: BorrowedFd<'_>| self.directories.remember(fd, None);
        let arrival = self.tree.walk(above, Walk::Make, made).map_err(|error| walk_error(&entry.path, error))?;
        Ok((above.iter().map(|part| part.to_vec()).collect(), arrival))
    }

    fn check_owner(&self, entry: &Entry) -> Result<()> {
        match [entry.uid, entry.gid].into_iter().find(|id| *id > LAST_ID) {
            Some(id) if self.ownership == Ownership::Mapped => {
                let why = format!(
                    "it belongs to id {id}, and only 0 to {LAST_ID} exist in a container; change its owner in the image"
                );
                Err(refuse(&entry.path, why))
            }
            _ => Ok(()),
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(refuse(&entry.path, "the image's root can only be a directory"));
        }
        self.finish_directory(self.tree.root, entry).map_err(|source| write_error(&entry.path, source))
    }

    fn finish_directory(&mut self, directory: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
        if self.ownership == Ownership::Mapped {
            change_owner(entry, |uid, gid| fs::fchown(directory, uid, gid))?;
        }
        self.directories.remember(directory, Some((entry.mode, entry.mtime)))
    }

    /// A directory over a directory keeps its content; over anything else it takes its place.
    fn directory(&mut self, target: &Target<'_>) -> Result<bool> {
        let mut removed = false;
        if target.kind()? != Some(FileType::Directory) {
            removed = target.make_way()?;
            fs::mkdirat(target.parent, target.name, Mode::RWXU).map_err(|errno| target.failed(errno))?;
        }
        let directory = tree::open_directory(target.parent, target.name)
            .map_err(|source| write_error(&target.entry.path, source))?;
        self.finish_directory(directory.as_fd(), target.entry)
            .map_err(|source| write_error(&target.entry.path, source))?;
        Ok(removed)
    }

    fn file(&self, target: &Target<'_>, data: &mut dyn Read) -> Result<bool> {
        let (fd, removed) = target.create()?;
        let mut file = File::from(fd);
        copy(data, &mut file, target.entry)?;
        self.finish_file(&file, target.entry).map_err(|source| write_error(&target.entry.path, source))?;
        Ok(removed)
    }

    /// The mode comes after the owner, because a change of owner clears the set-user-id bit.
    fn finish_file(&self, file: &File, entry: &Entry) -> io::Result<()> {
        let mode = match self.ownership {
            Ownership::Mapped => {
                change_owner(entry, |uid, gid| fs::fchown(file, uid, gid))?;
                entry.mode
            }
            Ownership::Single => entry.mode & 0o1777,
        };
        fs::fchmod(file, Mode::from_raw_mode(mode))?;
        Ok(fs::futimens(file, &times(entry.mtime))?)
    }

    /// Where a link leads does not matter here: nothing on this side ever follows it out of the tree.
    fn symlink(&self, target: &Target<'_>, limits: &Limits) -> Result<bool> {
        let Target { parent, name, entry } = *target;
        if entry.link.is_empty() || entry.link.contains(&0) || entry.link.len() >= limits.path_bytes {
            return Err(refuse(&entry.path, "it is a symbolic link to nothing that can be a path"));
        }
        let removed = target.make_way()?;
        fs::symlinkat(entry.link.as_slice(), parent, name).map_err(|errno| target.failed(errno))?;
        if self.ownership == Ownership::Mapped {
            change_owner(entry, |uid, gid| fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))
                .map_err(|source| write_error(&entry.path, source))?;
        }
        fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| target.failed(errno))?;
        Ok(removed)
    }

    /// A second name for a file of the image. Neither the file nor a directory above it may be reached by a link.
    fn hard_link(&self, target: &Target<'_>, limits: &Limits) -> Result<bool> {
        let entry = target.entry;
        let to = EntryPath::parse(&entry.link, limits)?;
        let no_file = |why: &str| {
            refuse(&entry.path, format!("it is a hard link to {:?}, but {why}", super::error::shown(&entry.link)))
        };
        let (to_name, to_above) = to.split().ok_or_else(|| no_file("that is the root"))?;
        let arrival = self.tree.walk(to_above, Walk::Strict, |_| Ok(())).map_err(|error| match error {
            tree::WalkError::Nowhere(why) => no_file(why),
            other => walk_error(&entry.path, other),
        })?;
        let to_parent = arrival.directory(&self.tree);
        let original = Target { parent: to_parent, name: to_name, entry };
        match (original.stat()?, target.stat()?) {
            (None, _) => return Err(no_file("the image has no such file before it")),
            (Some(file), _) if FileType::from_raw_mode(file.st_mode) == FileType::Directory => {
                return Err(no_file("that is a directory"));
            }
            (Some(file), Some(present)) if file.st_ino == present.st_ino => return Ok(false),
            _ => {}
        }
        let removed = target.make_way()?;
        fs::linkat(to_parent, to_name, target.parent, target.name, AtFlags::empty())
            .map_err(|errno| target.failed(errno))?;
        Ok(removed)
    }
}

/// Gives something to the entry's owner, whose ids were checked to be small before.
fn change_owner(
    entry: &Entry,
    change: impl FnOnce(Option<Uid>, Option<Gid>) -> rustix::io::Result<()>,
) -> io::Result<()> {
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX - 1);
    match change(Some(Uid::from_raw(id(entry.uid))), Some(Gid::from_raw(id(entry.gid)))) {
        // The kernel's word for an id that the user namespace does not have.
        Err(Errno::INVAL) => {
            let why = format!("its owner {}:{} is not mapped into this user namespace", entry.uid, entry.gid);
            Err(io::Error::new(io::ErrorKind::InvalidInput, why))
        }
        changed => Ok(changed?),
    }
}

/// The place of an entry: a name in an open directory.
#[derive(Clone, Copy)]
struct Target<'a> {
    parent: BorrowedFd<'a>,
    name: &'a [u8],
    entry: &'a Entry,
}

impl Target<'_> {
    fn failed(&self, errno: Errno) -> ImageError {
        write_error(&self.entry.path, errno.into())
    }

    fn stat(&self) -> Result<Option<fs::Stat>> {
        match fs::statat(self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed(errno)),
        }
    }

    fn kind(&self) -> Result<Option<FileType>> {
        Ok(self.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)))
    }

    /// Removes what has this name. Says whether there was anything.
    fn make_way(&self) -> Result<bool> {
        tree::remove(self.parent, self.name).map_err(|source| write_error(&self.entry.path, source))
    }

    /// A new file; what had its name is removed, never opened.
    fn create(&self) -> Result<(OwnedFd, bool)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || fs::openat(self.parent, self.name, flags, Mode::RUSR | Mode::WUSR);
        match create() {
            Ok(fd) => Ok((fd, false)),
            Err(Errno::EXIST) => {
                let removed = self.make_way()?;
                Ok((create().map_err(|errno| self.failed(errno))?, removed))
            }
            Err(errno) => Err(self.failed(errno)),
        }
    }
}

/// Copies the entry's data, leaving the holes of a sparse file as holes.
fn copy(data: &mut dyn Read, file: &mut File, entry: &Entry) -> Result<()> {
    let failed = |source| write_error(&entry.path, source);
    let Some(SparseMap { regions, real_size }) = &entry.sparse else {
        return copy_bytes(data, file, entry.size, entry);
    };
    for region in regions {
        file.seek(SeekFrom::Start(region.offset)).map_err(failed)?;
        copy_bytes(data, file, region.bytes, entry)?;
    }
    file.set_len(*real_size).map_err(failed)
}

fn copy_bytes(data: &mut dyn Read, file: &mut File, mut left: u64, entry: &Entry) -> Result<()> {
    let mut buffer = [0; 64 << 10];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = match data.read(&mut buffer[..most]) {
            Ok(0) => return Err(ImageError::BadTar("it ends in the middle of a file".to_owned())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ImageError::from_stream(error)),
        };
        file.write_all(&buffer[..count]).map_err(|source| write_error(&entry.path, source))?;
        left -= count as u64;
    }
    Ok(())
}
