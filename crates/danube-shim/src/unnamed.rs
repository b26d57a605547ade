//! Files without a name: nobody can open them by path, and they are gone with their descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags};

/// Makes unnamed files: in the inherited directory, else in the container's private folder, else in memory.
#[derive(Debug)]
pub struct Unnamed {
    inherited: Option<OwnedFd>,
    private: PathBuf,
}

impl Unnamed {
    /// `inherited` is the runtime's directory for the spool.
    pub fn new(inherited: Option<OwnedFd>, private: PathBuf) -> Self {
        Self { inherited, private }
    }

    /// A new, empty file.
    pub fn create(&self) -> io::Result<File> {
        if let Some(folder) = &self.inherited
            && let Ok(file) = in_folder(folder, ".")
        {
            return Ok(file);
        }
        in_folder(CWD, &self.private).or_else(|_| Ok(rustix::fs::memfd_create("danube", MemfdFlags::CLOEXEC)?.into()))
    }
}

fn in_folder(folder: impl AsFd, path: impl rustix::path::Arg) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, path, flags, Mode::RUSR | Mode::WUSR)?.into())
}
