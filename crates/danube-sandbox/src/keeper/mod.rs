//! The keeper: one single-threaded process per group that holds the job's outer user namespace, its network and
//! its mounts, and makes containers for the monitor. It is forked from the monitor before that has any thread,
//! runs no tenant code, and dies with the monitor.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::MountPropagationFlags;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use crate::egress::{self, EgressSockets};
use crate::error::{Doing, SandboxError};
use crate::group::cleanup;
use crate::group::folder::GroupFolder;
use crate::ids::{IdLine, Ids, map_text};
use crate::images::{self, ResolvedImage};
use crate::inside::{self, Entrance, LaunchFds};
use crate::plan::{Bind, ContainerPlan};
use crate::sys::{self, Fork, MountLimits};
pub use take_back::take_back;
use wire::{Order, Reply};

mod own;
mod take_back;
pub mod unpack;
pub mod wire;

/// What the keeper calls the caller.
const CALLER: (u32, u32) = (0, 0);

/// What the keeper must know before the monitor's first order.
pub struct Setup {
    /// The shim that every container executes; none for a keeper that makes no container.
    pub shim: Option<PathBuf>,
    /// The group's network.
    pub network: Network,
}

/// The network of a group.
pub enum Network {
    /// The host's.
    Host,
    /// Its own, with listeners on these ports.
    Own(Vec<u16>),
    /// Its own; which ports is told by [`Order::OpenNetwork`].
    Later,
}

/// Runs the keeper until the monitor is gone. Never returns: it is a fork and must not unwind into the monitor's code.
pub fn run(channel: &OwnedFd, setup: &Setup) -> ! {
    if let Err(error) = serve(channel, setup) {
        eprintln!("keeper: {error}");
        // The monitor may be gone, which is then the reason of the failure.
        let _ = wire::send(channel, &Reply::Failed(error.to_string()), &[]);
        sys::exit_now(1);
    }
    sys::exit_now(0)
}

fn serve(channel: &OwnedFd, setup: &Setup) -> Result<(), SandboxError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "tie the keeper to the monitor")?;
    unshare(!matches!(setup.network, Network::Host))?;
    answer(channel, &Reply::Unshared)?;
    let Some((ids, _)) = wire::receive::<Ids>(channel).doing(|| "wait for the id maps")? else { return Ok(()) };
    let keeper = Keeper { ids, shim: prepare(setup)? };
    match &setup.network {
        Network::Own(ports) => hand_over(channel, &open_network(ports)?)?,
        Network::Host | Network::Later => answer(channel, &Reply::Ready)?,
    }
    while let Some((order, fds)) = wire::receive(channel).doing(|| "read an order")? {
        keeper.obey(channel, order, fds)?;
    }
    Ok(())
}

fn answer(channel: &OwnedFd, reply: &Reply) -> Result<(), SandboxError> {
    wire::send(channel, reply, &[]).doing(|| "answer the monitor")
}

fn hand_over(channel: &OwnedFd, sockets: &EgressSockets) -> Result<(), SandboxError> {
    answer(channel, &Reply::Ready)?;
    sockets.send(channel).map_err(|error| SandboxError::Machine(error.to_string()))
}

fn unshare(own_network: bool) -> Result<(), SandboxError> {
    let network = if own_network { UnshareFlags::NEWNET } else { UnshareFlags::empty() };
    sys::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS | network).map_err(|error| {
        SandboxError::Machine(format!(
            "this machine lets the caller make no user namespaces ({error}). `danube doctor` says why; \
             `--isolation none` runs without isolation"
        ))
    })
}

/// Cuts the mounts off from the host's and opens the shim through a read-only mount of its own, so that nobody
/// who gets hold of the running program can write to its file.
fn prepare(setup: &Setup) -> Result<Option<OwnedFd>, SandboxError> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).doing(|| "make the job's mounts private")?;
    setup.shim.as_deref().map(open_shim).transpose()
}

fn open_shim(path: &Path) -> Result<OwnedFd, SandboxError> {
    let said = || format!("open the shim {}", path.display());
    let shim = inside::clone_tree(path).doing(said)?;
    sys::limit_mounts(&shim, MountLimits { read_only: true, no_devices: true, no_exec: false }).doing(said)?;
    Ok(shim)
}

/// Opens the resolver and the listeners in the job's network.
fn open_network(ports: &[u16]) -> Result<EgressSockets, SandboxError> {
    let sockets = egress::prepare(ports).map_err(|error| SandboxError::Machine(error.to_string()))?;
    // Without this only services of steps on low ports fail, with EACCES of their own: no reason to stop.
    if let Err(error) = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0") {
        eprintln!("steps cannot listen on ports below 1024: {error}");
    }
    Ok(sockets)
}

struct Keeper {
    ids: Ids,
    shim: Option<OwnedFd>,
}

