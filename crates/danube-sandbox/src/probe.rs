//! What this machine allows, found by trying it: one line per fact, with what it means and what to do.

use std::fs;
use std::path::Path;

use rustix::thread::SecureComputingMode;

use crate::cgroup_tree::{self, Tree, Version};
use crate::ids::{Ids, Tier};
use crate::monitor;

/// One fact about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// Nothing is lost by it.
    pub good: bool,
    /// What was found, what it costs, what to do.
    pub words: String,
}

/// What a machine allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which of the four tiers of isolation jobs get.
    pub tier: Tier,
    /// The facts, in the order in which they are shown.
    pub facts: Vec<Fact>,
}

impl Fact {
    fn new(name: &'static str, good: bool, words: impl Into<String>) -> Self {
        Self { name, good, words: words.into() }
    }
}

/// Tries what the machine allows. Forks: call it before any thread is started.
#[must_use]
pub fn probe() -> Probe {
    let tried = monitor::try_namespaces();
    let (tier, overlay) = match &tried {
        Ok(tried) => (tried.ids.tier, tried.overlay.clone()),
        Err(error) => (Tier::None, Err(error.to_string())),
    };
    let ids = tried.as_ref().ok().map(|tried| &tried.ids);
    let namespaces = match &tried {
        Ok(_) => Fact::new("user namespaces", true, "yes: jobs are isolated"),
        Err(error) => Fact::new("user namespaces", false, format!("no: {error}{}", apparmor())),
    };
    let facts =
        vec![namespaces, tier_fact(tier, ids), overlay_fact(overlay), cgroup_fact(), seccomp_fact(), pids_fact()];
    Probe { tier, facts }
}

fn apparmor() -> &'static str {
    let restricts = |file: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == "1");
    if restricts("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") {
        return "; AppArmor restricts them on this machine: a profile for danube, or root, allows them";
    }
    match fs::read_to_string("/proc/sys/user/max_user_namespaces") {
        Ok(most) if most.trim() == "0" => "; user.max_user_namespaces is 0: `sysctl user.max_user_namespaces=10000`",
        _ => "",
    }
}

fn tier_fact(tier: Tier, ids: Option<&Ids>) -> Fact {
    let base = ids.map_or(0, |ids| ids.base.0);
    let last = base.saturating_add(crate::ids::RANGE - 1);
    match tier {
        Tier::Root => Fact::new("user ids", true, format!("root: jobs have the unprivileged ids {base} to {last}")),
        Tier::Subuid => Fact::new("user ids", true, format!("/etc/subuid: jobs have the ids {base} to {last}")),
        Tier::Single => Fact::new("user ids", false, single_words()),
        Tier::None => {
            Fact::new("user ids", false, "only `--isolation none` works: steps are processes of yours, unconfined")
        }
    }
}

fn single_words() -> String {
    let missing =
        if find_program("newuidmap") { "a line in /etc/subuid and /etc/subgid" } else { "newuidmap (package uidmap)" };
    format!(
        "one id: in a job only one user exists, which is you; chown, su and apt fail there. {missing} gives jobs 65536"
    )
}

fn find_program(name: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn overlay_fact(overlay: Result<(), String>) -> Fact {
    match overlay {
        Ok(()) => Fact::new("overlay", true, "yes: images are unpacked once and shared by jobs"),
        Err(why) => Fact::new("overlay", false, format!("no ({why}): only the `host` image works; Linux 5.11 has it")),
    }
}

fn cgroup_fact() -> Fact {
    let Some(tree) = Tree::find() else {
        return Fact::new(
            "cgroups",
            false,
            "none to write to: memory=, cpu= limit nothing, an out-of-memory kill is not told. \
             `systemd-run --user --scope -p Delegate=yes danube …` gives some",
        );
    };
    let version = if tree.version == Version::One { "version 1" } else { "version 2" };
    let controllers: Vec<&str> = tree.places.iter().flat_map(|(_, names)| names).map(String::as_str).collect();
    for (dir, _) in &tree.places {
        // Made by the look itself, unless jobs run: then it is not empty and stays.
        let _ = cgroup_tree::remove_empty(dir);
    }
    let all = controllers.len() == cgroup_tree::CONTROLLERS.len();
    Fact::new("cgroups", all, format!("{version}: limits of {}", controllers.join(", ")))
}

fn seccomp_fact() -> Fact {
    let has = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
    let outer = matches!(rustix::thread::secure_computing_mode(), Ok(SecureComputingMode::Filter));
    let words = match (has, outer) {
        (true, false) => "yes",
        (true, true) => "yes; this shell is itself filtered, which may forbid namespaces",
        (false, _) => "no: the kernel lacks it, and jobs cannot be started",
    };
    Fact::new("seccomp", has, words)
}

fn pids_fact() -> Fact {
    if crate::inside::pid_max_is_per_namespace() {
        return Fact::new("process limit", true, "per job, by pid_max (Linux 6.14)");
    }
    Fact::new(
        "process limit",
        false,
        "by cgroups only: without them a fork bomb reaches the whole machine (Linux 6.14 mends it)",
    )
}
