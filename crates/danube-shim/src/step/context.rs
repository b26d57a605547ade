//! What every step needs of the shim.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danube_core::runtime::ImageProgram;

use crate::config::Environment;
use crate::harden::{Badness, Inherited};
use crate::late::Ready;
use crate::process::reaper::Reaper;
use crate::process::tree::Claim;
use crate::roots::Roots;
use crate::transfer::Transfers;
use crate::unnamed::Unnamed;
use crate::user::User;

/// Shared by all steps.
#[derive(Debug)]
pub struct Context {
    /// What steps inherit.
    pub environment: Environment,
    /// What the image runs by itself; a service's container has it.
    pub program: Option<ImageProgram>,
    /// Whom steps run as.
    pub user: User,
    /// Where `/workspace` is.
    pub roots: Roots,
    /// This container's own folder.
    pub private: PathBuf,
    /// Limits the shim found.
    pub inherited: Inherited,
    /// The shim's own place in the kernel's order of victims.
    pub badness: Badness,
    /// Hears of ends.
    pub reaper: Arc<Reaper>,
    /// Makes spools.
    pub files: Arc<Unnamed>,
    /// Holds scripts that came by PutFile.
    pub transfers: Arc<Transfers>,
    /// The container's counter of OOM kills.
    pub oom: Option<OwnedFd>,
    /// The steps that run, for telling whose a process is.
    pub claims: Mutex<Vec<Claim>>,
    /// A program that waits for its step; in a shim that was started ahead.
    pub ready: Mutex<Option<Ready>>,
}

impl Context {
    /// The steps that run.
    pub fn claims(&self) -> MutexGuard<'_, Vec<Claim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many processes the kernel has killed in this container for want of memory; 0 when it does not tell.
    pub fn oom_kills(&self) -> u64 {
        let Some(counter) = self.oom.as_ref().and_then(|fd| fd.try_clone().ok()) else { return 0 };
        let mut text = [0; 512];
        let read = std::fs::File::from(counter).read_at(&mut text, 0).unwrap_or(0);
        oom_kills(&String::from_utf8_lossy(&text[..read]))
    }

    /// A step's working directory.
    pub fn cwd(&self, asked: &str) -> PathBuf {
        let own = self.program.as_ref().map(|program| program.working_dir.as_str()).unwrap_or_default();
        let asked = if asked.is_empty() { own } else { asked };
        self.roots.here(&self.roots.workspace.join(Path::new(asked)))
    }
}

/// Both `memory.events` and `memory.oom_control` say `oom_kill N`.
fn oom_kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::oom_kills;

    #[test]
    fn the_counter_is_read_from_either_version() {
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), 7);
    }
}
