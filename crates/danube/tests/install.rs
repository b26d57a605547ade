//! `danube install` and `danube uninstall`, below a folder. checks/install has them in a Debian, with its systemd.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use support::{Project, Ran};

const UNIT: &str = "etc/systemd/system/danube.service";
const TOML: &str = "etc/danube/danube.toml";
const PROGRAM: &str = "usr/local/bin/danube";

/// A system in a folder.
struct Machine {
    project: Project,
}

impl Machine {
    /// With nothing in it.
    fn new() -> Self {
        let machine = Self { project: Project::empty() };
        fs::create_dir(machine.root()).expect("a root");
        machine
    }

    /// With an account that is whoever tests.
    fn with_account() -> Self {
        let machine = Self::new();
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        machine.write("etc/passwd", &format!("danube:x:{user}:{group}::/var/lib/danube:/usr/sbin/nologin\n"));
        machine
    }

    fn root(&self) -> PathBuf {
        self.project.outside("root")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().expect("a parent")).expect("folders");
        fs::write(self.at(path), text).expect("written");
    }

    fn mode(&self, path: &str) -> u32 {
        self.at(path).metadata().unwrap_or_else(|error| panic!("{path}: {error}")).permissions().mode() & 0o7777
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(support::binary());
        Ran::of(command.args(arguments).arg("--root").arg(self.root()).output().expect("danube starts"))
    }

    /// Every file and folder, with what tells whether it was touched.
    fn tree(&self) -> BTreeMap<PathBuf, (u32, u64, i64, i64)> {
        let (mut found, mut pending) = (BTreeMap::new(), vec![self.root()]);
        while let Some(path) = pending.pop() {
            let facts = path.symlink_metadata().expect("facts");
            if facts.is_dir() {
                pending.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            }
            found.insert(path, (facts.mode(), facts.ino(), facts.mtime(), facts.mtime_nsec()));
        }
        found
    }
}

#[test]
fn a_second_run_touches_nothing_and_says_so() {
    let machine = Machine::with_account();
    let said = machine.run(&["install"]).expect(0).says("systemctl enable --now danube").stdout;
    assert_eq!(said.matches("made ").count(), 9, "{said}");
    assert_eq!(fs::read(machine.at(PROGRAM)).expect("itself"), fs::read(support::binary()).expect("the binary"));
    let modes = [PROGRAM, UNIT, TOML, "etc/danube", "etc/danube/credentials", "var/lib/danube", "etc/subuid"];
    assert_eq!(modes.map(|path| machine.mode(path)), [0o755, 0o644, 0o644, 0o755, 0o700, 0o700, 0o644]);
    assert!(machine.read(UNIT).contains("\nExecStart=/usr/local/bin/danube serve\n"));
    let before = machine.tree();
    machine.run(&["install"]).expect(0).says("nothing to do: Danube is installed").never_says("made ");
    assert_eq!(machine.tree(), before);
}

#[test]
fn a_dry_run_names_everything_and_changes_nothing() {
    let machine = Machine::with_account();
    let before = machine.tree();
    let said = machine.run(&["install", "--dry-run"]).expect(0).says("nothing is changed: 9 changes to do").stdout;
    assert_eq!(said.matches("would make ").count(), 9, "{said}");
    assert_eq!(machine.tree(), before);
    machine.run(&["install"]).expect(0);
    let before = machine.tree();
    machine.run(&["uninstall", "--purge", "--dry-run"]).expect(0).says("would remove").never_says("removed ");
    assert_eq!(machine.tree(), before);
}

