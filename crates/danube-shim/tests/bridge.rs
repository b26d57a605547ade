//! The bridge between an exec's streams and the shim's socket, as the API server starts it in a container.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::master::Master;
use common::{Options, Shim, sh};
use tokio::io::{AsyncWriteExt, join};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

fn shim() -> Shim {
    Options::worker().by_path().start()
}

/// A bridge; its master may be silent for so many seconds.
fn bridge(shim: &Shim, seconds: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_danube-shim"));
    command.arg("bridge").arg(&shim.socket).arg(seconds).env_clear().kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn streams(child: &mut Child) -> impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static {
    join(child.stdout.take().unwrap(), child.stdin.take().unwrap())
}

#[tokio::test]
async fn a_step_runs_over_it_byte_for_byte() {
    let shim = shim();
    let mut child = bridge(&shim, "30");
    let mut master = Master::over(streams(&mut child)).await.unwrap();
    assert_eq!(master.hello(1).await.unwrap().nonce, "the-nonce");
    let ran = master.run(&sh("seq 1 300000")).await;
    let expected: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
    assert_eq!((ran.text() == expected, ran.end.exit_code), (true, 0));
    drop(master);
    // Its input is at its end then.
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_step_goes_on_when_its_bridge_is_killed() {
    let shim = shim();
    let mut child = bridge(&shim, "30");
    let mut master = Master::over(streams(&mut child)).await.unwrap();
    master.hello(1).await.unwrap();
    let request = sh("echo before; while [ ! -e go ]; do sleep 0.01; done; echo after");
    master.start(&request).await.unwrap();
    child.kill().await.unwrap();
    assert!(master.attach(&request.step_id, 0).await.is_err());
    std::fs::write(shim.workspace().join("go"), "").unwrap();
    let mut child = bridge(&shim, "30");
    let mut master = Master::over(streams(&mut child)).await.unwrap();
    master.hello(1).await.unwrap();
    assert_eq!(master.run(&request).await.text(), "before\nafter\n");
}

/// A bridge that stands in its write, for nobody reads what a shim sends without end; with the shim's side and its input.
async fn stuck(folder: &std::path::Path, seconds: &str) -> (Child, UnixStream) {
    let socket = folder.join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_danube-shim"));
    command.arg("bridge").arg(&socket).arg(seconds).env_clear().kill_on_drop(true);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut shim, _) = listener.accept().await.unwrap();
    let block = [0; 64 * 1024];
    // Until pipe, bridge and socket are full.
    while tokio::time::timeout(Duration::from_millis(300), shim.write_all(&block)).await.is_ok() {}
    (child, shim)
}

#[tokio::test]
async fn it_ends_with_its_shim_also_while_nobody_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, shim) = stuck(folder.path(), "3600").await;
    assert_eq!(child.try_wait().unwrap(), None);
    let _open = child.stdin.take().unwrap();
    drop(shim);
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn it_ends_when_nobody_reads_it_and_nobody_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, _shim) = stuck(folder.path(), "0.5").await;
    let _open = child.stdin.take().unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn it_ends_when_its_reader_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, _shim) = stuck(folder.path(), "3600").await;
    let _open = child.stdin.take().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_master_that_falls_silent_is_not_waited_for() {
    let shim = shim();
    let mut child = bridge(&shim, "0.2");
    let _open = child.stdin.take().unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn without_a_shim_it_says_so() {
    let child =
        Command::new(env!("CARGO_BIN_EXE_danube-shim")).args(["bridge", "/nonexistent/s"]).output().await.unwrap();
    assert_eq!(child.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&child.stderr).contains("/nonexistent/s"));
}
