//! Where a workspace's Git folder borrows its objects from: `/danube/objects` in a container, the store itself outside.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Where a Git folder keeps the borrowed stores.
const INFO: &str = ".git/objects/info";
const ALTERNATES: &str = "alternates";
const NEW: &str = "alternates.danube";
/// What the engine wrote there (`danube_engine::snapshot::OBJECTS`).
const INSIDE: &str = "/danube/objects\n";

/// Makes a workspace outside of any container borrow from the store itself. What a job has changed meanwhile stays
/// as it is: its folders may be links to anywhere, and its list may name anything.
pub fn borrow_from(workspace: &Path, objects: &Path) -> std::io::Result<()> {
    let top = rustix::fs::open(workspace, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let info = match beneath(&top, INFO, OFlags::PATH | OFlags::DIRECTORY) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => return Ok(()),
        info => info?,
    };
    if !is_the_engines(&info) {
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Left there by an attempt that was cut short, or by the job.
    let _ = rustix::fs::unlinkat(&info, NEW, rustix::fs::AtFlags::empty());
    let mut new = std::fs::File::from(rustix::fs::openat(&info, NEW, flags, Mode::from_raw_mode(0o644))?);
    new.write_all(objects.as_os_str().as_encoded_bytes())?;
    new.write_all(b"\n")?;
    Ok(rustix::fs::renameat(&info, NEW, &info, ALTERNATES)?)
}

fn beneath(dir: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn is_the_engines(info: &OwnedFd) -> bool {
    let Ok(file) = beneath(info, ALTERNATES, OFlags::RDONLY | OFlags::NONBLOCK) else { return false };
    let mut text = String::new();
    std::fs::File::from(file).take(INSIDE.len() as u64 + 1).read_to_string(&mut text).is_ok() && text == INSIDE
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_the_engines_own_words_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let info = dir.path().join(INFO);
        borrow_from(dir.path(), Path::new("/store")).expect("no Git, nothing to do");
        fs::create_dir_all(&info).unwrap();
        fs::write(info.join(ALTERNATES), INSIDE).unwrap();
        borrow_from(dir.path(), Path::new("/store")).unwrap();
        assert_eq!(fs::read_to_string(info.join(ALTERNATES)).unwrap(), "/store\n");

        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, INSIDE).unwrap();
        fs::remove_file(info.join(ALTERNATES)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, info.join(ALTERNATES)).unwrap();
        borrow_from(dir.path(), Path::new("/store")).unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), INSIDE);
    }
}
