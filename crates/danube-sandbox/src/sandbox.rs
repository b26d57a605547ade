//! The engine's side of the embedded runtime.

use std::ffi::{CString, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{
    ContainerSpec, FoundGroup, GroupEvent, GroupSpec, ImageSource, Role, Runtime, RuntimeError, Workspace,
};
use futures_core::Stream;
use rustix::process::Signal;
use tokio::net::UnixStream;

use crate::cgroup_tree;
use crate::config::{Images, Isolation, SandboxConfig};
use crate::error::{Doing, SandboxError};
use crate::failpoint::failpoint;
use crate::group::cleanup;
use crate::group::folder::{self, GroupFolder};
use crate::group::follow::{self, Events, Monitor};
use crate::group::objects;
use crate::group::processes;
use crate::group::record::{self, Assignment, Traces};
use crate::ids::Tier;
use crate::image_removal;
use crate::monitor;
use crate::paths::JobPaths;
use crate::spares::Spares;

/// How long a monitor may take to kill its containers before it is killed itself.
const PATIENCE: Duration = Duration::from_secs(10);

mod ahead;

/// The embedded runtime.
#[derive(Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    spares: Spares,
}

impl Sandbox {
    /// A runtime with this set-up. Groups of earlier processes on the same data directory are found again.
    #[must_use]
    pub fn new(config: SandboxConfig) -> Self {
        Self { config, spares: Spares::default() }
    }

    /// Removes every unpacked image that no container uses. The number of those removed.
    ///
    /// # Errors
    /// When an image's files cannot be removed.
    pub async fn remove_images(&self) -> Result<usize, SandboxError> {
        let (dir, command) = (self.config.image_dir.clone(), self.monitor_command()?);
        let removed = tokio::task::spawn_blocking(move || image_removal::remove_unused(&dir, command)).await;
        removed.map_err(io::Error::other).doing(|| "remove images")?
    }

    fn folder(&self, attempt: &AttemptId) -> GroupFolder {
        GroupFolder::of(&self.config.data_dir, attempt)
    }

    async fn make(&self, spec: &GroupSpec) -> Result<(), SandboxError> {
        spec.containers.iter().try_for_each(|container| self.refuse_images(container))?;
        let folder = self.folder(&spec.attempt);
        self.make_folder(&folder)?;
        // The file comes last: without it an earlier engine died on the way here, and this one goes on.
        if !folder.pid().exists() {
            self.begin(&folder, spec)?;
        }
        self.spares.group_begins(spec);
        let first = self.first_word(&folder).await;
        if first.is_ok() || !self.never_began(&folder).await? {
            return first;
        }
        self.begin(&folder, spec)?;
        self.first_word(&folder).await
    }

    /// Has a group that was started ahead become this one, or makes it from nothing.
    fn begin(&self, folder: &GroupFolder, spec: &GroupSpec) -> Result<(), SandboxError> {
        let assignment = Assignment { spec: spec.clone(), config: self.config.clone() };
        if let Some(spare) = self.spares.take(spec)
            && self.hand_out(spare, folder, &assignment)?
        {
            return Ok(());
        }
        self.furnish(folder, &assignment)?;
        self.start_monitor(folder)
    }

    /// A server's own files are nobody's image, whenever it is named; and without namespaces nothing can be mounted.
    fn refuse_images(&self, spec: &ContainerSpec) -> Result<(), SandboxError> {
        if self.config.images == Images::Registries
            && spec.role != Role::Coordinator
            && let Some(words) = spec.image.refused_by_servers()
        {
            return Err(SandboxError::Config(words));
        }
        if self.config.isolation == Isolation::Namespaces || spec.image == ImageSource::Host {
            return Ok(());
        }
        Err(SandboxError::Config(format!(
            "the container {} needs an image, and `--isolation none` has none: steps can only use this machine itself, \
             the image `host`. `danube doctor` says what is missing for images",
            spec.name
        )))
    }

