//! The command line, and a start that cannot succeed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::MetadataExt;
use std::process::Command;

fn shim(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_danube-shim"));
    command.args(args).env_clear();
    command
}

#[test]
fn it_installs_itself() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        assert!(shim(&["install", folder.path().to_str().unwrap()]).status().unwrap().success());
    }
    let installed = folder.path().join("danube-shim");
    assert_eq!(installed.metadata().unwrap().mode() & 0o7777, 0o555);
    let version = Command::new(installed).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&version.stdout), format!("danube-shim {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn what_it_lacks_is_named() {
    let says = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(says(&mut shim(&[])).contains("DANUBE_SHIM_ROLE is not set"));
    assert!(says(shim(&[]).env("DANUBE_SHIM_ROLE", "worker")).contains("DANUBE_SHIM_NONCE is not set"));
    let mut closed = shim(&[]);
    closed.env("DANUBE_SHIM_ROLE", "worker").env("DANUBE_SHIM_NONCE", "n").env("DANUBE_SHIM_LISTEN_FD", "77");
    assert!(says(&mut closed).contains("DANUBE_SHIM_LISTEN_FD=\"77\" is not an open descriptor"));
    assert!(says(&mut shim(&["--help"])).contains("usage"));
    assert!(says(&mut shim(&["install", "/nonexistent"])).contains("/nonexistent"));
}