#[test]
fn what_an_administrator_changed_is_kept_and_named() {
    let machine = Machine::with_account();
    machine.run(&["install"]).expect(0);
    let ours = machine.read(UNIT);
    machine.write(TOML, "# mine\n");
    machine.write(UNIT, &ours.replace("TimeoutStopSec=60s", "TimeoutStopSec=61s"));
    let kept = format!("kept {}: it is not as `danube install` wrote it", machine.at(UNIT).display());
    machine.run(&["install"]).expect(0).says(&kept);
    assert!(machine.read(UNIT).contains("TimeoutStopSec=61s"));
    machine.run(&["uninstall"]).expect(0).says(&kept);
    assert!(machine.at(UNIT).exists() && !machine.at(PROGRAM).exists());
    fs::remove_file(machine.at(UNIT)).expect("moved away");
    machine.run(&["install"]).expect(0);
    assert_eq!((machine.read(UNIT), machine.read(TOML)), (ours, "# mine\n".to_owned()));
}

#[test]
fn another_program_of_that_name_is_never_replaced() {
    let machine = Machine::new();
    machine.write(PROGRAM, "#!/bin/sh\n");
    machine.run(&["install"]).expect(2).says("it is another program, and stays as it is");
    assert!(!machine.at(UNIT).exists(), "nothing is begun");
    machine.run(&["uninstall"]).expect(0).says("it is another program");
    assert_eq!(machine.read(PROGRAM), "#!/bin/sh\n");
}

#[test]
fn uninstalling_keeps_data_and_configuration_until_they_are_to_go() {
    let machine = Machine::with_account();
    machine.run(&["install"]).expect(0);
    machine.write("var/lib/danube/master/danube.db", "jobs");
    let wants = machine.at("etc/systemd/system/multi-user.target.wants/danube.service");
    fs::create_dir_all(wants.parent().expect("a parent")).expect("folders");
    std::os::unix::fs::symlink("/etc/systemd/system/danube.service", &wants).expect("enabled");
    machine.run(&["uninstall"]).expect(0).says("kept ").says("`danube uninstall --purge` removes them too");
    let gone = [PROGRAM, UNIT, "etc/sysusers.d/danube.conf"].map(|path| machine.at(path).exists());
    assert_eq!((gone, wants.is_symlink()), ([false; 3], false));
    assert_eq!(machine.read("var/lib/danube/master/danube.db"), "jobs");
    machine.run(&["uninstall"]).expect(0).says("nothing to do: Danube is not installed");
    machine.run(&["install"]).expect(0);
    assert_eq!(machine.read("var/lib/danube/master/danube.db"), "jobs", "it is taken up again");
}

#[test]
fn a_purge_leaves_nothing_and_never_goes_where_danube_toml_points() {
    let machine = Machine::new();
    machine.run(&["install"]).expect(0).says("made ");
    assert!(!machine.at("var/lib/danube").exists(), "without an account it would be somebody else's");
    machine.write("var/lib/danube/danube.db", "jobs");
    machine.write(TOML, "data_dir = \"/srv/builds\"\n");
    machine.write("srv/builds/danube.db", "jobs");
    machine.run(&["uninstall", "--purge"]).expect(0).says("kept /srv/builds").says("removed ");
    let files = machine.tree().into_keys().filter(|path| path.is_file()).collect::<Vec<_>>();
    let empty = ["etc/subgid", "etc/subuid", "srv/builds/danube.db"].map(|path| machine.at(path));
    assert_eq!(files, empty);
    assert_eq!(machine.read("etc/subuid"), "");
    machine.run(&["uninstall", "--purge"]).expect(0).says("nothing to do: Danube is not installed");
}

#[test]
fn a_range_of_ids_is_nobody_elses() {
    let machine = Machine::new();
    machine.write("etc/subuid", "alice:100000:65536\nbob:2000000000:65536");
    fs::set_permissions(machine.at("etc/subuid"), fs::Permissions::from_mode(0o600)).expect("set");
    machine.run(&["install"]).expect(0);
    let line = "danube:2000065536:65536\n";
    assert_eq!(machine.read("etc/subuid"), format!("alice:100000:65536\nbob:2000000000:65536\n{line}"));
    assert_eq!((machine.read("etc/subgid"), machine.mode("etc/subuid")), (line.to_owned(), 0o600));
    machine.run(&["uninstall", "--purge"]).expect(0);
    assert_eq!(machine.read("etc/subuid"), "alice:100000:65536\nbob:2000000000:65536\n");
    machine.write("etc/subuid.lock", "1");
    machine.run(&["install"]).expect(3).says("another program is changing").says("run this again");
    assert!(!machine.read("etc/subuid").contains("danube"));
    fs::remove_file(machine.at("etc/subuid.lock")).expect("removed");
    machine.run(&["install"]).expect(0);
    assert!(machine.read("etc/subuid").ends_with(line));
}