    /// What the programs of a job call what the engine gives them.
    #[must_use]
    pub fn paths(&self, attempt: &AttemptId) -> JobPaths {
        match self.config.isolation {
            Isolation::Namespaces => JobPaths::inside(),
            Isolation::None => JobPaths::plain(&self.folder(attempt), &self.config),
        }
    }

    fn make_folder(&self, folder: &GroupFolder) -> Result<(), SandboxError> {
        let said = || format!("make {}", folder.path().display());
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder.recursive(true).create(folder.path()).doing(said)
    }

    /// Writes what the monitor reads, and takes over what the engine prepared.
    fn furnish(&self, folder: &GroupFolder, assignment: &Assignment) -> Result<(), SandboxError> {
        self.take_over(folder, assignment)?;
        if self.config.isolation == Isolation::None {
            borrow_objects(&folder.workspace(), assignment)?;
        }
        record::write(&folder.spec(), assignment)
    }

    /// Takes over what the engine prepared; what it has already, it keeps.
    fn take_over(&self, folder: &GroupFolder, assignment: &Assignment) -> Result<(), SandboxError> {
        let take = |from: &Path, to: std::path::PathBuf| {
            if to.exists() {
                return Ok(());
            }
            fs::rename(from, &to)
                .doing(|| format!("take over {} (it must lie on the data directory's file system)", from.display()))
        };
        match &assignment.spec.workspace {
            Workspace::Prepared { dir, .. } => take(dir, folder.workspace())?,
            Workspace::Empty => fs::create_dir_all(folder.workspace()).doing(|| "make the workspace")?,
        }
        if let Some(source) = &assignment.spec.source {
            take(source, folder.source())?;
        }
        Ok(())
    }

    fn start_monitor(&self, folder: &GroupFolder) -> Result<(), SandboxError> {
        let mut command = self.monitor_command()?;
        command.stdout(open_log(folder)?);
        spawn_monitor(command, folder)
    }

