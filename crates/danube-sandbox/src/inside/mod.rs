//! What a container's first process does between `clone` and becoming the shim: it builds its root, gives up its
//! rights, and executes. It runs in the new namespaces, single-threaded, with the caller's id until [`enter`] says otherwise.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::FdFlags;
use rustix::mount::OpenTreeFlags;
use rustix::process::{DumpableBehavior, Pid, Signal};

use crate::error::{Doing, SandboxError};
use crate::ids::Ids;
use crate::plan::ContainerPlan;
use crate::sys;

mod dev;
mod late;
mod privileges;
mod proc;
mod root;
mod seccomp;
mod tree;

pub use late::attach_in;
pub use proc::pid_max_is_per_namespace;
pub use root::{open_bind, try_overlay};

use danube_core::runtime::shim_env;

/// What a container sends when the monitor's death will end it; no text of an error begins so.
pub const TIED: u8 = 0;

/// What a container is made from.
pub struct Entrance<'a> {
    /// What it is to look like.
    pub plan: &'a ContainerPlan,
    /// Its ids.
    pub ids: &'a Ids,
    /// The program to become.
    pub shim: &'a OwnedFd,
    /// Where to wait for the monitor and to report a failure.
    pub sync: &'a OwnedFd,
}

/// The descriptors that the shim inherits.
pub struct LaunchFds {
    /// Its listening socket.
    pub listen: OwnedFd,
    /// The directory of its spool.
    pub spool: OwnedFd,
    /// Where its own complaints go.
    pub log: OwnedFd,
    /// Its OOM counter, where there are cgroups.
    pub oom: Option<OwnedFd>,
    /// Where it is told for which job it is, if that is not known yet.
    pub late: Option<OwnedFd>,
}

impl LaunchFds {
    /// In the order in which the monitor sends them.
    pub fn from_received(mut fds: Vec<OwnedFd>, is_late: bool) -> Result<Self, SandboxError> {
        let late = if is_late { fds.pop() } else { None };
        let mut fds = fds.into_iter();
        let (Some(listen), Some(spool), Some(log)) = (fds.next(), fds.next(), fds.next()) else {
            return Err(SandboxError::Reported("a launch came without its descriptors".into()));
        };
        Ok(Self { listen, spool, log, oom: fds.next(), late })
    }
}

/// A copy of what is mounted at a path, with everything beneath it, attached nowhere yet.
pub fn clone_tree(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(rustix::fs::CWD, path, flags)
}

/// Becomes the container. Never returns.
pub fn enter(entrance: &Entrance<'_>, fds: LaunchFds) -> ! {
    if let Err(error) = prepare_and_exec(entrance, fds) {
        report(entrance.sync, &error);
    }
    sys::exit_now(1)
}

fn report(sync: &OwnedFd, error: &SandboxError) {
    let Ok(sync) = sync.try_clone() else { return };
    // Nobody is left to tell if the monitor is gone.
    let _ = std::fs::File::from(sync).write_all(error.to_string().as_bytes());
}

/// Becomes root of the new user namespace once its maps are written.
pub fn become_root_when_told(ids: &Ids, sync: &OwnedFd, keeper: Pid) -> Result<(), SandboxError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "tie to the keeper")?;
    wait_for_byte(sync)?;
    privileges::become_container_root(ids)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "tie to the keeper")?;
    if rustix::process::getppid() == Some(keeper) {
        return Ok(());
    }
    Err(SandboxError::Reported("the keeper died".into()))
}

fn prepare_and_exec(entrance: &Entrance<'_>, fds: LaunchFds) -> Result<(), SandboxError> {
    tie_to_monitor()?;
    wait_for_monitor(entrance.sync)?;
    let sources = root::Sources::open(entrance.plan)?;
    privileges::become_container_root(entrance.ids)?;
    root::build(entrance.plan, sources, entrance.ids)?;
    rustix::system::sethostname(entrance.plan.name.as_str().as_bytes()).doing(|| "set the host name")?;
    let env = inherit(entrance, fds)?;
    privileges::give_up(entrance.ids)?;
    // Changing ids has cleared it; nothing after this line changes them.
    tie_to_monitor()?;
    confirm_monitor(entrance.sync)?;
    seccomp::install()?;
    let name = [CString::from(c"danube-shim")];
    Err(sys::exec_fd(entrance.shim, &name, &env)).doing(|| "execute the shim in the container")
}

/// The kernel kills this process when the monitor, its parent, dies.
fn tie_to_monitor() -> Result<(), SandboxError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).doing(|| "keep /proc/self readable")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "tie the container to the monitor")
}

/// A monitor that died while this process was not tied to it gives no sign of it later: so it is asked, now that
/// its death from here on would be noticed.
fn confirm_monitor(sync: &OwnedFd) -> Result<(), SandboxError> {
    rustix::io::write(sync, &[TIED]).doing(|| "tell the monitor")?;
    wait_for_byte(sync)
}

/// The monitor sends one byte when this process is in its cgroups. Nothing instead means that the monitor died
/// before the kernel could tie us to it.
fn wait_for_monitor(sync: &OwnedFd) -> Result<(), SandboxError> {
    wait_for_byte(sync)?;
    match sys::unshare(rustix::thread::UnshareFlags::NEWCGROUP) {
        // Without cgroups in the kernel there is nothing to hide.
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error).doing(|| "hide the host's cgroups"),
        _ => Ok(()),
    }
}

fn wait_for_byte(sync: &OwnedFd) -> Result<(), SandboxError> {
    let mut sync = std::fs::File::from(sync.try_clone().doing(|| "copy a descriptor")?);
    sync.read_exact(&mut [0]).doing(|| "wait for the monitor")
}

/// Lets the shim inherit its descriptors and says in its environment which they are.
fn inherit(entrance: &Entrance<'_>, fds: LaunchFds) -> Result<Vec<CString>, SandboxError> {
    let mut env = entrance.plan.env.clone();
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())
        .doing(|| "open /dev/null in the container")?;
    rustix::stdio::dup2_stdin(&null).doing(|| "set standard input")?;
    rustix::stdio::dup2_stdout(&fds.log).doing(|| "set standard output")?;
    rustix::stdio::dup2_stderr(&fds.log).doing(|| "set standard error")?;
    drop((null, fds.log));
    let named = [
        (shim_env::LISTEN_FD, Some(fds.listen)),
        (shim_env::SPOOL_FD, Some(fds.spool)),
        (shim_env::OOM_FD, fds.oom),
        (shim_env::LATE_FD, fds.late),
    ];
    for (name, fd) in named.into_iter().filter_map(|(name, fd)| Some((name, fd?))) {
        rustix::io::fcntl_setfd(&fd, FdFlags::empty()).doing(|| "let the shim inherit a descriptor")?;
        env.push(format!("{name}={}", std::os::fd::IntoRawFd::into_raw_fd(fd)));
    }
    let env = env.into_iter().map(CString::new).collect::<Result<_, _>>();
    env.map_err(|_| io::Error::other("a value holds a NUL")).doing(|| "make the shim's environment")
}

/// Opens nothing, waits for nothing: says whether a descriptor is a directory.
fn is_dir(fd: impl AsFd) -> Result<bool, rustix::io::Errno> {
    Ok(rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == rustix::fs::FileType::Directory)
}
