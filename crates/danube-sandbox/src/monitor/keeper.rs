//! The monitor's end of the line to the keeper.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, RawPid};
use tokio::io::unix::AsyncFd;

use crate::egress::{EgressError, EgressSockets};
use crate::error::{Doing, SandboxError};
use crate::ids::Ids;
use crate::keeper::wire::{self, Order, Own, Reply};
use crate::keeper::{self, Network, Setup};
use crate::plan::{Bind, ContainerPlan};
use crate::sys::{self, Fork};

use super::maps;
use super::start::Lock;

/// The keeper, before the monitor has a runtime.
pub struct Started {
    /// The line.
    pub channel: OwnedFd,
    /// Its process, a child of the monitor.
    pub pid: Pid,
    /// The ids of the group.
    pub ids: Ids,
    /// The network's sockets, if the group has a network of its own.
    pub sockets: Option<EgressSockets>,
}

/// Forks the keeper and waits until the group's namespaces stand.
///
/// `lock` is the monitor's alone: the keeper lets go of it, or the group would seem alive after its monitor.
pub fn start(setup: &Setup, id_base: u32, lock: Option<&Lock>) -> Result<Started, SandboxError> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .doing(|| "make the line to the keeper")?;
    match sys::fork(0).doing(|| "make the keeper")? {
        Fork::Child => {
            drop(ours);
            if let Some(lock) = lock {
                lock.let_go();
            }
            keeper::run(&theirs, setup)
        }
        Fork::Parent(pid) => {
            drop(theirs);
            settle(ours, pid, setup, id_base)
        }
    }
}

fn settle(channel: OwnedFd, pid: Pid, setup: &Setup, id_base: u32) -> Result<Started, SandboxError> {
    expect(&channel, |reply| matches!(reply, Reply::Unshared))?;
    let ids = maps::give(pid, id_base)?;
    wire::send(&channel, &ids, &[]).doing(|| "tell the keeper its ids")?;
    expect(&channel, |reply| matches!(reply, Reply::Ready))?;
    let opened = matches!(setup.network, Network::Own(_));
    let sockets = opened.then(|| EgressSockets::receive(&channel)).transpose();
    let sockets = sockets.map_err(|error| SandboxError::Machine(error.to_string()))?;
    Ok(Started { channel, pid, ids, sockets })
}

/// Gives an order without a runtime.
pub fn ask_now(channel: &OwnedFd, order: &Order, fds: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
    wire::send(channel, order, fds).doing(|| "order the keeper")?;
    expect(channel, |reply| matches!(reply, Reply::Done)).map(drop)
}

fn expect(channel: &OwnedFd, wanted: impl Fn(&Reply) -> bool) -> Result<Vec<OwnedFd>, SandboxError> {
    let received = wire::receive::<Reply>(channel).doing(|| "hear from the keeper")?;
    judge(received, wanted).map(|(_, fds)| fds)
}

fn judge(
    received: Option<(Reply, Vec<OwnedFd>)>,
    wanted: impl Fn(&Reply) -> bool,
) -> Result<(Reply, Vec<OwnedFd>), SandboxError> {
    match received {
        Some((Reply::Failed(words), _)) => Err(SandboxError::Reported(words)),
        Some((reply, fds)) if wanted(&reply) => Ok((reply, fds)),
        Some((reply, _)) => Err(SandboxError::Reported(format!("the keeper answered out of turn: {reply:?}"))),
        None => Err(SandboxError::Reported("the keeper of the job's namespaces died; see monitor.log".into())),
    }
}

/// The keeper, within the runtime. One order at a time.
pub struct Keeper {
    channel: tokio::sync::Mutex<AsyncFd<OwnedFd>>,
    pid: Pid,
}