    fn monitor_command(&self) -> Result<Command, SandboxError> {
        let mut words = self.config.monitor.iter();
        let program = words.next().ok_or_else(|| SandboxError::Config("no monitor program is configured".into()))?;
        let mut command = Command::new(program);
        command.args(words.map(OsString::from));
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_for_monitors(&name.to_string_lossy())));
        Ok(command)
    }

    /// Waits until the group's sockets are there, or until it has failed.
    async fn first_word(&self, folder: &GroupFolder) -> Result<(), SandboxError> {
        let mut events = follow::follow(folder.clone());
        match std::future::poll_fn(|context| std::pin::Pin::new(&mut events).poll_next(context)).await {
            Some(GroupEvent::Failed { message, kind }) => Err(match kind {
                danube_core::runtime::GroupFailure::Image => SandboxError::Image(message),
                danube_core::runtime::GroupFailure::Config => SandboxError::Config(message),
                _ => SandboxError::Machine(message),
            }),
            Some(GroupEvent::Gone) | None => Err(SandboxError::NotRunning(folder.path().display().to_string())),
            Some(_) => Ok(()),
        }
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), SandboxError> {
        let folder = self.folder(attempt);
        if !folder.path().exists() {
            return Ok(());
        }
        stop_monitor(&folder).await?;
        end_leftovers(&folder).await?;
        remove_cgroups(&folder).await?;
        if let Some(place) = &self.config.keep {
            self.hand_back(&folder, place).await?;
        }
        self.remove_folder(&folder).await
    }

    async fn remove_folder(&self, folder: &GroupFolder) -> Result<(), SandboxError> {
        let traces = Traces::read(&folder.traces())?;
        if traces.is_some_and(|traces| traces.ids.tier == Tier::Subuid) {
            self.sweep(folder).await?;
        }
        remove_directory(folder)
    }

    /// The workspace becomes the caller's own, at its place outside the group.
    async fn hand_back(&self, folder: &GroupFolder, place: &Path) -> Result<(), SandboxError> {
        if !folder.workspace().exists() {
            return Ok(());
        }
        self.have_done(monitor::RECLAIM, folder).await?;
        fs::rename(folder.workspace(), place).doing(|| format!("keep the workspace as {}", place.display()))?;
        match record::read::<Assignment>(&folder.spec())? {
            Some(assignment) => borrow_objects(place, &assignment),
            None => Ok(()),
        }
    }

    /// Has a process with the tenants' ids remove what they wrote. Root needs none, and a single id is the caller's own.
    async fn sweep(&self, folder: &GroupFolder) -> Result<(), SandboxError> {
        self.have_done(monitor::SWEEP, folder).await
    }

    async fn have_done(&self, deed: &str, folder: &GroupFolder) -> Result<(), SandboxError> {
        let mut command = self.monitor_command()?;
        command.arg(deed).arg(folder.path()).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.map_err(io::Error::other).and_then(|done| done).doing(|| "see to a job's files")?;
        if !output.status.success() {
            return Err(SandboxError::Reported(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(())
    }

    fn found(&self) -> Result<Vec<FoundGroup>, SandboxError> {
        let groups = folder::groups(&self.config.data_dir);
        let entries = match fs::read_dir(&groups) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.doing(|| format!("read {}", groups.display()))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let attempts = names.filter_map(|name| folder::attempt_of(&name));
        attempts.map(|attempt| Ok(FoundGroup { running: self.is_running(&attempt)?, attempt })).collect()
    }

    fn is_running(&self, attempt: &AttemptId) -> Result<bool, SandboxError> {
        let file = match File::open(self.folder(attempt).pid()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.doing(|| "look for a monitor")?,
        };
        follow::is_locked(&file).doing(|| "look for a monitor")
    }
}

fn open_log(folder: &GroupFolder) -> Result<File, SandboxError> {
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.log());
    log.doing(|| format!("open {}", folder.log().display()))
}

/// Starts the monitor with its lock held already. The locked file gets its name only then, so that nobody ever sees it
/// without a lock while the monitor lives. The monitor does the same: whoever starts it may be killed in between.
fn spawn_monitor(mut command: Command, folder: &GroupFolder) -> Result<(), SandboxError> {
    let said = || "start the job's monitor";
    let mut file = OpenOptions::new();
    let lock = file.write(true).create(true).truncate(false).mode(0o600).open(folder.pid_to_be()).doing(said)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).doing(said)?;
    // What an earlier one left there.
    lock.set_len(0).doing(said)?;
    command.arg(folder.path()).stdin(lock.try_clone().doing(said)?).stderr(open_log(folder)?);
    let child = command.spawn().doing(said)?;
    failpoint("monitor-spawned");
    folder.name_monitor(&lock, child.id()).doing(said)
}

/// Outside of containers a workspace borrows Git's objects from the store itself.
fn borrow_objects(workspace: &Path, assignment: &Assignment) -> Result<(), SandboxError> {
    let Some(objects) = assignment.objects() else { return Ok(()) };
    objects::borrow_from(workspace, &objects).doing(|| format!("show Git's objects to {}", workspace.display()))
}

/// Asks the monitor to stop, then kills it: whatever it started dies with it.
async fn stop_monitor(folder: &GroupFolder) -> Result<(), SandboxError> {
    let Some(monitor) = Monitor::find(folder)? else { return Ok(()) };
    for signal in [Signal::TERM, Signal::KILL] {
        // It may just have ended.
        let _ = rustix::process::pidfd_send_signal(monitor.0.get_ref(), signal);
        if tokio::time::timeout(PATIENCE, monitor.ended()).await.is_ok() {
            return Ok(());
        }
    }
    Err(SandboxError::Machine(format!("the monitor of {} cannot be killed", folder.path().display())))
}

