//! Processes of a group without isolation, which no namespace holds together: found in `/proc` and killed.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::folder::GroupFolder;

/// Names the group's folder in the environment of its shims, and so of every step that does not clear its own.
pub const MARKER: &str = "DANUBE_GROUP";
/// Rounds of KILL, and the pause after each: nothing tells when a killed process is gone for good.
const ROUNDS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(5);

/// Kills the processes that this finds, until it finds none. Whether that came true.
pub fn end(mut find: impl FnMut() -> Vec<Pid>) -> bool {
    for _ in 0..ROUNDS {
        let left = find();
        if left.is_empty() {
            return true;
        }
        // Stopped first, so that none forks while the others are killed.
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in &left {
                // It may just have ended.
                let _ = rustix::process::kill_process(*pid, signal);
            }
        }
        std::thread::sleep(PAUSE);
    }
    false
}

/// Whatever descends from a process.
pub fn descendants(of: Pid) -> Vec<Pid> {
    let all: Vec<(Pid, Pid)> = pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

/// What outlived the monitor of a group without isolation: processes with the group's mark, in its cgroups. Where
/// it may have no cgroups, one that cleared its environment is not found.
pub fn leftovers(folder: &GroupFolder, cgroups: &[PathBuf]) -> Vec<Pid> {
    let mark = [MARKER.as_bytes(), b"=", folder.path().as_os_str().as_bytes()].concat();
    let limited: Vec<Pid> = cgroups.iter().flat_map(|dir| members(dir)).collect();
    let own = rustix::process::getpid();
    let found = pids().filter(|pid| *pid != own);
    let found = found.filter(|pid| limited.contains(pid) || is_marked(*pid, &mark));
    // One that ended but was not reaped by its parent runs no more.
    found.filter(|pid| state(*pid).is_some_and(|state| state != "Z")).collect()
}

fn is_marked(pid: Pid, mark: &[u8]) -> bool {
    // Empty where the process is not the caller's own.
    let environment = fs::read(proc(pid, "environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|pair| pair == mark)
}

/// The processes of a cgroup and of those beneath it.
fn members(cgroup: &Path) -> Vec<Pid> {
    let listed = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<Pid> = listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect();
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let beneath = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    found.extend(beneath.flat_map(|entry| members(&entry.path())));
    found
}

fn pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn parent(pid: Pid) -> Option<Pid> {
    Pid::from_raw(stat(pid, 1)?.parse().ok()?)
}

fn state(pid: Pid) -> Option<String> {
    stat(pid, 0)
}

/// A field after the program's name, which stands in parentheses and may hold anything.
fn stat(pid: Pid, field: usize) -> Option<String> {
    let stat = fs::read(proc(pid, "stat")).ok()?;
    let rest = std::str::from_utf8(stat.rsplit(|byte| *byte == b')').next()?).ok()?;
    rest.split_whitespace().nth(field).map(str::to_owned)
}

fn proc(pid: Pid, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join(file)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_descends_from_a_process_is_found() {
        let mut child = Command::new("sh").args(["-c", "sleep 1000 & wait"]).spawn().unwrap();
        let own = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let found = loop {
            let found = descendants(own);
            if !found.is_empty() {
                break found;
            }
        };
        assert!(descendants(rustix::process::getpid()).contains(&found[0]));
        rustix::process::kill_process(found[0], Signal::KILL).unwrap();
        child.wait().unwrap();
    }
}
