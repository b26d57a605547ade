//! Modes and times of directories, kept until everything is written.
//!
//! A directory without write permission could not be filled, and filling one changes its time. They are kept by
//! inode number: a few bytes each however long the paths, and no path is walked a second time.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, FileType, Mode, Timespec, Timestamps, UTIME_OMIT};

use super::tree;

/// What each directory shall have in the end.
#[derive(Default)]
pub(super) struct Directories {
    wanted: HashMap<u64, Wanted>,
}

#[derive(Clone, Copy)]
struct Wanted {
    mode: u32,
    mtime: Option<(i64, u32)>,
}

impl Directories {
    /// Remembers what an entry says of a directory, or (`None`) that it was made on the way.
    pub fn remember(&mut self, directory: BorrowedFd<'_>, entry: Option<(u32, (i64, u32))>) -> io::Result<()> {
        let wanted = match entry {
            Some((mode, mtime)) => Wanted { mode, mtime: Some(mtime) },
            None => Wanted { mode: 0o755, mtime: None },
        };
        self.wanted.insert(fs::fstat(directory)?.st_ino, wanted);
        Ok(())
    }

    /// Gives every directory its mode and time, from the leaves up.
    pub fn finish(&self, directory: BorrowedFd<'_>) -> io::Result<()> {
        tree::for_each(directory, |name, kind| {
            if kind == FileType::Directory {
                self.finish(tree::open_directory(directory, name)?.as_fd())?;
            }
            Ok(true)
        })?;
        let Some(wanted) = self.wanted.get(&fs::fstat(directory)?.st_ino) else { return Ok(()) };
        if let Some(mtime) = wanted.mtime {
            fs::futimens(directory, &times(mtime))?;
        }
        fs::fchmod(directory, Mode::from_raw_mode(wanted.mode))?;
        Ok(())
    }
}

/// The time of the last change alone. Times that no file system can hold are moved to the nearest one.
pub(super) fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    const FIRST: i64 = -(1 << 31);
    const LAST: i64 = (1 << 34) - 1;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds.clamp(FIRST, LAST), tv_nsec: nanos.into() },
    }
}
