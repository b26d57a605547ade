//! Between fork and exec. Nothing here allocates, locks or looks anything up: other threads of the shim do not exist
//! in the child, and what they held stays locked for ever.
#![expect(unsafe_code, reason = "only raw system calls are safe between fork and exec")]

use std::ffi::CString;
use std::os::fd::{AsRawFd, RawFd};

use libc::{c_char, c_int, c_long, c_ulong};
use rustix::process::Rlimit;

use super::plan::{Plan, Stdio};
use crate::harden::mark_close_on_exec;

/// What the child was at when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// A session of its own and its terminal.
    Session,
    /// Descriptors 0, 1, 2.
    Stdio,
    /// Dropping capabilities.
    Capabilities,
    /// Becoming the user.
    User,
    /// Entering the working directory.
    Directory,
    /// Executing the program.
    Program,
}

impl Stage {
    /// Reads what [`run`] reported.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Session, Self::Stdio, Self::Capabilities, Self::User, Self::Directory, Self::Program]
            .into_iter()
            .find(|stage| *stage as u8 == byte)
    }
}

/// Capabilities a root step may keep: Docker's default without SYS_PTRACE, MKNOD, NET_RAW and AUDIT_WRITE.
/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP.
const KEPT: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18 | 1 << 31;

/// A [`Plan`] as pointers, made before the fork.
pub struct Raw<'a> {
    plan: &'a Plan,
    stdio: &'a Stdio,
    report: RawFd,
    args: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    changes_user: bool,
}

