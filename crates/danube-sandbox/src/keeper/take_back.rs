//! Makes files that a job wrote the caller's own. Nothing of the job runs any more; links are not followed all the same.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::error::{Doing, SandboxError};

/// Gives a directory and everything beneath it to `owner`, who can then read and remove all of it. No file stays
/// set-user-id: it would have been a tenant's program under the caller's name.
pub fn take_back(path: &Path, owner: (u32, u32)) -> Result<(), SandboxError> {
    let said = || format!("give {} back", path.display());
    let Some(top) = take_entry(rustix::fs::CWD, path, owner).doing(said)? else {
        return Err(SandboxError::Reported(format!("{} is no directory any more", path.display())));
    };
    take_beneath(&top, owner).doing(said)
}

fn take_beneath(top: &OwnedFd, owner: (u32, u32)) -> Result<(), Errno> {
    let mut levels = vec![Dir::read_from(top)?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.read() else {
            levels.pop();
            continue;
        };
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if let Some(child) = take_entry(level.fd()?, name, owner)? {
            levels.push(Dir::new(child)?);
        }
    }
    Ok(())
}

/// Takes one entry; a directory is returned for the walk.
fn take_entry<P: rustix::path::Arg + Copy>(
    at: BorrowedFd<'_>,
    name: P,
    owner: (u32, u32),
) -> Result<Option<OwnedFd>, Errno> {
    let stat = rustix::fs::statat(at.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (stat.st_uid, stat.st_gid) != owner {
        let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        rustix::fs::chownat(at, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    let (kind, old) = (FileType::from_raw_mode(stat.st_mode), stat.st_mode & 0o777);
    let add = if kind == FileType::Directory { 0o700 } else { 0o600 };
    if kind != FileType::Symlink {
        rustix::fs::chmodat(at, name, Mode::from_raw_mode(old | add), AtFlags::empty())?;
    }
    if kind != FileType::Directory {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty()).map(Some)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn closed_files_open_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (workspace, outside) = (dir.path().join("w"), dir.path().join("outside"));
        fs::create_dir_all(workspace.join("closed/deep")).unwrap();
        fs::write(&outside, "").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o400)).unwrap();
        symlink(&outside, workspace.join("link")).unwrap();
        fs::write(workspace.join("closed/program"), "x").unwrap();
        for (name, mode) in [("closed/program", 0o6555), ("closed", 0o000)] {
            fs::set_permissions(workspace.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        take_back(&workspace, (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())).unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&workspace.join("closed/program")), 0o755);
        assert_eq!(mode(&workspace.join("closed")), 0o700);
        assert_eq!(mode(&outside), 0o400);
        fs::remove_dir_all(&workspace).unwrap();
    }
}
