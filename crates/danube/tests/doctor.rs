//! `danube doctor` says what this machine offers.

mod support;

use std::process::Command;

use support::{Ran, binary};

fn doctor(arguments: &[&str], change: impl Fn(&mut Command) -> &mut Command) -> Ran {
    let mut command = Command::new(binary());
    command.arg("doctor").args(arguments).env("DANUBE_DATA_DIR", "/tmp");
    Ran::of(change(&mut command).output().expect("danube starts"))
}

#[test]
fn every_subject_has_one_line() {
    let ran = doctor(&[], |command| command);
    for subject in ["isolation", "user namespaces", "cgroups", "seccomp", "python", "git", "disk"] {
        let lines = ran.stdout.lines().filter(|line| line[4..].trim_start().starts_with(subject)).count();
        assert_eq!(lines, 1, "{subject} in\n{}", ran.stdout);
    }
    ran.says(" of 4");
}

#[test]
fn what_is_missing_is_said_with_its_remedy() {
    let place = tempfile::tempdir().expect("folder");
    let ran = doctor(&[], |command| command.env("PATH", place.path())).expect(3);
    ran.says("less git").says("apt install git").says("less python");
}

#[test]
fn the_same_is_there_for_programs() {
    let ran = doctor(&["--json"], |command| command);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one object");
    assert!(["root", "subuid", "single", "none"].contains(&report["tier"].as_str().expect("a tier")));
    assert!(report["facts"].as_array().expect("facts").iter().all(|fact| fact["words"].is_string()));
}
