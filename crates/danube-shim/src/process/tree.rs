//! Whose process is this? The shim adopts every orphan of its container and must end the right ones with their step.
//!
//! A process belongs to the step in whose session it is; else to its parent's step; else, when its parents are gone,
//! to the step named in the environment it was started with; else to the only step that runs. The third can be
//! forged, but only among the steps of one container, and what nobody claims ends with the last step at the latest.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The variable that marks every process of a step.
pub const MARKER: &str = "DANUBE_STEP_ID";

/// One line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Whether it has been stopped or has ended already.
    pub still: bool,
    /// Whether it has ended and waits for its parent.
    pub zombie: bool,
}

/// A step whose processes are looked for.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Number of its main process, thereby its session.
    pub main: i32,
    /// `NAME=value` that its processes were started with.
    pub marker: Vec<u8>,
}

/// The living processes below the shim that belong to `claims[own]`.
pub fn members(claims: &[Claim], own: usize) -> Vec<Process> {
    let table = table();
    let shim = rustix::process::getpid().as_raw_pid();
    let owned = |process: &&Process| !process.zombie && owner(&table, shim, claims, **process) == Some(own);
    table.values().filter(owned).copied().collect()
}

/// Every living process below the shim, whoever's.
pub fn all() -> Vec<Process> {
    let table = table();
    let shim = rustix::process::getpid().as_raw_pid();
    let below = |process: &&Process| !process.zombie && root(&table, shim, **process).is_some();
    table.values().filter(below).copied().collect()
}

/// Whether the shim has children other than these; true when the kernel does not tell.
pub fn other_children(mains: &[i32]) -> bool {
    let own = rustix::process::getpid().as_raw_pid();
    let Ok(children) = std::fs::read_to_string(format!("/proc/self/task/{own}/children")) else { return true };
    children.split_whitespace().any(|pid| pid.parse().is_ok_and(|pid: i32| !mains.contains(&pid)))
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    Some(read(&Path::new("/proc").join(pid.to_string()))?.parent)
}

type Table = HashMap<i32, Process>;

/// The index in `claims` of the step a process belongs to.
fn owner(table: &Table, shim: i32, claims: &[Claim], process: Process) -> Option<usize> {
    let root = root(table, shim, process)?;
    let by_session = |process: Process| claims.iter().position(|claim| claim.main == process.session);
    let mut next = process;
    loop {
        if let Some(found) = by_session(next) {
            return Some(found);
        }
        if next.pid == root.pid {
            break;
        }
        next = *table.get(&next.parent)?;
    }
    by_marker(claims, process.pid).or_else(|| by_marker(claims, root.pid)).or((claims.len() == 1).then_some(0))
}

/// The shim's own child that a process descends from; none when it is not below the shim.
fn root(table: &Table, shim: i32, process: Process) -> Option<Process> {
    let mut next = process;
    // The table is not read in one instant: a number may have been used again, and the chain be a circle.
    for _ in 0..=table.len() {
        if next.pid == shim {
            return None;
        }
        if next.parent == shim {
            return Some(next);
        }
        next = *table.get(&next.parent)?;
    }
    None
}

fn by_marker(claims: &[Claim], pid: i32) -> Option<usize> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find_map(|variable| claims.iter().position(|claim| claim.marker == variable))
}

fn table() -> Table {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Table::new() };
    let number = |entry: &std::fs::DirEntry| entry.file_name().as_bytes()[0].is_ascii_digit();
    let found = entries.flatten().filter(number).filter_map(|entry| read(&entry.path()));
    found.map(|process| (process.pid, process)).collect()
}

fn read(folder: &Path) -> Option<Process> {
    parse(&std::fs::read(folder.join("stat")).ok()?)
}

/// The name in parentheses may hold anything, parentheses included: fields are counted from the last one.
fn parse(stat: &[u8]) -> Option<Process> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(stat.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
    let mut fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_whitespace();
    let state = fields.next()?;
    let mut number = || fields.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    let zombie = matches!(state, "Z" | "X");
    let still = zombie || matches!(state, "T" | "t");
    Some(Process { pid, parent, group, session, still, zombie })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> (i32, Process) {
        (pid, Process { pid, parent, group: session, session, still: false, zombie: false })
    }

    fn claim(main: i32) -> Claim {
        Claim { main, marker: format!("{MARKER}={main}").into_bytes() }
    }

    #[test]
    fn a_name_cannot_forge_the_fields_behind_it() {
        let read = parse(b"7 (a) Z 1 1 1 ) T 5 6 7 0").expect("valid");
        assert_eq!((read.pid, read.parent, read.session, read.still, read.zombie), (7, 5, 7, true, false));
    }

    #[test]
    fn a_child_in_a_session_of_its_own_belongs_to_its_parents_step() {
        let table = Table::from([process(10, 1, 10), process(11, 10, 11), process(20, 1, 20), process(12, 11, 11)]);
        let claims = [claim(10), claim(20)];
        assert_eq!(owner(&table, 1, &claims, table[&12]), Some(0));
        assert_eq!(owner(&table, 1, &claims, table[&20]), Some(1));
    }

    #[test]
    fn what_nobody_claims_belongs_to_the_only_step() {
        let table = Table::from([process(999_999_999, 1, 999_999_999)]);
        assert_eq!(owner(&table, 1, &[claim(10)], table[&999_999_999]), Some(0));
        assert_eq!(owner(&table, 1, &[claim(10), claim(20)], table[&999_999_999]), None);
    }

    #[test]
    fn processes_beside_the_shim_are_nobodys() {
        let table = Table::from([process(5, 0, 5), process(6, 5, 5)]);
        assert_eq!(owner(&table, 1, &[claim(10)], table[&6]), None);
    }
}
