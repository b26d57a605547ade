//! The runtime on a real cluster, with the real shim as PID 1 of its containers. `checks/kube` starts one and says by
//! `DANUBE_CLUSTER_FACTS` what stands where; without it nothing here was tried, and each test says so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use danube_core::id::ContainerName;
use danube_core::runtime::{
    ContainerState, GroupEvent, GroupFailure, GroupSpec, ImageSource, Role, Runtime, RuntimeError,
};
use danube_kube::{Enforcement, Kubernetes, Settings};
use danube_proto::v1::{InfoRequest, ListRequest};
use futures_util::StreamExt;
use kube::api::DeleteParams;
use support::{Follower, Place, container, sh};

#[tokio::test]
async fn a_group_stands_runs_a_step_and_goes() {
    let Some(place) = Place::find("stands").await else { return };
    let group = place.group("job-1");
    place.start(&group).await;

    let mut worker = place.master(&group, &ContainerName::worker(1), 1).await;
    let info = worker.client.info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.role.as_str(), info.seccomp.as_str(), info.no_new_privs.as_str()), ("worker", "2", "1"));
    let outside: u64 = info.uid_map.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(outside >= 65536, "user 0 in the pod is {outside} on the node");
    let ran = worker.run(&sh(1, "echo $((6 * 7)) > answer; cat answer; pwd; exit 3")).await;
    assert_eq!((ran.text().as_str(), ran.end.exit_code), ("42\n/workspace\n", 3));

    let mut coordinator = place.master(&group, &ContainerName::coordinator(), 1).await;
    let seen = coordinator.client.info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((seen.role.as_str(), seen.cap_eff.as_str()), ("coordinator", "0000000000000000"));

    let found = place.runtime.list().await.unwrap();
    assert_eq!(found.iter().map(|group| (&group.attempt, group.running)).collect::<Vec<_>>(), [(&group.attempt, true)]);
    let events = place.runtime.watch(&group.attempt);
    place.runtime.delete(&group.attempt).await.unwrap();
    assert_eq!(events.collect::<Vec<_>>().await.last(), Some(&GroupEvent::Gone));
    place.runtime.delete(&group.attempt).await.unwrap();
    assert_eq!(place.runtime.list().await.unwrap(), []);
    place.leave().await;
}

#[tokio::test]
async fn asked_twice_it_is_one_group_and_another_s_name_is_refused() {
    let Some(place) = Place::find("twice").await else { return };
    let group = place.group("job-2");
    place.start(&group).await;
    let uid = place.pods().list(&Default::default()).await.unwrap().items[0].metadata.uid.clone();
    place.runtime.create(&group).await.unwrap();
    let pods = place.pods().list(&Default::default()).await.unwrap().items;
    assert_eq!(pods.iter().map(|pod| pod.metadata.uid.clone()).collect::<Vec<_>>(), [uid]);
    let other = GroupSpec { nonce: "f".repeat(32), ..group.clone() };
    let refused = place.runtime.create(&other).await;
    assert!(matches!(refused, Err(RuntimeError::Refused { kind: GroupFailure::Infra, .. })), "{refused:?}");
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn a_step_runs_on_over_cut_streams_and_every_byte_arrives() {
    let Some(place) = Place::find("cut").await else { return };
    let group = place.group("job-3");
    place.start(&group).await;
    let step = sh(7, support::NUMBERS);
    let mut follower = Follower { place: &place, group: &group, step: &step, got: Vec::new(), epoch: 0 };
    for enough in [150_000, 300_000, 450_000] {
        assert_eq!(follower.until(enough).await, None, "cut here");
    }
    let end = follower.until(usize::MAX).await.expect("an end");
    support::is_whole(&follower, &end);
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn a_container_is_added_to_a_running_pod_and_shares_its_workspace() {
    let Some(place) = Place::find("added").await else { return };
    let group = place.group("job-4");
    place.start(&group).await;
    let mut first = place.master(&group, &ContainerName::worker(1), 1).await;
    first.run(&sh(1, "umask; echo shared > file")).await;
    let name = ContainerName::worker(2);
    let added = container(name.clone(), Role::Worker, &place.cluster.image("WORKER"));
    place.runtime.add(&group.attempt, &added).await.unwrap();
    place.runtime.add(&group.attempt, &added).await.unwrap();
    let mut second = place.master(&group, &name, 1).await;
    let ran = second.run(&sh(2, "cat file; . /etc/os-release; echo $ID")).await;
    assert_eq!(ran.text(), "shared\ndebian\n");
    assert_eq!(second.client.list(ListRequest {}).await.unwrap().into_inner().steps.len(), 1);
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn an_image_that_is_not_there_fails_the_group_in_the_registry_s_words() {
    let Some(place) = Place::find("missing").await else { return };
    let mut group = place.group("job-5");
    let missing = place.cluster.image("BUSYBOX").split('@').next().unwrap().to_owned();
    group.containers[1].image = ImageSource::parse(&format!("{missing}@sha256:{}", "0".repeat(64)));
    place.runtime.create(&group).await.unwrap();
    let events = place.runtime.watch(&group.attempt);
    let failed = events.filter_map(|event| async move {
        match event {
            GroupEvent::Failed { kind, message } => Some((kind, message)),
            _ => None,
        }
    });
    let (kind, message) = Box::pin(failed).next().await.unwrap();
    assert_eq!(kind, GroupFailure::Image, "{message}");
    assert!(message.contains(&missing) && message.contains("not found"), "{message}");
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_is_gone_and_its_shim_ends() {
    let Some(place) = Place::find("deleted").await else { return };
    let group = place.group("job-6");
    place.start(&group).await;
    let events = place.runtime.watch(&group.attempt);
    let name = place.pods().list(&Default::default()).await.unwrap().items[0].metadata.name.clone().unwrap();
    place.pods().delete(&name, &DeleteParams::default()).await.unwrap();
    let heard: Vec<_> = events.collect().await;
    assert_eq!(heard.last(), Some(&GroupEvent::Gone));
    let ended = heard.iter().any(|event| {
        matches!(event, GroupEvent::State { state: ContainerState::Terminated { exit_code: 143, .. }, .. })
    });
    assert!(ended, "{heard:?}");
    let opened = place.runtime.open(&group.attempt, &ContainerName::worker(1)).await;
    assert!(matches!(opened, Err(RuntimeError::NotRunning(_))), "{opened:?}");
    place.leave().await;
}

#[tokio::test]
async fn without_policies_no_pod_is_made() {
    let Some(place) = Place::find("open").await else { return };
    let settings = Settings { enforcement: Enforcement::Required, ..place.cluster.settings(&place.namespace) };
    let runtime = Kubernetes::new(place.cluster.client.clone(), settings);
    let refused = runtime.create(&place.group("job-7")).await;
    assert!(
        matches!(&refused, Err(RuntimeError::Refused { message, .. }) if message.contains("Cilium")),
        "{refused:?}"
    );
    place.leave().await;
}
