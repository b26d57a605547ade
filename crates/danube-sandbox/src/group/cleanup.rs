//! Removes a directory tree that tenants wrote to: by descriptor, never through a link, at any depth, with a
//! bounded number of open files.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Levels held open at once. What lies deeper is moved up to the top first: a tenant may nest without end.
const DEEPEST: usize = 32;

/// Removes the directory `name` of `parent` with everything in it. One that does not exist is no error.
pub fn remove_tree(parent: impl AsFd, name: &CStr) -> Result<(), Errno> {
    let top = match open_dir(&parent, name) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return rustix::fs::unlinkat(&parent, name, AtFlags::empty()),
        opened => opened?,
    };
    let mut removal = Removal { top: &top, moved: 0 };
    while removal.pass()? {}
    rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)
}

struct Removal<'a> {
    top: &'a OwnedFd,
    moved: u64,
}

impl Removal<'_> {
    /// One walk over the tree. True when something was moved up and another walk is needed.
    fn pass(&mut self) -> Result<bool, Errno> {
        let before = self.moved;
        let mut levels: Vec<(CString, Dir)> = vec![(CString::default(), Dir::read_from(self.top)?)];
        while let Some((_, level)) = levels.last_mut() {
            let Some(entry) = level.read() else {
                self.leave(&mut levels)?;
                continue;
            };
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if !is_dir(level.fd()?, &entry)? {
                rustix::fs::unlinkat(level.fd()?, name, AtFlags::empty())?;
            } else if levels.len() >= DEEPEST {
                self.move_up(&levels, name)?;
            } else if let Some((_, level)) = levels.last() {
                let child = open_dir(level.fd()?, name)?;
                levels.push((name.to_owned(), Dir::new(child)?));
            }
        }
        Ok(self.moved > before)
    }

    /// Removes the directory that has just been emptied.
    fn leave(&self, levels: &mut Vec<(CString, Dir)>) -> Result<(), Errno> {
        let Some((name, _)) = levels.pop() else { return Ok(()) };
        let Some((_, parent)) = levels.last() else { return Ok(()) };
        rustix::fs::unlinkat(parent.fd()?, name.as_c_str(), AtFlags::REMOVEDIR)
    }

    fn move_up(&mut self, levels: &[(CString, Dir)], name: &CStr) -> Result<(), Errno> {
        let Some((_, level)) = levels.last() else { return Ok(()) };
        loop {
            self.moved += 1;
            let new = format!(".deep-{}", self.moved);
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(level.fd()?, name, self.top, new.as_str(), flags) {
                Err(Errno::EXIST) => {}
                moved => return moved,
            }
        }
    }
}

fn is_dir(at: impl AsFd, entry: &rustix::fs::DirEntry) -> Result<bool, Errno> {
    match entry.file_type() {
        FileType::Unknown => {
            let stat = rustix::fs::statat(at, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        }
        known => Ok(known == FileType::Directory),
    }
}

/// Opens a directory for emptying; one that its owner closed to himself is opened up.
fn open_dir(at: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let widen = |at: &_| rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty());
    let stat = rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    if stat.st_mode & 0o700 != 0o700 {
        widen(&at)?;
    }
    rustix::fs::openat(&at, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_deep_closed_tree_with_links_goes_and_what_it_points_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        let parent = std::fs::File::open(dir.path()).unwrap();
        let mut deepest = std::fs::File::open({
            std::fs::create_dir(dir.path().join("tree")).unwrap();
            dir.path().join("tree")
        })
        .unwrap();
        for level in 0..3000 {
            rustix::fs::mkdirat(&deepest, "d", Mode::RWXU).unwrap();
            if level % 100 == 0 {
                rustix::fs::symlinkat(&kept, &deepest, "link").unwrap();
            }
            deepest = rustix::fs::openat(&deepest, "d", OFlags::RDONLY, Mode::empty()).unwrap().into();
        }
        let closed = dir.path().join("tree/closed");
        std::fs::create_dir_all(closed.join("in")).unwrap();
        symlink("/", dir.path().join("tree/root")).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();

        remove_tree(&parent, c"tree").unwrap();
        assert!(!dir.path().join("tree").exists());
        assert!(kept.join("file").exists());
        remove_tree(&parent, c"tree").unwrap();
    }
}
