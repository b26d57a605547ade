//! The system calls that a container may not make: close to what container runtimes deny by default. Everything
//! denied here is either of no use without rights that the container lacks, or reaches kernel code that has often
//! been broken. `ptrace` stays allowed: debuggers and sanitizers need it.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::error::SandboxError;

/// Answered with EPERM.
const DENIED: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];
/// Legacy calls of this processor only.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[c_long] =
    &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_ustat, libc::SYS_sysfs, libc::SYS__sysctl, libc::SYS_uselib];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[c_long] = &[];

/// Answered with ENOSYS, so that callers use what came before them: the flags of `clone3` are in memory, where a
/// filter cannot see them; `io_uring` does work that no filter sees.
const UNKNOWN: &[c_long] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// New namespaces of any kind.
const NAMESPACES: [libc::c_int; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWTIME,
];
/// The socket families that work in a job's own network; AF_VSOCK would reach the hypervisor from any namespace.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// Terminal requests that type into another process's terminal.
#[allow(clippy::unnecessary_cast, reason = "musl's libc has another type for them")]
const TYPING: [u64; 2] = [libc::TIOCSTI as u64, libc::TIOCLINUX as u64];

/// Installs the filters on this process and all it will ever start.
pub fn install() -> Result<(), SandboxError> {
    let programs =
        [filter(denied()?, libc::EPERM), filter(unknown(), libc::ENOSYS), filter(families()?, libc::EAFNOSUPPORT)];
    for program in programs {
        apply(&program?)?;
    }
    if cfg!(target_arch = "x86_64") { apply(&foreign_numbers()) } else { Ok(()) }
}

fn said(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Machine(format!("cannot install the system call filter: {error}; `danube doctor` tells more"))
}

fn apply(program: &BpfProgram) -> Result<(), SandboxError> {
    seccompiler::apply_filter(program).map_err(said)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn filter(rules: Rules, errno: i32) -> Result<BpfProgram, SandboxError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(said)?;
    let errno = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).and_then(TryInto::try_into).map_err(said)
}

fn unknown() -> Rules {
    UNKNOWN.iter().map(|number| (*number, Vec::new())).collect()
}

fn denied() -> Result<Rules, SandboxError> {
    let mut rules: Rules = DENIED.iter().chain(DENIED_HERE).map(|number| (*number, Vec::new())).collect();
    let has = |flag: libc::c_int| {
        let flag = u64::from(flag.cast_unsigned());
        one_of(0, Len::Qword, Op::MaskedEq(flag), flag)
    };
    rules.insert(libc::SYS_unshare, NAMESPACES.map(has).into_iter().collect::<Result<_, _>>()?);
    // CLONE_NEWTIME shares its bit with the exit signal in `clone`, which therefore cannot ask for it.
    rules.insert(libc::SYS_clone, NAMESPACES[..7].iter().map(|flag| has(*flag)).collect::<Result<_, _>>()?);
    let typing = TYPING.map(|request| one_of(1, Len::Dword, Op::Eq, request));
    rules.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

fn one_of(argument: u8, length: Len, op: Op, value: u64) -> Result<SeccompRule, SandboxError> {
    let condition = SeccompCondition::new(argument, length, op, value).map_err(said)?;
    SeccompRule::new(vec![condition]).map_err(said)
}

/// `socket` with a family that is none of ours.
fn families() -> Result<Rules, SandboxError> {
    let not = |family: &libc::c_int| {
        SeccompCondition::new(0, Len::Dword, Op::Ne, u64::from(family.cast_unsigned())).map_err(said)
    };
    let none_of_ours = FAMILIES.iter().map(not).collect::<Result<_, _>>()?;
    let rule = SeccompRule::new(none_of_ours).map_err(said)?;
    Ok(Rules::from([(libc::SYS_socket, vec![rule.clone()]), (libc::SYS_socketpair, vec![rule])]))
}

/// The x32 calls share the architecture's mark but have numbers of their own (bit 30): none of them is known.
fn foreign_numbers() -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_AT_LEAST, 0, 1, 0x4000_0000),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_compiles() {
        for program in [filter(denied().unwrap(), 1), filter(unknown(), 38), filter(families().unwrap(), 97)] {
            assert!(!program.unwrap().is_empty());
        }
    }
}
