//! Where on this machine cgroups may be made, and how they are removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The controllers that Danube uses.
pub const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// Everything of Danube's lies in directories of this name.
const OWN: &str = "danube";

/// Which of the kernel's two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy per controller; also hybrid, where version 2 exists beside it without controllers.
    One,
    /// One hierarchy.
    Two,
}

/// Where Danube's cgroups go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// How they are spoken to.
    pub version: Version,
    /// Danube's directory in each hierarchy, with its controllers.
    pub places: Vec<(PathBuf, Vec<String>)>,
}

impl Tree {
    /// Finds a place, making Danube's directory in it. None where the caller may make nothing that limits.
    #[must_use]
    pub fn find() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let one: Vec<_> = version_one(&mounts, &own).into_iter().filter(|(dir, _)| make(dir).is_ok()).collect();
        if !one.is_empty() {
            return Some(Self { version: Version::One, places: one });
        }
        let dir = version_two(&mounts, &own).into_iter().find(|dir| make(dir).is_ok() && has_controllers(dir))?;
        let controllers = controllers_of(&dir);
        enable(&dir, &controllers);
        Some(Self { version: Version::Two, places: vec![(dir, controllers)] })
    }
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).map_err(Into::into)
        }
        made => made,
    }
}

/// A mount of the given type: its mount point, the root it shows, and its options.
fn mounts_of<'a>(mounts: &'a str, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    mounts.lines().filter_map(move |line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        (right.next()? == kind).then(|| (point, root, right.nth(1).unwrap_or("")))
    })
}

/// This process's cgroup in a hierarchy, as a path below its mount point.
fn below(point: &str, root: &str, path: &str) -> PathBuf {
    let path = Path::new(path);
    let shown = path.strip_prefix(root).or_else(|_| path.strip_prefix("/")).unwrap_or(path);
    Path::new(point).join(shown)
}

/// Danube's directory beneath this process's own cgroup, for each controller.
fn version_one(mounts: &str, own: &str) -> Vec<(PathBuf, Vec<String>)> {
    let mut places = Vec::new();
    for (point, root, options) in mounts_of(mounts, "cgroup") {
        let has = |name: &&str| options.split(',').any(|option| option == *name);
        let controllers: Vec<String> = CONTROLLERS.iter().filter(|c| has(c)).map(|c| (*c).to_owned()).collect();
        let Some(first) = controllers.first() else { continue };
        let line = own.lines().find_map(|line| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            names.split(',').any(|name| name == first).then_some(path)
        });
        places.extend(line.map(|path| (below(point, root, path).join(OWN), controllers)));
    }
    places
}

/// Candidates from this process's own cgroup upwards: one that holds processes cannot give controllers to others,
/// but a delegated ancestor can, and the root always can.
fn version_two(mounts: &str, own: &str) -> Vec<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let Some((point, root, _)) = mounts_of(mounts, "cgroup2").next() else { return Vec::new() };
    let start = below(point, root, path);
    let up = start.ancestors().take_while(|dir| dir.starts_with(point));
    up.map(|dir| dir.join(OWN)).collect()
}

fn has_controllers(dir: &Path) -> bool {
    if let Some(parent) = dir.parent() {
        enable(parent, &CONTROLLERS.map(str::to_owned));
    }
    let found = controllers_of(dir).iter().any(|controller| controller == "pids" || controller == "memory");
    if !found {
        // Nothing is to be left where nothing can be limited. It is ours and empty, or in use and stays.
        let _ = fs::remove_dir(dir);
    }
    found
}

fn controllers_of(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().filter(|name| CONTROLLERS.contains(name)).map(str::to_owned).collect()
}

/// Lets a directory's children have these controllers, as far as it has them itself.
pub fn enable(dir: &Path, controllers: &[String]) {
    for controller in controllers {
        // What cannot be enabled is missing from `cgroup.controllers` below, and is looked up there.
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Removes Danube's directory if nothing is in it.
pub fn remove_empty(dir: &Path) -> io::Result<()> {
    fs::remove_dir(dir)
}

/// Removes a group's directory and those below it. Fails with `ResourceBusy` while a process is left in one.
pub fn remove(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    give_back(dir);
    fs::remove_dir(dir)?;
    if let Some(parent) = dir.parent().filter(|parent| parent.ends_with(OWN)) {
        // Other groups may be in it.
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}

/// Gives back the cached pages of files that were charged to it. A removed cgroup lives on in the kernel as long as it
/// has one, and some hundred of them make every job's start twice as slow.
fn give_back(dir: &Path) {
    // Only version 1's memory hierarchy has it, and it is refused while a process is left; then removal is, too.
    let empty = dir.join("memory.force_empty");
    if empty.exists() {
        let _ = fs::write(empty, "0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine_is_version_one() {
        let mounts = "1 2 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      1 2 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      1 2 0:1 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "4:memory:/user/a\n3:cpu,cpuacct:/\n0::/\n";
        assert_eq!(
            version_one(mounts, own),
            [
                ("/sys/fs/cgroup/cpu,cpuacct/danube".into(), vec!["cpu".to_owned()]),
                ("/sys/fs/cgroup/memory/user/a/danube".into(), vec!["memory".to_owned()]),
            ]
        );
    }

    #[test]
    fn version_two_looks_upwards_from_its_own() {
        let mounts = "1 2 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let own = "0::/user.slice/a.scope\n";
        assert_eq!(
            version_two(mounts, own),
            [
                PathBuf::from("/sys/fs/cgroup/user.slice/a.scope/danube"),
                PathBuf::from("/sys/fs/cgroup/user.slice/danube"),
                PathBuf::from("/sys/fs/cgroup/danube"),
            ]
        );
    }

    /// Where this process may make cgroups of version 1's memory hierarchy.
    fn memory_hierarchy() -> Option<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let found = version_one(&mounts, &own).into_iter().find(|(_, names)| names.contains(&"memory".to_owned()))?;
        let folder = found.0.parent()?.join(format!("danube-test-{}", std::process::id()));
        fs::create_dir(&folder).ok().map(|()| folder)
    }

    #[test]
    fn cached_pages_are_given_back_before_a_cgroup_goes() {
        let Some(group) = memory_hierarchy() else {
            return eprintln!(
                "skipped: there is no version 1 memory hierarchy here, or this user may make nothing in it"
            );
        };
        let (file, bytes) = (tempfile::NamedTempFile::new().expect("a file"), 8 << 20);
        // A process of its own, so that what it writes is charged to the cgroup and stays so when it has ended.
        let script = "echo $$ > \"$0/cgroup.procs\" && head -c \"$2\" /dev/zero > \"$1\" && sync \"$1\"";
        let mut child = std::process::Command::new("sh");
        child.args(["-c", script]).args([group.as_os_str(), file.path().as_os_str()]).arg(bytes.to_string());
        let ended = child.status().expect("a child");
        let used = || fs::read_to_string(group.join("memory.usage_in_bytes")).expect("usage").trim().parse::<u64>();
        let before = used().expect("a number");
        give_back(&group);
        let after = used().expect("a number");
        fs::remove_dir(&group).expect("it is empty");
        assert!(ended.success() && before >= bytes, "{before}");
        assert!(after < before / 8, "{before} before, {after} after");
    }
}