#[test]
fn the_profile_of_apparmor_names_the_program() {
    let machine = Machine::new();
    machine.run(&["install"]).expect(0);
    let profile = "etc/apparmor.d/danube";
    assert!(!machine.at(profile).exists(), "nobody asked for it");
    machine.run(&["install", "--apparmor"]).expect(0).says("made ");
    assert!(machine.read(profile).contains("profile danube /usr/local/bin/danube flags=(unconfined) {\n  userns,\n"));
    machine.run(&["install", "--apparmor"]).expect(0).says("nothing to do");
    machine.run(&["uninstall"]).expect(0);
    assert!(!machine.at(profile).exists());
}

#[test]
fn whoever_is_not_root_is_told_what_he_can_do() {
    if rustix::process::geteuid().is_root() {
        eprintln!("not tried: root may do everything; checks/install tries it as another user");
        return;
    }
    for command in ["install", "uninstall"] {
        let ran = Command::new(support::binary()).arg(command).output().expect("danube starts");
        Ran::of(ran).expect(2).says("--dry-run says what it would do");
    }
    let nowhere = Command::new(support::binary()).args(["install", "--root", "/nonexistent"]).output();
    Ran::of(nowhere.expect("danube starts")).expect(2).says("name a folder that is there");
}

#[test]
fn systemd_takes_the_unit() {
    let machine = Machine::new();
    machine.run(&["install"]).expect(0);
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(machine.at(UNIT)).output();
    let Ok(verified) = verified else {
        eprintln!("not tried: there is no systemd-analyze on this machine (Debian: apt-get install systemd)");
        return;
    };
    // It looks for the program on this machine, where it is not; and older ones do not know one line. That is meant.
    let meant = ["DelegateSubgroup", "/usr/local/bin/danube is not executable"];
    let said = Ran::of(verified).stderr;
    let complaints = said.lines().filter(|line| line.contains("danube.service"));
    let complaints: Vec<&str> = complaints.filter(|line| !meant.iter().any(|meant| line.contains(meant))).collect();
    assert_eq!(complaints, Vec::<&str>::new());
}

/// Another user without any capability, but with those of the unit for the programs that it starts.
#[test]
fn the_units_capabilities_are_enough_for_a_range_of_ids() {
    let subuid = fs::read_to_string("/etc/subuid").unwrap_or_default();
    if !rustix::process::geteuid().is_root() || !subuid.lines().any(|line| line.starts_with("danube-test:")) {
        eprintln!("not tried: only root can become danube-test, which checks/run makes");
        return;
    }
    let machine = Machine::new();
    machine.run(&["install"]).expect(0);
    let unit = machine.read(UNIT);
    let set = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("a bounding set");
    let words =
        set.split_whitespace().map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_ascii_lowercase()));
    let reached = tempfile::Builder::new().prefix("danube-unit-").tempdir().expect("a folder");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(reached.path(), all).expect("set");
    let binary = reached.path().join("danube");
    fs::copy(support::binary(), &binary).expect("copied");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "danube-test", "--regid", "danube-test", "--init-groups"]);
    command.arg(format!("--bounding-set=-all{}", words.collect::<String>())).arg(&binary).args(["doctor", "--json"]);
    let ran = Ran::of(command.env("HOME", "/nonexistent").output().expect("setpriv is there"));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    assert_eq!(report["tier"], "subuid", "{report}");
}
