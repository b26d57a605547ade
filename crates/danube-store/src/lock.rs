//! One process per data directory: an advisory lock that the kernel gives back whatever becomes of its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::StoreError;

/// How often the lock of a dead holder is asked for, and how far apart: a process that it was just starting has the lock
/// too, until it executes its own program.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

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
        if !is_free(&mut file, File::try_lock).map_err(StoreError::io("lock", &path))? {
            return Err(StoreError::Locked { dir: dir.to_owned(), pid: holder(&mut file) });
        }
        write_holder(&mut file).map_err(StoreError::io("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Whether some process has a data directory open just now.
#[must_use]
pub fn is_locked(dir: &Path) -> bool {
    let file = OpenOptions::new().read(true).open(dir.join("danube.lock"));
    file.is_ok_and(|mut file| matches!(is_free(&mut file, File::try_lock_shared), Ok(false)))
}

/// Locks the file unless somebody who lives has it.
fn is_free(file: &mut File, lock: fn(&File) -> Result<(), TryLockError>) -> io::Result<bool> {
    for _ in 0..TRIES {
        match lock(file) {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if lives(&holder(file)) => return Ok(false),
            Err(TryLockError::WouldBlock) => sleep(PAUSE),
        }
    }
    Ok(false)
}

/// Whether a holder does; one that has not written its number yet has just begun.
fn lives(holder: &str) -> bool {
    holder.parse::<u32>().map_or(true, |pid| Path::new("/proc").join(pid.to_string()).exists())
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // The holder may be just writing it; then the message says less, and that is all.
    let _ = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    if text.trim().is_empty() { "of unknown number".to_owned() } else { text.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread::spawn;

    use super::*;

    #[test]
    fn what_a_dead_holder_was_just_starting_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let path = folder.path().join("danube.lock");
        std::fs::write(&path, format!("{dead}\n")).unwrap();
        // As long as this is open it is locked: for a child it would be until it executes its program.
        let inherited = File::open(&path).unwrap();
        inherited.try_lock().unwrap();
        let child = spawn(move || {
            sleep(15 * PAUSE);
            drop(inherited);
        });
        let own = DirectoryLock::take(folder.path()).unwrap();
        child.join().unwrap();
        assert!(is_locked(folder.path()), "now its holder lives");
        assert!(matches!(DirectoryLock::take(folder.path()), Err(StoreError::Locked { .. })));
        drop(own);
        assert!(!is_locked(folder.path()));
    }
}