impl Keeper {
    /// Takes over the line.
    pub fn new(channel: OwnedFd, pid: Pid) -> Result<Self, SandboxError> {
        rustix::io::ioctl_fionbio(&channel, true).doing(|| "listen to the keeper")?;
        let channel = sys::readable(channel).doing(|| "listen to the keeper")?;
        Ok(Self { channel: tokio::sync::Mutex::new(channel), pid })
    }

    /// Ends it and its mounts, so that nothing of the group is left when the monitor is gone. It would end with the
    /// monitor by itself, but a moment later.
    pub fn end(&self) {
        // Neither can fail but for a keeper that is gone already.
        let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.pid), rustix::process::WaitOptions::empty());
    }

    /// Gives files to users of the containers.
    pub async fn own(&self, owns: Vec<Own>) -> Result<(), SandboxError> {
        self.ask(&Order::Own(owns), &[], |reply| matches!(reply, Reply::Done)).await.map(drop)
    }

    /// Mounts these into the container of this process.
    pub async fn attach(&self, container: BorrowedFd<'_>, binds: Vec<Bind>) -> Result<(), SandboxError> {
        self.ask(&Order::Attach(binds), &[container], |reply| matches!(reply, Reply::Done)).await.map(drop)
    }

    /// Opens the group's network, where it was left for later.
    pub async fn open_network(&self, ports: Vec<u16>) -> Result<EgressSockets, SandboxError> {
        self.ask(&Order::OpenNetwork(ports), &[], |reply| matches!(reply, Reply::Ready)).await?;
        let channel = self.channel.lock().await;
        loop {
            let mut ready = channel.readable().await.doing(|| "hear from the keeper")?;
            match EgressSockets::receive(channel.get_ref()) {
                Err(EgressError::Handover(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                }
                received => return received.map_err(|error| SandboxError::Machine(error.to_string())),
            }
        }
    }

    /// Makes a container that waits for its start.
    pub async fn launch(&self, plan: ContainerPlan, fds: &[BorrowedFd<'_>]) -> Result<(Pid, OwnedFd), SandboxError> {
        let order = Order::Launch(Box::new(plan));
        let (reply, fds) = self.ask(&order, fds, |reply| matches!(reply, Reply::Launched { .. })).await?;
        let Reply::Launched { pid } = reply else { return Err(SandboxError::Reported("no container".into())) };
        let pid = RawPid::from(pid);
        match (Pid::from_raw(pid), fds.into_iter().next()) {
            (Some(pid), Some(sync)) => Ok((pid, sync)),
            _ => Err(SandboxError::Reported("the keeper made a container without a handle".into())),
        }
    }

    /// Gives an order that tells of its progress until it is done.
    pub async fn ask_long(
        &self,
        order: &Order,
        fds: &[BorrowedFd<'_>],
        progress: impl Fn(u64, u64),
    ) -> Result<Reply, SandboxError> {
        let channel = self.channel.lock().await;
        wire::send(channel.get_ref().as_fd(), order, fds).doing(|| "order the keeper")?;
        loop {
            match judge(hear(&channel).await?, |_| true)? {
                (Reply::Progress { done, total }, _) => progress(done, total),
                (reply, _) => return Ok(reply),
            }
        }
    }

    async fn ask(
        &self,
        order: &Order,
        fds: &[BorrowedFd<'_>],
        wanted: impl Fn(&Reply) -> bool,
    ) -> Result<(Reply, Vec<OwnedFd>), SandboxError> {
        let channel = self.channel.lock().await;
        wire::send(channel.get_ref().as_fd(), order, fds).doing(|| "order the keeper")?;
        judge(hear(&channel).await?, wanted)
    }
}

/// The next reply.
async fn hear(channel: &AsyncFd<OwnedFd>) -> Result<Option<(Reply, Vec<OwnedFd>)>, SandboxError> {
    loop {
        let mut ready = channel.readable().await.doing(|| "hear from the keeper")?;
        match wire::receive(channel.get_ref().as_fd()) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => ready.clear_ready(),
            received => return received.doing(|| "hear from the keeper"),
        }
    }
}
