//! The processes of a job, as the machine sees them.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use super::Project;
use super::dev::wait;

/// Every process below another, by parent.
pub fn below(ancestor: i32) -> Vec<(i32, String)> {
    let stat = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (start, rest) = text.rsplit_once(')')?;
        let parent = rest.split_whitespace().nth(1)?.parse::<i32>().ok()?;
        Some((pid, parent, start.split_once('(')?.1.to_owned()))
    };
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    let all: Vec<_> = pids.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?)).collect();
    let (mut found, mut pending) = (Vec::new(), vec![ancestor]);
    while let Some(parent) = pending.pop() {
        for (pid, _, name) in all.iter().filter(|(_, its, _)| *its == parent) {
            found.push((*pid, name.clone()));
            pending.push(*pid);
        }
    }
    found
}

/// The monitor of the newest group.
pub fn monitor(project: &Project) -> i32 {
    let group = project.groups().pop().expect("a group");
    fs::read_to_string(group.join("monitor.pid")).expect("its pid").trim().parse().expect("a number")
}

/// The shim that has a child of this name somewhere below it.
pub fn shim_of(project: &Project, child: &str) -> i32 {
    let mut shims = below(monitor(project)).into_iter().filter(|(_, name)| name.starts_with("danube-shim"));
    let of_it = |(pid, _): &(i32, String)| below(*pid).iter().any(|(_, name)| name.starts_with(child));
    shims.rfind(of_it).expect("a shim").0
}

/// Kills a process as `kill -9` does.
pub fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("it runs");
}

/// The groups that were started ahead and are nobody's.
pub fn spares(project: &Project) -> Vec<PathBuf> {
    let entries = fs::read_dir(project.data().join("master/spares")).into_iter().flatten();
    entries.map(|entry| entry.expect("read").path()).collect()
}

/// Waits until one is ready: its runner waits for the job.
pub fn one_stands(project: &Project) -> PathBuf {
    let stands = || {
        let [spare] = spares(project).try_into().ok()?;
        let pid: i32 = fs::read_to_string(spare.join("monitor.pid")).ok()?.trim().parse().ok()?;
        below(pid).iter().any(|(_, name)| name.starts_with("python")).then_some(spare)
    };
    wait(stands).expect("one is made")
}
