//! The coordinator's mailbox: calls wait for a master, and survive masters.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::master::Master;
use common::{Options, Shim, argv};
use danube_proto::v1::coordinate_request::Of;
use danube_proto::v1::{CoordinateReply, CoordinateRequest};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};

/// A coordinator's shim, without the rest of it.
fn coordinator() -> Shim {
    Options::coordinator().env("DANUBE_SOCKET", "{}/mailbox").start()
}

/// A process of the SDK with one call.
struct Sdk(BufReader<UnixStream>);

impl Sdk {
    async fn connect(shim: &Shim) -> Self {
        let path = shim.folder.path().join("mailbox");
        loop {
            // Nobody waits for the shim's start here, as a master would.
            match UnixStream::connect(&path).await {
                Ok(stream) => return Self(BufReader::new(stream)),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    async fn call(shim: &Shim, id: u8) -> Self {
        let mut sdk = Self::connect(shim).await;
        sdk.0.write_all(line(id).as_bytes()).await.unwrap();
        sdk.0.write_all(b"\n").await.unwrap();
        sdk
    }

    async fn answer(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }
}

fn line(id: u8) -> String {
    format!(r#"{{"v":1,"id":"{}","method":"secrets.get","params":{{"name":"A"}}}}"#, hex::encode([id; 16]))
}

/// A master following the mailbox.
struct Follower {
    replies: mpsc::UnboundedSender<CoordinateReply>,
    calls: Streaming<CoordinateRequest>,
    _master: Master,
}

impl Follower {
    async fn of(mut master: Master) -> Self {
        let (replies, stream) = mpsc::unbounded_channel();
        let calls = master.client.coordinate(UnboundedReceiverStream::new(stream)).await.unwrap().into_inner();
        Self { replies, calls, _master: master }
    }

    async fn next(&mut self) -> (u8, Of) {
        let told = self.calls.message().await.unwrap().unwrap();
        (told.call_id[0], told.of.unwrap())
    }

    fn reply(&self, id: u8, line: &str, last: bool) {
        let reply = CoordinateReply { call_id: vec![id; 16].into(), line: line.to_owned().into(), r#final: last };
        self.replies.send(reply).unwrap();
    }
}

#[tokio::test]
async fn a_call_is_answered_and_the_answer_confirmed() {
    let shim = coordinator();
    let mut master = Follower::of(shim.master().await).await;
    let mut sdk = Sdk::call(&shim, 1).await;
    assert_eq!(master.next().await, (1, Of::Call(line(1).into())));
    master.reply(1, "{\"progress\":1}", false);
    master.reply(1, "{\"ok\":{}}", true);
    assert_eq!((sdk.answer().await, sdk.answer().await), ("{\"progress\":1}\n".into(), "{\"ok\":{}}\n".into()));
    assert_eq!(sdk.answer().await, "", "the shim closes after the last line");
    drop(sdk);
    assert_eq!(master.next().await, (1, Of::Answered(true)));
}

#[tokio::test]
async fn calls_wait_for_a_master_and_outlive_it() {
    let shim = coordinator();
    let (mut first, mut second) = (Sdk::call(&shim, 1).await, Sdk::call(&shim, 2).await);
    let mut master = Follower::of(shim.master_of(1).await).await;
    let mut told = [master.next().await.0, master.next().await.0];
    told.sort_unstable();
    assert_eq!(told, [1, 2]);
    master.reply(1, "one", true);
    assert_eq!(first.answer().await, "one\n");
    drop(first);
    assert_eq!(master.next().await, (1, Of::Answered(true)));
    drop(master);

    let mut master = Follower::of(shim.master_of(2).await).await;
    assert_eq!(master.next().await, (2, Of::Call(line(2).into())));
    assert_eq!(master.next().await, (1, Of::Answered(true)), "the former master may have missed it");
    master.reply(1, "one", true);
    assert_eq!(master.next().await, (1, Of::Answered(true)), "and the new one may ask again");
    master.reply(2, "two", true);
    master.reply(2, "two", true);
    let mut rest = String::new();
    second.0.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "two\n");
}

#[tokio::test]
async fn a_process_that_leaves_is_gone() {
    let shim = coordinator();
    let mut master = Follower::of(shim.master().await).await;
    drop(Sdk::call(&shim, 1).await);
    assert_eq!(master.next().await, (1, Of::Call(line(1).into())));
    assert_eq!(master.next().await, (1, Of::Gone(true)));

    let unread = Sdk::call(&shim, 2).await;
    master.next().await;
    master.reply(2, "nobody reads this", true);
    // The line is in the socket when the second reply's echo shows that the first was handled.
    let mut other = Sdk::call(&shim, 3).await;
    master.next().await;
    master.reply(3, "x", true);
    other.answer().await;
    drop(unread);
    assert_eq!(master.next().await, (2, Of::Gone(true)), "an answer nobody read is not answered");
    master.reply(9, "who?", true);
    assert_eq!(master.next().await, (9, Of::Gone(true)));
}

#[tokio::test]
async fn what_is_no_call_is_told_so_and_reaches_no_master() {
    let shim = coordinator();
    let mut master = Follower::of(shim.master().await).await;
    let long = format!("{{\"id\":\"{}\",\"x\":\"{}\"}}", hex::encode([5; 16]), "x".repeat(1 << 20));
    for (text, words) in
        [("hello", "not a call"), ("{\"id\":\"12\"}", "not a call"), ("\u{0}", "not a call"), (&long, "DANUBE_OUTBOX")]
    {
        let mut sdk = Sdk::connect(&shim).await;
        // The shim may stop reading a line that is too long.
        let _ = sdk.0.write_all(format!("{text}\n").as_bytes()).await;
        let answer = sdk.answer().await;
        assert!(answer.contains("\"code\":\"invalid\"") && answer.contains(words), "{answer}");
    }
    let _first = Sdk::call(&shim, 7).await;
    assert_eq!(master.next().await.0, 7);
    let twice = Sdk::call(&shim, 7).await.answer().await;
    assert!(twice.contains("waiting already"), "{twice}");
    // A call that arrives in two parts, its line just under the limit.
    let text = format!("{{\"id\":\"{}\",\"x\":\"{}\"}}\n", hex::encode([8; 16]), "x".repeat((1 << 20) - 60));
    let mut sdk = Sdk::connect(&shim).await;
    sdk.0.write_all(&text.as_bytes()[..1000]).await.unwrap();
    sdk.0.write_all(&text.as_bytes()[1000..]).await.unwrap();
    assert_eq!(master.next().await.0, 8);
}

#[tokio::test]
async fn a_worker_has_no_mailbox() {
    let shim = Options::worker().env("DANUBE_SOCKET", "{}/mailbox").start();
    let mut master = shim.master().await;
    let refused = master.client.coordinate(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(!shim.folder.path().join("mailbox").exists());
}

#[tokio::test]
async fn steps_find_the_mailbox_by_environment_and_strangers_are_turned_away() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can be several people");
    }
    let shim = Options::coordinator().env("DANUBE_SOCKET", "{}/mailbox").env("DANUBE_SHIM_USER", "54330:54330").start();
    open_to_all(shim.folder.path());
    let mut master = shim.master().await;
    let call = "import os,socket; s=socket.socket(socket.AF_UNIX); s.connect(os.environ['DANUBE_SOCKET']); \
        s.sendall(b'{\"id\":\"'+b'11'*16+b'\"}\\n'); print(s.makefile().readline().strip() or 'closed')";
    let python = python();
    let step = argv(&[&python, "-c", call]);
    master.start(&step).await.unwrap();
    let mut follower = Follower::of(master.clone()).await;
    assert_eq!(follower.next().await.0, 0x11);
    follower.reply(0x11, "welcome", true);
    assert_eq!(master.follow(&step.step_id).await.text(), "welcome\n");

    let stranger = danube_proto::v1::StartRequest { user: "54331:54331".into(), ..argv(&[&python, "-c", call]) };
    open_to_all(&shim.folder.path().join("mailbox"));
    let text = master.run(&stranger).await.text();
    assert!(text.contains("closed") || text.contains("Error"), "{text}");
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}

/// A Python that every user may run.
fn python() -> String {
    ["/usr/bin/python3", "/usr/local/bin/python3"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("python3")
        .into()
}
