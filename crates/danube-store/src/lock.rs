//! One process per data directory: an advisory lock that the kernel gives back whatever becomes of its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::StoreError;

/// Held as long as this lives. Programs we start do not inherit it.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the directory, or says who has it.
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("danube.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { dir: dir.to_owned(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
        }
        write_holder(&mut file).map_err(StoreError::io("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Whether some process has a data directory open just now.
#[must_use]
pub fn is_locked(dir: &Path) -> bool {
    let file = OpenOptions::new().read(true).open(dir.join("danube.lock"));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // The holder may be just writing it; then the message says less, and that is all.
    let _ = file.take(32).read_to_string(&mut text);
    if text.trim().is_empty() { "of unknown number".to_owned() } else { text.trim().to_owned() }
}
