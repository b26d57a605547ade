//! The bridge between a runtime's exec and the shim: it carries a master's whole connection, and it ends by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::master::Master;
use common::{Options, sh};
use rustix::process::Signal;

/// A bridge whose two ends the test holds, as a runtime would.
fn bridge(socket: &Path, silence: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_danube-shim"));
    command.arg("bridge").arg(socket).env_clear().env("DANUBE_SHIM_BRIDGE_SILENCE_S", silence);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// A bridge to a shim that the test plays.
fn bridge_to_test(silence: &str) -> (Child, UnixStream) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("shim.sock")).unwrap();
    let child = bridge(&folder.path().join("shim.sock"), silence);
    (child, listener.accept().unwrap().0)
}

/// Writes until the bridge takes no more: it is then held up in a write that nobody reads.
fn stuff(shim: &UnixStream) {
    shim.set_nonblocking(true).unwrap();
    let mut stuffed = 0;
    while stuffed < 1 << 20 {
        match (&*shim).write(&[0; 4096]) {
            Ok(written) => stuffed += written,
            // The pipe and the bridge are full.
            Err(_) if stuffed > 128 << 10 => break,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => break,
        }
    }
    shim.set_nonblocking(false).unwrap();
}

/// For a test in which silence is no matter.
const LONG: &str = "1000000";

#[tokio::test]
async fn a_master_runs_steps_over_it() {
    let shim = Options::worker().by_path().start();
    let mut child = bridge(&shim.socket, LONG);
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let input = tokio::net::unix::pipe::Sender::from_owned_fd(input.into()).unwrap();
    let output = tokio::net::unix::pipe::Receiver::from_owned_fd(output.into()).unwrap();
    let mut master = Master::over(tokio::io::join(output, input)).await.unwrap();
    master.hello(1).await.unwrap();
    let ran = master.run(&sh("head -c 3000000 /dev/zero; echo done")).await;
    assert_eq!((ran.output().len(), ran.end.exit_code), (3_000_005, 0));
    drop(master);
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
    assert_eq!(ended.await.unwrap(), Some(0), "it ends when its client does");
}

#[test]
fn every_byte_passes_both_ways() {
    let (mut child, mut shim) = bridge_to_test(LONG);
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    std::thread::scope(|scope| {
        let sent = &sent;
        scope.spawn(move || input.write_all(sent).unwrap());
        let mut echo = shim.try_clone().unwrap();
        scope.spawn(move || {
            std::io::copy(&mut shim, &mut echo).unwrap();
        });
        let mut back = Vec::new();
        output.read_to_end(&mut back).unwrap();
        assert!(back == *sent, "{} bytes came back", back.len());
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_ends_when_the_shim_closes_and_says_all_that_was_said() {
    let (mut child, mut shim) = bridge_to_test(LONG);
    let mut output = child.stdout.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut said = Vec::new();
        output.read_to_end(&mut said).unwrap();
        said.len()
    });
    shim.write_all(&vec![7; 200_000]).unwrap();
    drop(shim);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(said.join().unwrap(), 200_000);
}

#[test]
fn it_ends_when_the_shim_closes_while_nobody_reads() {
    let (mut child, shim) = bridge_to_test(LONG);
    stuff(&shim);
    drop(shim);
    assert_eq!(child.wait().unwrap().code(), Some(0), "held up in a write, it must still see the end");
}

#[test]
fn it_ends_when_the_shim_is_silent() {
    let (mut child, _shim) = bridge_to_test("0.05");
    assert_eq!(child.wait().unwrap().code(), Some(75));
}

#[test]
fn it_ends_when_nobody_reads_and_the_shim_does_not_notice() {
    let (mut child, shim) = bridge_to_test("0.5");
    stuff(&shim);
    assert_eq!(child.wait().unwrap().code(), Some(75));
}

#[test]
fn single_bytes_pass_at_once_and_the_end_of_the_client_is_passed_on() {
    let (mut child, mut shim) = bridge_to_test(LONG);
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for turn in 0..200u8 {
        input.write_all(&[turn]).unwrap();
        let mut one = [0];
        shim.read_exact(&mut one).unwrap();
        shim.write_all(&one).unwrap();
        output.read_exact(&mut one).unwrap();
        assert_eq!(one, [turn]);
    }
    drop(input);
    assert_eq!(shim.read(&mut [0]).unwrap(), 0);
    drop(shim);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_cannot_be_read_or_traced() {
    let (mut child, mut shim) = bridge_to_test(LONG);
    // It answers, so it has done what it does first.
    shim.write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{}/mem", child.id())).unwrap());
    assert_eq!(owner, 0, "what is not dumpable belongs to root");
    if !rustix::process::getuid().is_root() {
        assert!(std::fs::read(format!("/proc/{}/environ", child.id())).is_err());
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
}

#[test]
fn without_a_shim_it_says_so() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_danube-shim"));
    let done = command.args(["bridge", "/nonexistent/shim.sock"]).env_clear().output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("/nonexistent/shim.sock"));
}