impl<'a> Raw<'a> {
    /// `report` is the write end of the pipe that tells the shim what failed.
    pub fn new(plan: &'a Plan, stdio: &'a Stdio, report: RawFd) -> Self {
        let (args, environment) = (pointers(&plan.args), pointers(&plan.environment));
        Self { plan, stdio, report, args, environment, changes_user: !plan.user.is_current() }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The child's whole life in the shim's image. Ends in exec, or in a report of five bytes and exit 127.
///
/// # Safety
/// Only in the child, straight after fork.
pub unsafe fn run(raw: &Raw<'_>) -> ! {
    // SAFETY: each of these makes system calls on memory that was prepared before the fork.
    unsafe {
        let Err((stage, errno)) = prepare_and_exec(raw);
        let mut report = [stage as u8, 0, 0, 0, 0];
        report[1..].copy_from_slice(&errno.to_ne_bytes());
        libc::write(raw.report, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

type Step<T> = Result<T, (Stage, c_int)>;

unsafe fn prepare_and_exec(raw: &Raw<'_>) -> Step<std::convert::Infallible> {
    // SAFETY: as in `run`.
    unsafe {
        default_signals();
        session(raw.stdio)?;
        descriptors(raw.stdio)?;
        libc::umask(0o002);
        limit_files(raw.plan.nofile);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        drop_capabilities(raw.plan)?;
        become_user(raw)?;
        die_with_the_shim(raw.plan);
        checked(Stage::Directory, libc::chdir(raw.plan.cwd.as_ptr()).into())?;
        unblock_signals();
        execute(raw)
    }
}

fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn checked(stage: Stage, result: c_long) -> Step<()> {
    if result < 0 { Err((stage, errno())) } else { Ok(()) }
}

/// Rust ignores SIGPIPE, and an ignored signal stays ignored over exec.
unsafe fn default_signals() {
    // The kernel's own structure (handler, flags, restorer, mask): all zero means SIG_DFL.
    let action = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the structure is as long as the kernel reads. The C library would refuse 32 and 33, which it keeps
        // for itself and others may have left ignored; KILL and STOP are refused, harmlessly.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), std::ptr::null::<u64>(), 8) };
    }
}

unsafe fn unblock_signals() {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

unsafe fn session(stdio: &Stdio) -> Step<()> {
    // SAFETY: plain system calls.
    unsafe {
        checked(Stage::Session, libc::setsid().into())?;
        if stdio.terminal {
            checked(Stage::Session, libc::ioctl(stdio.stdout.as_raw_fd(), libc::TIOCSCTTY, 0).into())?;
        }
    }
    Ok(())
}

/// The report pipe is close-on-exec as all else; the sweep over every descriptor is a second line.
unsafe fn descriptors(stdio: &Stdio) -> Step<()> {
    let all = [(&stdio.stdin, 0), (&stdio.stdout, 1), (&stdio.stderr, 2)];
    for (from, to) in all {
        // SAFETY: plain system calls; the sources are over 2, since 0, 1 and 2 are always open in a Rust program.
        checked(Stage::Stdio, unsafe { libc::dup2(from.as_raw_fd(), to) }.into())?;
    }
    // Kernels without the flag rely on each descriptor's own mark.
    let _ = mark_close_on_exec();
    Ok(())
}

unsafe fn limit_files(limit: Rlimit) {
    let number = |value: Option<u64>| value.unwrap_or(libc::RLIM_INFINITY);
    let limit = libc::rlimit { rlim_cur: number(limit.current), rlim_max: number(limit.maximum) };
    // SAFETY: the structure lives on this stack. Lowering cannot fail.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

/// What is not in the bounding set cannot be had by exec, not even by root.
unsafe fn drop_capabilities(plan: &Plan) -> Step<()> {
    for capability in 0..64 as c_ulong {
        // SAFETY: plain system calls.
        let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) };
        if held < 0 {
            break; // Beyond the last one that this kernel knows.
        }
        if held == 0 || KEPT & (1 << capability) != 0 {
            continue;
        }
        // SAFETY: as above.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        // Only root gains capabilities at exec, and outside a container there is nothing to protect from it.
        if dropped < 0 && plan.user.uid == 0 && plan.pid_one {
            return Err((Stage::Capabilities, errno()));
        }
    }
    Ok(())
}

unsafe fn become_user(raw: &Raw<'_>) -> Step<()> {
    let user = &raw.plan.user;
    // SAFETY: the list of groups outlives the call.
    unsafe {
        let set = libc::setgroups(user.groups.len(), user.groups.as_ptr());
        // Where only one id is mapped setgroups is denied to everybody, and there is nothing to leave behind.
        if set < 0 && (raw.changes_user || !user.groups.is_empty()) {
            return Err((Stage::User, errno()));
        }
        if raw.changes_user {
            checked(Stage::User, libc::setresgid(user.gid, user.gid, user.gid).into())?;
            checked(Stage::User, libc::setresuid(user.uid, user.uid, user.uid).into())?;
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        clear_capabilities(if user.uid == 0 { KEPT } else { 0 });
    }
    Ok(())
}

/// Version 3 of the kernel's capability structures: two halves of 32 bits.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: c_int,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct CapHalf {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

unsafe fn clear_capabilities(kept: u64) {
    let mut header = CapHeader { version: 0x2008_0522, pid: 0 };
    let mut halves = [CapHalf::default(); 2];
    // SAFETY: both structures have the layout that the kernel documents for this version.
    unsafe {
        libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr());
        for (half, kept) in halves.iter_mut().zip([kept as u32, (kept >> 32) as u32]) {
            half.permitted &= kept;
            half.effective &= kept;
            half.inheritable = 0;
        }
        // Giving up what one has cannot fail.
        libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr());
    }
}

/// A shim that is not PID 1 may be killed without its container: its steps must not outlive it.
unsafe fn die_with_the_shim(plan: &Plan) {
    if !plan.pid_one {
        // SAFETY: plain system call.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    }
}

/// Tries the candidates as `execvp` does, but never falls back to a shell.
unsafe fn execute(raw: &Raw<'_>) -> Step<std::convert::Infallible> {
    let mut failed = libc::ENOENT;
    for program in &raw.plan.programs {
        // SAFETY: both arrays end in a null pointer and point to strings that live in the plan.
        unsafe { libc::execve(program.as_ptr(), raw.args.as_ptr(), raw.environment.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => failed = libc::EACCES,
            other => return Err((Stage::Program, other)),
        }
    }
    Err((Stage::Program, failed))
}
