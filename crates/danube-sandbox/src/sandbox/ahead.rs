//! Groups ahead of their jobs: making, handing out and putting away.

use std::convert::Infallible;
use std::fs;
use std::io;

use super::{Sandbox, remove_cgroups, spawn_monitor, stop_monitor};
use crate::config::Isolation;
use crate::error::{Doing, SandboxError};
use crate::failpoint::failpoint;
use crate::group::folder::{self, GroupFolder};
use crate::group::follow::Monitor;
use crate::group::record::{self, Assignment};
use crate::monitor;
use crate::spares::{self, Due, Spare, Wanted, Warmth};

impl Sandbox {
    /// Gives a spare group its name: first what it is, then its place, then what the engine prepared, and its monitor is
    /// told last. An engine that dies on the way has a monitor that ends, untold. False when it cannot have the place.
    pub(super) fn hand_out(
        &self,
        spare: Spare,
        folder: &GroupFolder,
        assignment: &Assignment,
    ) -> Result<bool, SandboxError> {
        record::write(&spare.folder.spec(), assignment)?;
        failpoint("spare-taken");
        if fs::rename(spare.folder.path(), folder.path()).is_err() {
            // An engine that died has begun to make the group there.
            self.spares.reject(spare);
            return Ok(false);
        }
        failpoint("spare-named");
        self.take_over(folder, assignment)?;
        failpoint("spare-furnished");
        // A monitor that has died meanwhile is noticed by whoever follows the group.
        let _ = spare.tell(folder);
        failpoint("spare-told");
        Ok(true)
    }

    /// Whether the group has a monitor that died before anything of the job was done. What that one made is put away.
    pub(super) async fn never_began(&self, folder: &GroupFolder) -> Result<bool, SandboxError> {
        if folder.events().exists() || !folder.pid().exists() || Monitor::find(folder)?.is_some() {
            return Ok(false);
        }
        let name = folder.path().file_name().unwrap_or_default();
        let away = GroupFolder::at(folder::spares(&self.config.data_dir).join(name));
        self.make_folder(&away)?;
        // Its process id goes last: it says that there is something to put away.
        for (from, to) in
            [(folder.containers(), away.containers()), (folder.traces(), away.traces()), (folder.pid(), away.pid())]
        {
            match fs::rename(&from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).doing(|| format!("put away {}", from.display()));
                }
                _ => {}
            }
        }
        self.clear(&away).await.map(|()| true)
    }

    /// Makes a group ahead of its job.
    async fn make_spare(&self, wanted: &Wanted) -> Result<Spare, SandboxError> {
        let folder = GroupFolder::at(folder::spares(&self.config.data_dir).join(spares::name()));
        self.make_folder(&folder)?;
        let made = record::Spare {
            containers: wanted.containers.clone(),
            ready: wanted.ready.clone(),
            config: self.config.clone(),
        };
        record::write(&folder.spare(), &made)?;
        let python = self.config.python.as_ref().map(|python| python.path.as_path());
        let (spare, line) = Spare::of(folder, wanted, python)?;
        let mut command = self.monitor_command()?;
        command.arg(monitor::SPARE).stdout(line);
        spawn_monitor(command, &spare.folder)?;
        match spare.stands().await {
            Ok(()) => Ok(spare),
            Err(error) => {
                let folder = spare.folder.clone();
                drop(spare);
                self.clear(&folder).await?;
                Err(error)
            }
        }
    }

    /// Keeps groups ready for the jobs to come, for as long as it is polled. Call [`Sandbox::clear_spares`] before, and
    /// after it was dropped.
    ///
    /// # Errors
    /// When one cannot be made. What was made before is kept, and it may be called again.
    pub async fn keep_spares(&self, warmth: &Warmth) -> Result<Infallible, SandboxError> {
        if self.config.isolation == Isolation::None {
            return std::future::pending().await;
        }
        loop {
            match self.spares.due(warmth).await {
                Due::Make(wanted) => {
                    let made = self.make_spare(&wanted).await?;
                    self.spares.put(made);
                }
                Due::Discard(old) => {
                    let folder = old.folder.clone();
                    drop(old);
                    self.clear(&folder).await?;
                }
            }
        }
    }

    /// How many groups stand ready.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.spares.count()
    }

    /// Removes every group that was started ahead and is nobody's, those of earlier processes included.
    ///
    /// # Errors
    /// When something of one cannot be removed.
    pub async fn clear_spares(&self) -> Result<(), SandboxError> {
        self.spares.forget();
        let dir = folder::spares(&self.config.data_dir);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.doing(|| format!("read {}", dir.display()))?,
        };
        for entry in entries {
            let entry = entry.doing(|| format!("read {}", dir.display()))?;
            self.clear(&GroupFolder::at(entry.path())).await?;
        }
        Ok(())
    }

    /// Removes a group that was never anybody's.
    async fn clear(&self, folder: &GroupFolder) -> Result<(), SandboxError> {
        stop_monitor(folder).await?;
        remove_cgroups(folder).await?;
        self.remove_folder(folder).await
    }
}
