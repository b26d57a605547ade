//! Pods that are made ahead: what is in one while it is nobody's, and that each becomes one job's, of its own shape.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use danube_core::id::ContainerName;
use danube_core::runtime::{GroupSpec, Resources, Runtime};
use danube_kube::Kubernetes;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use support::{Place, sh};

const WARM: &str = "danube.dev/warm";

async fn ahead(place: &Place) -> Vec<Pod> {
    place.pods().list(&ListParams::default().labels(WARM)).await.unwrap().items
}

fn runs(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let running = statuses.filter(|one| one.state.as_ref().is_some_and(|state| state.running.is_some())).count();
    pod.metadata.deletion_timestamp.is_none() && running == pod.spec.as_ref().unwrap().containers.len()
}

/// Waits, while the runtime keeps them, until this many run and are the only ones.
async fn kept(place: &Place, runtime: &Kubernetes, count: usize) -> Vec<Pod> {
    let stand = async {
        loop {
            let pods = ahead(place).await;
            if pods.len() == count && pods.iter().all(runs) {
                return pods;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        pods = stand => pods,
        never = runtime.keep_warm() => match never {},
    }
}

fn group(place: &Place, job: &str) -> GroupSpec {
    GroupSpec { warm: 1, ..place.group(job) }
}

fn names(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().map(ResourceExt::name_any).collect()
}

async fn clear(place: &Place) {
    place.pods().delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await.unwrap();
    while !place.pods().list(&ListParams::default()).await.unwrap().items.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_pod_made_ahead_holds_nothing_of_a_job_and_becomes_one_job_s() {
    let Some(place) = Place::find("ahead").await else { return };
    let first = group(&place, "job-1");
    place.start(&first).await;
    assert_eq!(names(&ahead(&place).await).len(), 0, "it was made cold");
    let spare = kept(&place, &place.runtime, 1).await.remove(0);
    let text = serde_json::to_string(&spare).unwrap();
    assert!(!text.contains("job-1") && !text.contains(&first.nonce), "{text}");

    let second = group(&place, "job-2");
    place.start(&second).await;
    let taken = place.pods().get(&spare.name_any()).await.unwrap();
    assert_eq!((taken.uid(), taken.labels()["danube.dev/job-id"].as_str()), (spare.uid(), "job-2"));
    assert!(!taken.labels().contains_key(WARM) && taken.spec.unwrap().active_deadline_seconds.is_some());
    let mut worker = place.master(&second, &ContainerName::worker(1), 1).await;
    assert_eq!(worker.run(&sh(1, "echo on; ls -A /workspace")).await.text(), "on\n");
    place.master(&second, &ContainerName::coordinator(), 1).await;
    assert_eq!(place.pods().list(&ListParams::default()).await.unwrap().items.len(), 2);

    // The same once more, and by a master that has just started, is the same pod.
    place.runtime.create(&second).await.unwrap();
    let later =
        Place { runtime: Kubernetes::new(place.master.clone(), place.cluster.settings(&place.namespace)), ..place };
    later.runtime.create(&second).await.unwrap();
    let mut worker = later.master(&second, &ContainerName::worker(1), 2).await;
    assert_eq!(worker.run(&sh(2, "echo again")).await.text(), "again\n");
    assert_eq!(later.pods().list(&ListParams::default()).await.unwrap().items.len(), 2);
    for group in [&first, &second] {
        later.runtime.delete(&group.attempt).await.unwrap();
    }
    clear(&later).await;
    later.leave().await;
}

#[tokio::test]
async fn only_a_job_of_the_same_pipeline_and_shape_takes_it_and_what_fits_no_more_is_replaced() {
    let Some(place) = Place::find("shape").await else { return };
    place.start(&group(&place, "job-1")).await;
    let spare = kept(&place, &place.runtime, 1).await.remove(0);

    let other = GroupSpec { pipeline: "another".into(), ..group(&place, "job-2") };
    let mut larger = group(&place, "job-3");
    larger.containers[1].resources = Resources { memory_bytes: Some(200 << 20), ..Resources::default() };
    let mut open = group(&place, "job-4");
    open.egress.rules.push("pip.example".parse().unwrap());
    for strange in [&other, &larger, &open] {
        place.runtime.create(strange).await.unwrap();
        let still = place.pods().get(&spare.name_any()).await.unwrap();
        assert!(still.labels().contains_key(WARM), "{}", strange.attempt.job);
    }
    // The other pipeline has one of its own now, and this one's is as its last job was.
    let now = kept(&place, &place.runtime, 2).await;
    assert!(!names(&now).contains(&spare.name_any()));
    let profiles: BTreeSet<&str> = now.iter().map(|pod| pod.labels()["danube.dev/egress-profile"].as_str()).collect();
    assert_eq!(profiles.len(), 2, "{profiles:?}");
    // It wishes for none any more.
    let none = GroupSpec { warm: 0, ..other };
    place.runtime.delete(&none.attempt).await.unwrap();
    place.runtime.create(&none).await.unwrap();
    assert_eq!(kept(&place, &place.runtime, 1).await.len(), 1);
    clear(&place).await;
    place.leave().await;
}

/// The processes, as `ps` has listed them, that copy between a stream and a shim.
fn bridges(listed: &str) -> Vec<&str> {
    let lines = listed.lines().filter(|line| line.contains("danube-shim bridge"));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

/// Waits, while the runtime keeps it, until a stream leads into this pod's worker; gives its process.
async fn connected(place: &Place, pod: &Pod) -> String {
    let stands = async {
        loop {
            let listed = place.exec(&pod.name_any(), "worker", &["ps"]).await;
            if let [process] = bridges(&listed)[..] {
                return process.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        process = stands => process,
        () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("no stream was opened ahead"),
        never = place.runtime.keep_warm() => match never {},
    }
}

#[tokio::test]
async fn a_job_goes_on_with_the_streams_that_were_opened_ahead_and_opens_its_own_where_they_were_cut() {
    let Some(place) = Place::find("lines").await else { return };
    place.start(&group(&place, "job-1")).await;
    let spare = kept(&place, &place.runtime, 1).await.remove(0);
    let process = connected(&place, &spare).await;
    let second = group(&place, "job-2");
    place.runtime.create(&second).await.unwrap();
    let mut worker = place.master(&second, &ContainerName::worker(1), 1).await;
    let listed = worker.run(&sh(1, "ps")).await.text();
    assert_eq!(bridges(&listed), [process], "it is the one from before");
    // Any later one is an exec of its own.
    let mut again = place.master(&second, &ContainerName::worker(1), 2).await;
    assert_eq!(again.run(&sh(2, "echo again")).await.text(), "again\n");

    let spare = kept(&place, &place.runtime, 1).await.remove(0);
    let process = connected(&place, &spare).await;
    place.exec(&spare.name_any(), "worker", &["sh", "-c", &format!("kill -9 {process}")]).await;
    let third = group(&place, "job-3");
    place.runtime.create(&third).await.unwrap();
    assert_eq!(place.pods().get(&spare.name_any()).await.unwrap().labels()["danube.dev/job-id"], "job-3");
    let mut worker = place.master(&third, &ContainerName::worker(1), 1).await;
    assert_eq!(worker.run(&sh(1, "echo on")).await.text(), "on\n");
    clear(&place).await;
    place.leave().await;
}

#[tokio::test]
async fn two_jobs_never_get_the_same_one() {
    let Some(place) = Place::find("once").await else { return };
    place.start(&group(&place, "job-1")).await;
    kept(&place, &place.runtime, 1).await;
    let both: Vec<GroupSpec> = ["job-2", "job-3"].iter().map(|job| group(&place, job)).collect();
    let made = tokio::join!(place.runtime.create(&both[0]), place.runtime.create(&both[1]));
    made.0.unwrap();
    made.1.unwrap();
    let pods = place.pods().list(&ListParams::default()).await.unwrap().items;
    let jobs: BTreeSet<&str> =
        pods.iter().filter_map(|pod| pod.labels().get("danube.dev/job-id")).map(String::as_str).collect();
    assert_eq!((pods.len(), jobs), (3, BTreeSet::from(["job-1", "job-2", "job-3"])));
    clear(&place).await;
    place.leave().await;
}
