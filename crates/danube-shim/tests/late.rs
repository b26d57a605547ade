//! A shim that was started ahead, as in a pod: it serves nobody until it is told for which job it is, and then that job only.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Cursor;

use common::master::Master;
use common::{Options, sh};
use danube_proto::v1::InfoRequest;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const TOLD: &str = r#"{"nonce":"of-this-job","orphan_grace_s":60}"#;

async fn says(socket: &std::path::Path, line: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    stream
}

/// The master of a stream that was begun. Before anything else it may hear that somebody is there.
async fn heard_of(stream: UnixStream) -> Master {
    let (mut heard, said) = stream.into_split();
    let mut first = b'\n';
    while first == b'\n' {
        first = heard.read_u8().await.unwrap();
    }
    Master::over(tokio::io::join(Cursor::new([first]).chain(heard), said)).await.unwrap()
}

async fn is_hung_up_on(mut stream: UnixStream) {
    let mut heard = String::new();
    let read = stream.read_to_string(&mut heard).await;
    assert!(read.is_err() || heard.trim_matches('\n').is_empty(), "{heard:?}");
}

#[tokio::test]
async fn the_first_stream_tells_it_for_which_job_it_is_and_every_other_must_say_the_same() {
    let shim = Options::worker().late().start();
    // Neither is an introduction, and whoever comes after them is heard all the same.
    is_hung_up_on(says(&shim.socket, "PRI * HTTP/2.0").await).await;
    is_hung_up_on(says(&shim.socket, &"x".repeat(5000)).await).await;
    let silent = UnixStream::connect(&shim.socket).await.unwrap();
    drop(silent);

    let mut master = heard_of(says(&shim.socket, TOLD).await).await;
    master.hello(1).await.unwrap();
    assert_eq!(master.client.info(InfoRequest {}).await.unwrap().into_inner().nonce, "of-this-job");
    assert_eq!(master.run(&sh("echo on")).await.text(), "on\n");

    is_hung_up_on(says(&shim.socket, &TOLD.replace("this", "another")).await).await;
    is_hung_up_on(says(&shim.socket, "PRI * HTTP/2.0").await).await;
    let mut again = heard_of(says(&shim.socket, TOLD).await).await;
    again.hello(1).await.unwrap();
    assert_eq!(again.run(&sh("echo still")).await.text(), "still\n");
}

#[tokio::test]
async fn streams_are_opened_ahead_hear_that_somebody_is_there_and_begin_when_the_job_is_known() {
    let shim = Options::worker().late().start();
    let mut ahead = Vec::new();
    for _ in 0..3 {
        let mut stream = UnixStream::connect(&shim.socket).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'\n');
        ahead.push(stream);
    }
    assert_eq!(ahead[0].read_u8().await.unwrap(), b'\n', "and again, some seconds later");
    let mut strange = ahead.remove(0);
    for (epoch, mut stream) in (1..).zip(ahead) {
        stream.write_all(format!("{TOLD}\n").as_bytes()).await.unwrap();
        let mut master = heard_of(stream).await;
        master.hello(epoch).await.unwrap();
        assert_eq!(master.run(&sh("echo on")).await.text(), "on\n");
    }
    strange.write_all(TOLD.replace("this", "another").as_bytes()).await.unwrap();
    strange.write_all(b"\n").await.unwrap();
    is_hung_up_on(strange).await;
}

#[tokio::test]
async fn one_that_says_nothing_holds_up_nobody_once_the_job_is_known() {
    let shim = Options::worker().late().start();
    let mut master = heard_of(says(&shim.socket, TOLD).await).await;
    master.hello(1).await.unwrap();
    let _silent = UnixStream::connect(&shim.socket).await.unwrap();
    let mut next = heard_of(says(&shim.socket, TOLD).await).await;
    next.hello(1).await.unwrap();
    assert_eq!(next.run(&sh("echo on")).await.text(), "on\n");
}

#[tokio::test]
async fn one_that_nobody_needs_ends_when_it_is_told_to_and_by_itself_when_its_time_is_over() {
    let mut shim = Options::worker().late().start();
    shim.signal(Signal::TERM);
    assert_eq!(shim.exit_code().await, Some(0));
    let mut shim = Options::worker().late().env("DANUBE_SHIM_LATE_S", "2").start();
    assert_eq!(shim.exit_code().await, Some(0));
}
