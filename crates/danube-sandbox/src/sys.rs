//! The system calls that `rustix` does not offer. Every `unsafe` of the crate's process work is here.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, RawPid, Resource, Rlimit, Signal};
use rustix::thread::UnshareFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which side of a fork this is.
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(Pid),
}

/// Makes a copy of this process. `flags` are `CLONE_*` bits beside the copy: new namespaces, `CLONE_PARENT`.
///
/// Only the monitor calls this, before it has a thread, so that the child may run any code.
#[expect(unsafe_code, reason = "clone has no safe form")]
pub fn fork(flags: libc::c_int) -> io::Result<Fork> {
    assert_single_threaded();
    // SAFETY: without CLONE_VM the child has its own copy of memory and returns through this same frame, and the
    // process has one thread (checked above), so no lock can be held by a thread that the child lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid_from(pid)?)),
    }
}

fn pid_from(pid: i64) -> io::Result<Pid> {
    RawPid::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("the kernel gave no process id"))
}

/// A second thread here would make `fork` unsound; that is a fault in this program, not a circumstance.
fn assert_single_threaded() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert_eq!(threads, 1, "the keeper forks with one thread only");
}

/// Ends this process at once, without destructors or exit handlers of a forked copy.
#[expect(unsafe_code, reason = "_exit has no safe form")]
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit touches no memory of this process.
    unsafe { libc::_exit(code) }
}

/// Properties of mounts that are set, never cleared: they can only take rights away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountLimits {
    /// Nothing may be written through the mount.
    pub read_only: bool,
    /// Device files do not open.
    pub no_devices: bool,
    /// Nothing may be executed.
    pub no_exec: bool,
}

/// Sets the limits, and always `nosuid`, on a mount and everything mounted beneath it.
#[expect(unsafe_code, reason = "rustix has no mount_setattr")]
pub fn limit_mounts(tree: impl AsFd, limits: MountLimits) -> io::Result<()> {
    let mut attr = libc::MOUNT_ATTR_NOSUID;
    attr |= if limits.read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    attr |= if limits.no_devices { libc::MOUNT_ATTR_NODEV } else { 0 };
    attr |= if limits.no_exec { libc::MOUNT_ATTR_NOEXEC } else { 0 };
    let attr = libc::mount_attr { attr_set: attr, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a NUL-terminated literal and `attr` outlives the call, with its true size.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Becomes the program behind a descriptor. Returns only when that fails.
#[expect(unsafe_code, reason = "rustix has execveat in its private runtime module only")]
pub fn exec_fd(program: impl AsFd, args: &[CString], env: &[CString]) -> io::Error {
    let terminated = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (terminated(args), terminated(env));
    let empty: &CStr = c"";
    // SAFETY: both arrays end with a null pointer and, like the texts they point to, live until the call returns.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_fd().as_raw_fd(),
            empty.as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Starts a program that dies with this thread, inherits these descriptors under their numbers, and has this limit of
/// open files.
#[expect(unsafe_code, reason = "what a child does before exec has no safe form")]
pub fn spawn_tied(command: &mut Command, fds: &[BorrowedFd<'_>], open_files: Rlimit) -> io::Result<Pid> {
    let parent = rustix::process::getpid();
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        for number in &numbers {
            // SAFETY: `fds` outlives the start, and the child has a copy of every descriptor under the same number.
            rustix::io::fcntl_setfd(unsafe { BorrowedFd::borrow_raw(*number) }, rustix::io::FdFlags::empty())?;
        }
        Ok(rustix::process::setrlimit(Resource::Nofile, open_files)?)
    };
    // SAFETY: it makes system calls on prepared memory only; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(before_exec) };
    let child = command.spawn()?;
    pid_from(child.id().into())
}

/// Makes the number of one descriptor mean another file.
#[expect(unsafe_code, reason = "rustix's dup3 wants to own the number it replaces")]
pub fn replace(old: &OwnedFd, new: OwnedFd) -> Result<(), rustix::io::Errno> {
    // SAFETY: both numbers are open; `old` stays an open descriptor throughout, of which only the file changes.
    let done = unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 {
        Err(rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO))
    } else {
        Ok(())
    }
}

/// Leaves namespaces of the caller's for new ones.
#[expect(unsafe_code, reason = "unshare can make descriptor tables diverge between threads")]
pub fn unshare(spaces: UnshareFlags) -> io::Result<()> {
    assert_single_threaded();
    // SAFETY: no other thread shares anything with this one, and no caller asks for a table of descriptors of its own.
    unsafe { rustix::thread::unshare_unsafe(spaces) }.map_err(Into::into)
}

/// Lets the runtime wait until a descriptor is readable.
#[expect(unsafe_code, reason = "tokio cannot know that a descriptor stays the same")]
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open for as long as it lives and is always the same descriptor.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(Into::into)
}
