//! One container, from its folder to its end.

use std::fs::{self, DirBuilder, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::task::Context;

use danube_core::runtime::{ContainerState, ImageSource};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::cgroups::Cgroup;
use super::keeper::Keeper;
use crate::error::{Doing, SandboxError};
use crate::group::folder::ContainerFolder;
use crate::inside::TIED;
use crate::plan::ContainerPlan;
use crate::sys;

/// What the shim inherits, before it is launched.
pub struct Openings {
    /// Its listening socket.
    pub listen: OwnedFd,
    /// Its spool's directory.
    pub spool: OwnedFd,
    /// Its log.
    pub log: OwnedFd,
}

/// Makes a container's directory with all that lies in it, and its socket. From here on `open` finds it: a
/// connection waits in the socket's queue until the shim serves it.
pub fn prepare(folder: &ContainerFolder, image: &ImageSource) -> Result<Openings, SandboxError> {
    let said = || format!("make {}", folder.path().display());
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true);
    // A home is `host`'s, a layer over the image every other's. Each directory costs every job.
    let own = if *image == ImageSource::Host {
        [folder.home().join(".cargo")].to_vec()
    } else {
        [folder.upper(), folder.work()].to_vec()
    };
    for dir in [folder.spool(), folder.tmp(), folder.var_tmp()].into_iter().chain(own) {
        builder.create(dir).doing(said)?;
    }
    let (_dir, socket) = folder.socket()?;
    let listen = UnixListener::bind(&socket).doing(|| format!("listen in {}", folder.path().display()))?;
    let spool = rustix::fs::open(folder.spool(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.log());
    Ok(Openings { listen: listen.into(), spool: spool.doing(said)?, log: log.doing(said)?.into() })
}

/// A container's first process.
pub struct Process {
    pidfd: AsyncFd<OwnedFd>,
    _held: Option<OwnedFd>,
}

impl Process {
    /// Holds a child of this process.
    pub fn of(pid: Pid) -> Result<Self, SandboxError> {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).doing(|| "hold a container's process")?;
        let pidfd = sys::readable(pidfd).doing(|| "watch a container's process")?;
        Ok(Self { pidfd, _held: None })
    }

    /// Keeps something open for as long as the container lives.
    pub fn holding(self, held: Option<OwnedFd>) -> Self {
        Self { _held: held, ..self }
    }

    /// Its handle.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.get_ref().as_fd()
    }

    /// Looks whether it has ended; if not, whoever polls is woken when it has.
    pub fn has_ended(&self, context: &mut Context<'_>) -> bool {
        self.pidfd.poll_read_ready(context).is_ready()
    }

    /// Kills it, and with it everything in its process namespace. Without namespaces the rest is killed at the end.
    pub fn kill(&self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = rustix::process::pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL);
    }

    /// Waits for its end.
    pub async fn ended(&self, cgroup: Option<&Cgroup>) -> Result<ContainerState, SandboxError> {
        let _ready = self.pidfd.readable().await.doing(|| "wait for a container")?;
        let fd = self.pidfd.get_ref().as_fd();
        let status = rustix::process::waitid(WaitId::PidFd(fd), WaitIdOptions::EXITED).doing(|| "reap a container")?;
        let signal = status.as_ref().and_then(|status| status.terminating_signal());
        let code = status.as_ref().and_then(|status| status.exit_status());
        let exit_code = code.unwrap_or_else(|| 128 + signal.unwrap_or(0));
        Ok(ContainerState::Terminated { exit_code, signal, oom: cgroup.and_then(Cgroup::oom) })
    }
}

/// Makes a container from its plan and its openings, in its cgroup. `late` is where its shim is told for which job.
pub async fn launch(
    keeper: &Keeper,
    plan: ContainerPlan,
    openings: &Openings,
    cgroup: Option<&Cgroup>,
    late: Option<OwnedFd>,
) -> Result<Process, SandboxError> {
    let name = plan.name.clone();
    let oom = cgroup.and_then(Cgroup::oom_counter);
    let fds = [&openings.listen, &openings.spool, &openings.log].into_iter().chain(&oom).chain(&late);
    let fds: Vec<_> = fds.map(AsFd::as_fd).collect();
    let (pid, sync) = keeper.launch(plan, &fds).await?;
    let process = Process::of(pid)?;
    if let Some(cgroup) = cgroup {
        cgroup.add(pid).doing(|| format!("limit {name}"))?;
    }
    release(sync).await?;
    Ok(process)
}

/// Lets a waiting container go on and waits until it has become the shim.
async fn release(sync: OwnedFd) -> Result<(), SandboxError> {
    let said = || "start a container";
    let sync = std::os::unix::net::UnixStream::from(sync);
    sync.set_nonblocking(true).doing(said)?;
    let mut sync = tokio::net::UnixStream::from_std(sync).doing(said)?;
    sync.write_all(&[1]).await.doing(said)?;
    let mut first = [0];
    sync.read_exact(&mut first).await.doing(said)?;
    let mut words = Vec::new();
    if first == [TIED] {
        sync.write_all(&[1]).await.doing(said)?;
    } else {
        words.extend(first);
    }
    // The socket closes when the shim is executed.
    sync.read_to_end(&mut words).await.doing(said)?;
    if words.is_empty() { Ok(()) } else { Err(SandboxError::Reported(String::from_utf8_lossy(&words).into_owned())) }
}

/// Removes a container's socket, so that nobody connects to what is no more.
pub fn close_door(folder: &ContainerFolder) {
    if let Err(error) = fs::remove_file(folder.path().join("shim")) {
        eprintln!("cannot remove a container's socket: {error}");
    }
}
