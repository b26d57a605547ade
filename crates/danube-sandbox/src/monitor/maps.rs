//! Gives the keeper's user namespace its ids: the richest map that the machine permits.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Pid;

use crate::error::{Doing, SandboxError};
use crate::ids::{IdLine, Ids, Tier, map_text, sub_range};

/// Maps ids for a process that has just made its user namespace. The choice is tried, not guessed: inside another
/// container root may lack the range, and `newuidmap` may lack its rights.
pub fn give(pid: Pid, base: u32) -> Result<Ids, SandboxError> {
    let caller = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if caller.0 == 0 {
        let ids = Ids { tier: Tier::Root, caller, base: (base, base) };
        if write(pid, &ids).is_ok() {
            return Ok(ids);
        }
    }
    if let Some(ids) = subuid(caller) {
        match newidmaps(pid, &ids) {
            Ok(()) => return Ok(ids),
            Err(error) => eprintln!("no range of ids: {error}"),
        }
    }
    let ids = Ids { tier: Tier::Single, caller, base: (0, 0) };
    // An ordinary user may map a group only when the namespace can never drop groups.
    fs::write(format!("/proc/{}/setgroups", pid.as_raw_nonzero()), "deny").doing(|| "forbid setgroups")?;
    write(pid, &ids)?;
    Ok(ids)
}

/// The range that `/etc/subuid` and `/etc/subgid` give the caller.
#[must_use]
pub fn subuid(caller: (u32, u32)) -> Option<Ids> {
    let name = user_name(caller.0).unwrap_or_default();
    let range = |file: &str| sub_range(&fs::read_to_string(file).unwrap_or_default(), &name, caller.0);
    let base = (range("/etc/subuid")?, range("/etc/subgid")?);
    Some(Ids { tier: Tier::Subuid, caller, base })
}

fn user_name(id: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(id)))?;
    line.split(':').next().map(str::to_owned)
}

fn write(pid: Pid, ids: &Ids) -> Result<(), SandboxError> {
    let [users, groups] = ids.outer();
    // The group map first: where it fails nothing has been decided yet.
    for (file, lines) in [("gid_map", groups), ("uid_map", users)] {
        let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
        fs::write(&path, map_text(&lines)).doing(|| format!("write {path}"))?;
    }
    Ok(())
}

fn newidmaps(pid: Pid, ids: &Ids) -> Result<(), SandboxError> {
    let [users, groups] = ids.outer();
    newidmap("newgidmap", pid, &groups)?;
    newidmap("newuidmap", pid, &users)
}

fn newidmap(program: &str, pid: Pid, lines: &[IdLine]) -> Result<(), SandboxError> {
    let numbers = lines.iter().flat_map(|line| [line.inside, line.outside, line.count]);
    let mut command = Command::new(program);
    command.arg(pid.as_raw_nonzero().to_string()).args(numbers.map(|n| n.to_string())).stdin(Stdio::null());
    let output = command.output().doing(|| format!("run {program} (package uidmap)"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(SandboxError::Machine(format!("{program} refuses: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
