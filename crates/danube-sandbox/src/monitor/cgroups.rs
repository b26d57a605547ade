//! Limits by cgroups, where the machine lets us make them: version 1, hybrid, version 2, or none.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use danube_core::id::ContainerName;
use danube_core::runtime::{OomRecord, Resources};
use rustix::process::Pid;

use crate::cgroup_tree::{self, Tree, Version};

/// The cgroups of one group.
#[derive(Debug)]
pub struct Cgroups {
    version: Version,
    /// The group's own directory in each hierarchy, with the controllers that it has.
    dirs: Vec<(PathBuf, Vec<String>)>,
}

impl Cgroups {
    /// Makes the group's directories. None where nothing may be made.
    #[must_use]
    pub fn make(group: &str) -> Option<Self> {
        let tree = Tree::find()?;
        let dirs: Vec<_> = tree.places.into_iter().map(|(dir, controllers)| (dir.join(group), controllers)).collect();
        for (dir, controllers) in &dirs {
            fs::create_dir_all(dir).ok()?;
            if tree.version == Version::Two {
                cgroup_tree::enable(dir, controllers);
            }
        }
        Some(Self { version: tree.version, dirs })
    }

    /// The directories, so that they can be removed without this process.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.dirs.iter().map(|(dir, _)| dir.clone()).collect()
    }

    /// Makes one container's cgroups with its limits.
    pub fn container(&self, name: &ContainerName, limits: &Resources, pids: u32) -> io::Result<Cgroup> {
        let mut cgroup = Cgroup { version: self.version, dirs: Vec::new(), memory: None };
        for (group, controllers) in &self.dirs {
            let dir = group.join(name.as_str());
            fs::create_dir_all(&dir)?;
            for controller in controllers {
                cgroup.limit(&dir, controller, limits, pids)?;
            }
            cgroup.dirs.push(dir);
        }
        Ok(cgroup)
    }
}

/// The cgroups of one container.
#[derive(Debug)]
pub struct Cgroup {
    version: Version,
    dirs: Vec<PathBuf>,
    memory: Option<PathBuf>,
}

impl Cgroup {
    fn limit(&mut self, dir: &Path, controller: &str, limits: &Resources, pids: u32) -> io::Result<()> {
        match controller {
            "memory" => {
                self.memory = Some(dir.to_owned());
                limits.memory_bytes.map_or(Ok(()), |bytes| self.limit_memory(dir, bytes))
            }
            "pids" => fs::write(dir.join("pids.max"), pids.to_string()),
            "cpu" => limits.cpu_millis.map_or(Ok(()), |millis| self.limit_cpu(dir, millis)),
            _ => Ok(()),
        }
    }

    fn limit_memory(&self, dir: &Path, bytes: u64) -> io::Result<()> {
        if self.version == Version::One {
            return fs::write(dir.join("memory.limit_in_bytes"), bytes.to_string());
        }
        fs::write(dir.join("memory.max"), bytes.to_string())?;
        // Swap would only turn a clear failure into a slow one; kernels without swap have no such file.
        let _ = fs::write(dir.join("memory.swap.max"), "0");
        Ok(())
    }

    fn limit_cpu(&self, dir: &Path, millis: u64) -> io::Result<()> {
        const PERIOD_MICROS: u64 = 100_000;
        let quota = millis.saturating_mul(PERIOD_MICROS / 1000).max(1000);
        if self.version == Version::One {
            return fs::write(dir.join("cpu.cfs_quota_us"), quota.to_string());
        }
        fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD_MICROS}"))
    }

    /// Puts a process, and all that it will start, into the cgroups.
    pub fn add(&self, pid: Pid) -> io::Result<()> {
        let add = |dir: &PathBuf| fs::write(dir.join("cgroup.procs"), pid.as_raw_nonzero().to_string());
        self.dirs.iter().try_for_each(add)
    }

    /// The counter of out-of-memory kills, for the shim.
    #[must_use]
    pub fn oom_counter(&self) -> Option<OwnedFd> {
        File::open(self.memory.as_ref()?.join(self.oom_file())).ok().map(Into::into)
    }

    fn oom_file(&self) -> &'static str {
        if self.version == Version::One { "memory.oom_control" } else { "memory.events" }
    }

    /// Whether the kernel killed something here for want of memory.
    #[must_use]
    pub fn oom(&self) -> Option<OomRecord> {
        let dir = self.memory.as_ref()?;
        let counters = fs::read_to_string(dir.join(self.oom_file())).ok()?;
        let kills = counters.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse::<u64>().ok()?;
        let (limit, peak) = match self.version {
            Version::One => ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            Version::Two => ("memory.max", "memory.peak"),
        };
        let number = |file: &str| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok();
        (kills > 0).then(|| OomRecord { limit_bytes: number(limit).unwrap_or(u64::MAX), peak_bytes: number(peak) })
    }
}
