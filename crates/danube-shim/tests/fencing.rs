//! One master: the one with the highest epoch, on its newest connection.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::master::Master;
use common::{Shim, sh};
use danube_proto::v1::{HelloRequest, InfoRequest, ListRequest, StartRequest};
use tonic::Code;

#[tokio::test]
async fn nothing_is_answered_before_hello() {
    let shim = Shim::worker();
    let mut master = Master::connect(&shim.socket).await;
    assert_eq!(master.start(&sh("true")).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(master.client.list(ListRequest {}).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(master.attach(&[0; 16], 0).await.err().unwrap().code(), Code::FailedPrecondition);
    assert_eq!(master.hello(1).await.unwrap().nonce, "the-nonce");
    assert_eq!(master.client.list(ListRequest {}).await.unwrap().into_inner().steps, []);
}

#[tokio::test]
async fn a_lower_epoch_is_fenced_off() {
    let shim = Shim::worker();
    let mut new = shim.master_of(7).await;
    let mut old = Master::connect(&shim.socket).await;
    let refused = old.hello(6).await.unwrap_err();
    assert!(refused.code() == Code::Aborted && refused.message().contains("fenced"), "{refused}");
    assert!(old.start(&sh("echo > ran")).await.is_err());
    assert!(new.client.info(InfoRequest {}).await.is_ok());
    assert!(!shim.workspace().join("ran").exists());
}

#[tokio::test]
async fn a_newer_hello_cuts_older_connections() {
    let shim = Shim::worker();
    let mut old = shim.master_of(1).await;
    let step = sh("echo up; exec sleep 1d");
    old.start(&step).await.unwrap();
    let mut followed = old.attach(&step.step_id, 0).await.unwrap();
    followed.next().await.unwrap();
    let mut silent = Master::connect(&shim.socket).await;
    let mut new = shim.master_of(1).await;
    assert!(followed.next().await.is_err());
    assert!(old.client.list(ListRequest {}).await.is_err());
    assert!(silent.hello(1).await.is_err(), "a connection older than the master's says Hello late");
    new.until(&step.step_id, "up").await;
}

#[tokio::test]
async fn a_master_of_another_time_is_told_so() {
    let shim = Shim::worker();
    let mut master = Master::connect(&shim.socket).await;
    let hello =
        |protocol_min, protocol_max| HelloRequest { epoch: 1, protocol_min, protocol_max, ..Default::default() };
    let refused = master.client.hello(hello(2, 3)).await.unwrap_err();
    assert!(refused.code() == Code::FailedPrecondition && refused.message().starts_with("protocol"), "{refused}");
    assert_eq!(master.client.hello(hello(1, 9)).await.unwrap().into_inner().protocol, 1);
}

#[tokio::test]
async fn info_tells_what_is_there() {
    let shim = common::Options::worker().env("DANUBE_SHIM_USER", "0:0,5").start();
    let info = shim.master().await.client.info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.role.as_str(), info.nonce.as_str(), info.user.as_str()), ("worker", "the-nonce", "0:0,5"));
    assert!(info.shells.contains(&"sh".to_owned()), "{info:?}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(status.contains(&format!("CapEff:\t{}", info.cap_eff)), "{info:?}");
    assert_eq!(info.uid_map, std::fs::read_to_string("/proc/self/uid_map").unwrap().trim());
}

#[tokio::test]
async fn a_container_has_bounds() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let wait = || StartRequest { grace_ms: 10, ..common::argv(&["sleep", "1d"]) };
    for _ in 0..512 {
        master.start(&wait()).await.unwrap();
    }
    assert_eq!(master.start(&wait()).await.unwrap_err().code(), Code::ResourceExhausted);
}