impl Keeper {
    /// Carries out one order. A failed order is answered; only a lost channel ends the keeper.
    fn obey(&self, channel: &OwnedFd, order: Order, fds: Vec<OwnedFd>) -> Result<(), SandboxError> {
        let done = match order {
            Order::TryOverlay => inside::try_overlay().doing(|| "mount an overlay").map(|()| Reply::Done),
            Order::Clear => clear(&fds).map(|()| Reply::Done),
            Order::Unpack(image) => match self.unpack(channel, &image, &fds) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
            Order::Remove(folder) => remove(&GroupFolder::at(folder)).map(|()| Reply::Done),
            Order::TakeBack(dir) => take_back(&dir, CALLER).map(|()| Reply::Done),
            Order::OpenNetwork(ports) => match open_network(&ports) {
                Ok(sockets) => return hand_over(channel, &sockets),
                Err(error) => Err(error),
            },
            Order::Attach(binds) => self.attach(&binds, &fds).map(|()| Reply::Done),
            Order::Own(owns) => self.own(&owns).map(|()| Reply::Done),
            Order::Launch(plan) => match self.launch(&plan, fds) {
                Ok((pid, sync)) => {
                    let reply = Reply::Launched { pid: pid.as_raw_nonzero().get() };
                    return wire::send(channel, &reply, &[sync.as_fd()]).doing(|| "answer the monitor");
                }
                Err(error) => Err(error),
            },
        };
        answer(channel, &done.unwrap_or_else(|error| Reply::Failed(error.to_string())))
    }

    fn unpack(&self, channel: &OwnedFd, image: &ResolvedImage, fds: &[OwnedFd]) -> Result<(), SandboxError> {
        let root = fds.first().ok_or_else(|| SandboxError::Reported("unpack into what?".into()))?;
        unpack::run(channel, &self.ids, image, root)
    }

    fn own(&self, owns: &[wire::Own]) -> Result<(), SandboxError> {
        owns.iter().try_for_each(|own| own::give(own, self.ids.in_keeper(own.user)))
    }

    /// Mounts from here into a container's own namespaces. That takes a process which stays there, so it is a copy.
    fn attach(&self, binds: &[Bind], fds: &[OwnedFd]) -> Result<(), SandboxError> {
        let container = fds.first().ok_or_else(|| SandboxError::Reported("attach in what?".into()))?;
        let mounts = binds.iter().map(inside::open_bind).collect::<Result<Vec<_>, _>>()?;
        match sys::fork(0).doing(|| "enter a container")? {
            Fork::Child => match inside::attach_in(container, &mounts, &self.ids) {
                Ok(()) => sys::exit_now(0),
                Err(error) => {
                    eprintln!("keeper: {error}");
                    sys::exit_now(1)
                }
            },
            Fork::Parent(pid) => {
                let ended = rustix::process::waitpid(Some(pid), WaitOptions::empty());
                match ended.doing(|| "wait for a copy of the keeper")? {
                    Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
                    _ => Err(SandboxError::Reported("a container could not be furnished; see monitor.log".into())),
                }
            }
        }
    }

    /// Makes the container's process. It is the monitor's child (`CLONE_PARENT`): the monitor reaps it, and the
    /// kernel kills it when the monitor dies.
    fn launch(&self, plan: &ContainerPlan, fds: Vec<OwnedFd>) -> Result<(Pid, OwnedFd), SandboxError> {
        let Some(shim) = &self.shim else { return Err(SandboxError::Reported("this keeper has no shim".into())) };
        let fds = LaunchFds::from_received(fds, plan.late)?;
        let (ours, theirs) = socket_pair()?;
        let spaces = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC;
        match sys::fork(spaces | libc::CLONE_NEWUTS | libc::CLONE_PARENT).doing(|| "make a container's namespaces")? {
            Fork::Child => {
                drop(ours);
                inside::enter(&Entrance { plan, ids: &self.ids, shim, sync: &theirs }, fds)
            }
            Fork::Parent(pid) => {
                write_maps(pid, &self.ids.inner(plan.user))?;
                Ok((pid, ours))
            }
        }
    }
}

fn write_maps(pid: Pid, [users, groups]: &[Vec<IdLine>; 2]) -> Result<(), SandboxError> {
    for (file, lines) in [("uid_map", users), ("gid_map", groups)] {
        let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
        std::fs::write(&path, map_text(lines)).doing(|| format!("write {path}"))?;
    }
    Ok(())
}

fn clear(fds: &[OwnedFd]) -> Result<(), SandboxError> {
    let root = fds.first().ok_or_else(|| SandboxError::Reported("clear what?".into()))?;
    images::clear(root.as_fd()).map_err(|error| SandboxError::Image(error.to_string()))
}

/// Removes what tenants wrote; the rest of the folder is the caller's.
fn remove(folder: &GroupFolder) -> Result<(), SandboxError> {
    let dir = folder.open()?;
    for name in [c"c", c"workspace", c"source"] {
        cleanup::remove_tree(&dir, name).doing(|| format!("remove {}", folder.path().display()))?;
    }
    Ok(())
}

fn socket_pair() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .doing(|| "make a socket pair")
}