/// Ends what nothing held together when the monitor of a group without isolation was killed.
async fn end_leftovers(folder: &GroupFolder) -> Result<(), SandboxError> {
    let assignment = record::read::<Assignment>(&folder.spec())?;
    if !assignment.is_some_and(|assignment| assignment.config.isolation == Isolation::None) {
        return Ok(());
    }
    let cgroups = Traces::read(&folder.traces())?.map(|traces| traces.cgroups).unwrap_or_default();
    let of = folder.clone();
    let ended = tokio::task::spawn_blocking(move || processes::end(|| processes::leftovers(&of, &cgroups))).await;
    match ended.map_err(io::Error::other).doing(|| "end a job's processes")? {
        true => Ok(()),
        false => Err(SandboxError::Machine(format!("processes of {} cannot be killed", folder.path().display()))),
    }
}

/// A killed process leaves its cgroup a moment after it is gone, and nothing tells when.
async fn remove_cgroups(folder: &GroupFolder) -> Result<(), SandboxError> {
    const TRIES: u32 = 500;
    const PAUSE: Duration = Duration::from_millis(10);
    let Some(traces) = Traces::read(&folder.traces())? else { return Ok(()) };
    for dir in &traces.cgroups {
        let mut tries = 0;
        while let Err(error) = cgroup_tree::remove(dir) {
            tries += 1;
            if tries == TRIES {
                return Err(error).doing(|| format!("remove {}", dir.display()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn remove_directory(folder: &GroupFolder) -> Result<(), SandboxError> {
    let said = || format!("remove {}", folder.path().display());
    let (Some(parent), Some(name)) = (folder.path().parent(), folder.path().file_name()) else { return Ok(()) };
    let name = CString::new(name.as_encoded_bytes()).map_err(io::Error::other).doing(said)?;
    let parent = File::open(parent).doing(said)?;
    cleanup::remove_tree(&parent, &name).doing(said)
}

impl Runtime for Sandbox {
    type Stream = UnixStream;
    type Events = Events;

    async fn create(&self, spec: &GroupSpec) -> Result<(), RuntimeError> {
        Ok(self.make(spec).await?)
    }

    async fn add(&self, attempt: &AttemptId, container: &ContainerSpec) -> Result<(), RuntimeError> {
        self.refuse_images(container)?;
        Ok(monitor::ask_to_add(&self.folder(attempt), container).await?)
    }

    async fn open(&self, attempt: &AttemptId, container: &ContainerName) -> Result<UnixStream, RuntimeError> {
        let not_running = || RuntimeError::NotRunning(format!("{container} of {attempt}"));
        let (_dir, socket) = self.folder(attempt).container(container).socket().map_err(|_| not_running())?;
        match UnixStream::connect(&socket).await {
            Ok(stream) => Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(RuntimeError::Transient(format!("the shim of {container} has too many connections waiting")))
            }
            Err(_) => Err(not_running()),
        }
    }

    fn watch(&self, attempt: &AttemptId) -> Events {
        follow::follow(self.folder(attempt))
    }

    async fn delete(&self, attempt: &AttemptId) -> Result<(), RuntimeError> {
        let removed = self.remove(attempt).await;
        self.spares.group_ends(attempt);
        Ok(removed?)
    }

    async fn list(&self) -> Result<Vec<FoundGroup>, RuntimeError> {
        Ok(self.found()?)
    }
}

/// What of the caller's environment a monitor needs. The rest may hold secrets, and stays where the caller put it.
fn is_for_monitors(name: &str) -> bool {
    const PLAIN: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "RUST_BACKTRACE"];
    // Where passwords of registries and trusted certificates are.
    const REGISTRIES: [&str; 3] = ["DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    let proxy = name.to_ascii_lowercase().ends_with("_proxy");
    PLAIN.contains(&name) || REGISTRIES.contains(&name) || proxy || name.starts_with("DANUBE_IMAGE_")
}
