//! Parts of the cluster die under a running step: the API server, the kubelet, containerd. The step runs on, and every byte
//! arrives over the next streams. Needs a cluster of its own (`checks/kube`), for it takes it apart; one test at a time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;

use danube_core::runtime::Runtime;
use support::{Follower, NUMBERS, Place, sh};

/// `checks/cluster/run WORDS…`.
fn cluster(place: &Place, verb: &str, part: &str) {
    let run = std::env::var("DANUBE_CLUSTER_RUN").unwrap();
    let done = Command::new(run).args([verb, &place.cluster.facts["CLUSTER"], part]).status().unwrap();
    assert!(done.success(), "{verb} {part}: {done}");
}

/// Half of the output arrives; then the parts die and come back; then the rest arrives.
async fn survives(name: &str, parts: &[&str]) {
    let Some(place) = Place::find(name).await else { return };
    let group = place.group("job-1");
    place.start(&group).await;
    let mut step = sh(9, NUMBERS);
    step.env.insert("PAUSE".into(), "0.3".into());
    let mut follower = Follower { place: &place, group: &group, step: &step, got: Vec::new(), epoch: 0 };
    assert_eq!(follower.until(200_000).await, None);
    parts.iter().for_each(|part| cluster(&place, "kill", part));
    // The stream that comes next meets a cluster without them.
    let _ = follower.follow(400_000).await;
    parts.iter().rev().for_each(|part| cluster(&place, "start", part));
    let end = follower.until(usize::MAX).await.expect("an end");
    support::is_whole(&follower, &end);
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn a_step_outlives_the_api_server() {
    survives("apiserver", &["kube-apiserver"]).await;
}

#[tokio::test]
async fn a_step_outlives_the_kubelet() {
    survives("kubelet", &["kubelet"]).await;
}

#[tokio::test]
async fn a_step_outlives_containerd() {
    survives("containerd", &["containerd"]).await;
}

#[tokio::test]
async fn a_step_outlives_all_of_them_at_once() {
    survives("all", &["kube-apiserver", "kubelet", "containerd"]).await;
}
