//! Following a group from outside: its journal, its monitor's life, the disappearance of its folder. Nothing polls:
//! inotify tells of the files, a pidfd of the process.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use danube_core::runtime::{GroupEvent, GroupFailure};
use rustix::fs::{FlockOperation, inotify};
use rustix::process::{Pid, PidfdFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::folder::GroupFolder;
use super::journal::Reader;
use crate::error::{Doing, SandboxError};
use crate::sys;

/// Events that a slow watcher may leave lying before the follower waits for it.
const AHEAD: usize = 64;
/// So often, and after such pauses, is looked whether a monitor that is being started has said which it is.
const STARTING: (u32, Duration) = (500, Duration::from_millis(10));

/// The events of one group; ends after [`GroupEvent::Gone`]. Dropping it ends the following.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<GroupEvent>,
    task: tokio::task::JoinHandle<()>,
}

impl futures_core::Stream for Events {
    type Item = GroupEvent;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<GroupEvent>> {
        self.receiver.poll_recv(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows a group. Must be called within a tokio runtime.
#[must_use]
pub fn follow(folder: GroupFolder) -> Events {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let task = tokio::spawn(async move {
        if let Err(error) = (Follower { folder, sender: sender.clone(), reader: None }).run().await {
            let message = error.to_string();
            // A watcher that stopped listening needs no reason.
            let _ = sender.send(GroupEvent::Failed { kind: GroupFailure::Infra, message }).await;
        }
    });
    Events { receiver, task }
}

/// The monitor of a group, as far as it lives.
#[derive(Debug)]
pub struct Monitor(pub AsyncFd<OwnedFd>);

impl Monitor {
    /// Finds a group's living monitor: the one that holds the lock on the file with its id.
    pub fn find(folder: &GroupFolder) -> Result<Option<Self>, SandboxError> {
        let said = || format!("look for the monitor of {}", folder.path().display());
        let Some(file) = its_file(folder) else { return Ok(None) };
        if !is_locked(&file).doing(said)? {
            return Ok(None);
        }
        let text = std::fs::read_to_string(folder.pid()).doing(said)?;
        let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return Ok(None) };
        let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) else { return Ok(None) };
        // Still locked: so the process with this id, which we hold now, is the one that wrote it.
        if !is_locked(&file).doing(said)? {
            return Ok(None);
        }
        sys::readable(pidfd).map(|fd| Some(Self(fd))).doing(said)
    }

    /// Waits until it has ended, and takes note if it was this process's child.
    pub async fn ended(&self) {
        // An error here means that there is nothing to wait for.
        let _ = self.0.readable().await;
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOHANG;
        let _ = rustix::process::waitid(
            rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(self.0.get_ref())),
            options,
        );
    }
}

/// The file with a monitor's id. One whose starter was killed in that instant gives it its name itself, in a moment.
fn its_file(folder: &GroupFolder) -> Option<File> {
    for _ in 0..STARTING.0 {
        let named = File::open(folder.pid()).ok();
        let Ok(unnamed) = File::open(folder.pid_to_be()) else {
            return named.or_else(|| File::open(folder.pid()).ok());
        };
        if named.is_some() || !is_locked(&unnamed).unwrap_or(false) {
            return named;
        }
        std::thread::sleep(STARTING.1);
    }
    None
}

/// Whether a monitor holds the lock. The look takes a shared lock for an instant, which no monitor waits for.
pub fn is_locked(file: &File) -> std::io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(rustix::fs::flock(file, FlockOperation::Unlock).map(|()| false)?),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

struct Follower {
    folder: GroupFolder,
    sender: mpsc::Sender<GroupEvent>,
    reader: Option<Reader>,
}

impl Follower {
    async fn run(&mut self) -> Result<(), SandboxError> {
        let Some(watch) = watch(&self.folder)? else { return self.gone().await };
        let (mut monitor, mut told_lost) = (None, false);
        loop {
            if monitor.is_none() && !told_lost {
                monitor = Monitor::find(&self.folder)?;
            }
            let lives = monitor.is_some();
            if !self.tell_news().await? {
                return self.gone().await;
            }
            // A monitor is started before anybody follows it. Without a file for its id a power cut took what there was.
            if !lives && !told_lost {
                told_lost = true;
                self.tell_if_lost().await?;
            }
            tokio::select! {
                () = changed(&watch) => {}
                () = ended(monitor.as_ref()), if lives => monitor = None,
            }
        }
    }

    /// Tells what the journal has new. False when the folder is gone.
    async fn tell_news(&mut self) -> Result<bool, SandboxError> {
        if self.reader.is_none() {
            self.reader = Reader::open(&self.folder).ok();
        }
        let news = match &mut self.reader {
            Some(reader) => reader.news().doing(|| format!("read {}", self.folder.events().display()))?,
            None => Vec::new(),
        };
        for event in news {
            self.tell(event).await;
        }
        Ok(self.folder.path().exists())
    }

    /// A monitor that ended without saying how has died.
    async fn tell_if_lost(&self) -> Result<(), SandboxError> {
        if !self.folder.exit().exists() && self.folder.path().exists() {
            let message = "the job's monitor process died; nothing it started is left running".to_owned();
            self.tell(GroupEvent::Failed { kind: GroupFailure::Lost, message }).await;
        }
        Ok(())
    }

    async fn gone(&self) -> Result<(), SandboxError> {
        self.tell(GroupEvent::Gone).await;
        Ok(())
    }

    async fn tell(&self, event: GroupEvent) {
        // Nobody listens any more: the task is about to be ended.
        let _ = self.sender.send(event).await;
    }
}

async fn ended(monitor: Option<&Monitor>) {
    match monitor {
        Some(monitor) => monitor.ended().await,
        None => std::future::pending().await,
    }
}

/// Watches a group's folder; `None` when there is none.
fn watch(folder: &GroupFolder) -> Result<Option<AsyncFd<OwnedFd>>, SandboxError> {
    use inotify::{CreateFlags, WatchFlags};
    let said = || format!("watch {}", folder.path().display());
    let notify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).doing(said)?;
    let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    // A directory's own deletion is told only when the last descriptor of it is closed; its parent tells at once.
    let parent = folder.path().parent().unwrap_or(folder.path());
    let watched = inotify::add_watch(&notify, parent, WatchFlags::DELETE);
    match watched.and_then(|_| inotify::add_watch(&notify, folder.path(), changes)) {
        Ok(_) => sys::readable(notify).map(Some).doing(said),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error).doing(said),
    }
}

/// Waits for any change and forgets which it was: the files themselves are read anew.
async fn changed(watch: &AsyncFd<OwnedFd>) {
    let Ok(mut ready) = watch.readable().await else { return std::future::pending().await };
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(watch.get_ref(), &mut space);
    while events.next().is_ok() {}
    ready.clear_ready();
}
