//! Scripts and secret files: they need a path that any descendant of the step can open, so they have a name, in a
//! folder that only the step's user can use and nobody can list, until the step ends.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};

use crate::user::User;

/// `f_type` of a tmpfs.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// What the folder will hold: secrets belong in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A script.
    Script,
    /// Secret files.
    Secret,
}

/// A folder of one step, removed with everything in it when dropped.
#[derive(Debug)]
pub struct StepFolder {
    path: PathBuf,
    user: User,
}

impl StepFolder {
    /// Makes a folder in the container's private one or in a customary place, secrets in memory if there is any.
    pub fn create(kind: Kind, private: &Path, user: &User) -> io::Result<Self> {
        let customary = ["/dev/shm", "/tmp", "/run", "/var/tmp"].map(Path::new);
        let mut places: Vec<&Path> = match kind {
            Kind::Script => [private, customary[1], customary[3], customary[0]].to_vec(),
            Kind::Secret => [private].into_iter().chain(customary).collect(),
        };
        places.retain(|place| can_be_entered(place, user));
        if kind == Kind::Secret {
            places.sort_by_key(|place| !is_in_memory(place));
        }
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for place in places {
            match make(place) {
                Ok(path) => return Ok(Self { path, user: user.clone() }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Writes a file that only the step's user can read.
    pub fn write(&self, name: &str, content: &mut dyn Read) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path)?;
        give(&file, &self.user)?;
        io::copy(content, &mut file)?;
        file.flush()?;
        Ok(path)
    }
}

impl Drop for StepFolder {
    fn drop(&mut self) {
        // A step of the same user may have changed the folder's mode, and a container that ends takes it along.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Gives a file to the step's user, when that is somebody else.
pub fn give(file: &File, user: &User) -> io::Result<()> {
    if user.is_current() {
        return Ok(());
    }
    Ok(rustix::fs::fchown(file.as_fd(), Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?)
}

fn can_be_entered(place: &Path, user: &User) -> bool {
    place.metadata().is_ok_and(|found| found.is_dir() && (found.mode() & 0o001 != 0 || found.uid() == user.uid))
}

fn is_in_memory(place: &Path) -> bool {
    rustix::fs::statfs(place).is_ok_and(|found| found.f_type == TMPFS)
}

/// 0711: the user passes through by knowing the name. The name is random, so that nobody can be there first.
fn make(place: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let path = place.join(format!("danube-{}", hex::encode(random)));
    DirBuilder::new().mode(0o711).create(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o711))?;
    Ok(path)
}
