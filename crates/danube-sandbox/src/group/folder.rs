//! Names within a group's folder. All of it belongs to the caller and is closed to everybody else; what tenants
//! write lies in directories below that only they and the caller can reach.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use danube_core::id::{AttemptId, ContainerName, JobId};
use rustix::fs::{Mode, OFlags};

use crate::error::{Doing, SandboxError};

/// The folder of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFolder(PathBuf);

impl GroupFolder {
    /// The folder of an attempt below a data directory.
    #[must_use]
    pub fn of(data_dir: &Path, attempt: &AttemptId) -> Self {
        Self(groups(data_dir).join(attempt.to_string()))
    }

    /// The folder that a monitor was told.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What the group is: written by the engine, read by the monitor.
    #[must_use]
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    /// What it is started ahead for; written by the engine, read by the monitor.
    #[must_use]
    pub fn spare(&self) -> PathBuf {
        self.0.join("spare.json")
    }

    /// The containers.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.0.join("c")
    }

    /// The monitor's process id; locked while it lives.
    #[must_use]
    pub fn pid(&self) -> PathBuf {
        self.0.join("monitor.pid")
    }

    /// Writes whose lock this is, and gives the file its name if nobody has yet.
    pub fn name_monitor(&self, lock: impl AsFd, pid: u32) -> io::Result<()> {
        let written = rustix::io::pwrite(lock, pid.to_string().as_bytes(), 0)?;
        debug_assert_eq!(written, pid.to_string().len(), "a few bytes are written at once");
        match std::fs::rename(self.pid_to_be(), self.pid()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What that file is called until it says whose it is.
    pub fn pid_to_be(&self) -> PathBuf {
        self.0.join("monitor.pid.new")
    }

    /// What happened, one event per line.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// How the containers ended; written last.
    #[must_use]
    pub fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    /// What must be undone outside the folder, and with which ids within it.
    #[must_use]
    pub fn traces(&self) -> PathBuf {
        self.0.join("traces.json")
    }

    /// What the monitor complains of.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("monitor.log")
    }

    /// What becomes `/workspace`.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.0.join("workspace")
    }

    /// What becomes `/danube/src`.
    #[must_use]
    pub fn source(&self) -> PathBuf {
        self.0.join("source")
    }

    /// The directory of one container.
    #[must_use]
    pub fn container(&self, name: &ContainerName) -> ContainerFolder {
        ContainerFolder(self.containers().join(name.as_str()))
    }

    /// Opens the folder itself.
    pub fn open(&self) -> Result<OwnedFd, SandboxError> {
        open_dir(&self.0).doing(|| format!("open {}", self.0.display()))
    }
}

/// The directory of one container.
#[derive(Clone, Debug)]
pub struct ContainerFolder(PathBuf);

impl ContainerFolder {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The shim's spool.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// `/tmp`.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// `/var/tmp`.
    #[must_use]
    pub fn var_tmp(&self) -> PathBuf {
        self.0.join("vartmp")
    }

    /// The home of the image's user.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    /// What the container wrote over its image.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.0.join("upper")
    }

    /// The overlay's own space.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// What stands for `/danube` where there are no mounts.
    #[must_use]
    pub fn danube(&self) -> PathBuf {
        self.0.join("danube")
    }

    /// What stands for `/danube/private` where there are no mounts.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.0.join("private")
    }

    /// What the shim itself complains of.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// The shim's socket, as a path short enough for any data directory: through a descriptor of this directory,
    /// which must stay open while the path is used.
    pub fn socket(&self) -> Result<(OwnedFd, PathBuf), SandboxError> {
        let dir = open_dir(&self.0).doing(|| format!("open {}", self.0.display()))?;
        let path = format!("/proc/self/fd/{}/shim", dir.as_fd().as_raw_fd());
        Ok((dir, path.into()))
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Where the groups of a data directory are.
#[must_use]
pub fn groups(data_dir: &Path) -> PathBuf {
    data_dir.join("groups")
}

/// Where those groups of a data directory are that were started ahead and are nobody's.
#[must_use]
pub fn spares(data_dir: &Path) -> PathBuf {
    data_dir.join("spares")
}

/// The attempt that a folder's name stands for.
#[must_use]
pub fn attempt_of(name: &str) -> Option<AttemptId> {
    let (job, number) = name.rsplit_once('-')?;
    Some(AttemptId { job: job.parse::<JobId>().ok()?, number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_its_attempt() {
        let attempt = AttemptId { job: "0193-ab".parse().unwrap(), number: 12 };
        assert_eq!(attempt_of(&attempt.to_string()), Some(attempt));
        for other in ["", "x", "a-b", "A-1", "lost+found"] {
            assert_eq!(attempt_of(other), None, "{other}");
        }
    }
}
