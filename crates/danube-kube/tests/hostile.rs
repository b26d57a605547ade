//! A worker that wants out (security.md, C8, C12, C13): everything it tries, root in its own image, fails; what this cluster
//! cannot forbid, because nothing on it enforces network policies, is tried too and said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use danube_core::id::ContainerName;
use danube_core::runtime::{Role, Runtime};
use danube_kube::doctor::verdict::Verdict;
use danube_kube::doctor::{self, Canary};
use danube_proto::v1::InfoRequest;
use k8s_openapi::api::core::v1::Pod;
use support::{Place, container, sh};

/// Prints a line for each attempt: its name, and `failed` or what it got.
const ATTEMPTS: &str = include_str!("support/hostile.py");

/// What each attempt came to.
fn outcomes(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('\t')).collect()
}

#[tokio::test]
async fn a_worker_finds_no_way_out() {
    let Some(place) = Place::find("hostile").await else { return };
    let mut group = place.group("job-1");
    let worker = container(ContainerName::worker(1), Role::Worker, &place.cluster.image("WORKER"));
    group.containers[1] = worker;
    place.start(&group).await;
    let mut master = place.master(&group, &ContainerName::worker(1), 1).await;
    let before = master.client.info(InfoRequest {}).await.unwrap().into_inner();
    let ran =
        master.run(&sh(1, &format!("cat >attempts.py <<'END'\n{ATTEMPTS}\nEND\npython3 -I attempts.py 2>&1"))).await;
    let text = ran.text();
    let came = outcomes(&text);
    assert!(came.len() >= 60, "{text}");
    let open: Vec<_> = came.iter().filter(|(_, outcome)| !outcome.starts_with("failed")).collect();
    assert_eq!(open, [] as [(&&str, &&str); 0], "{text}");
    eprintln!("{} ways out tried, none was open", came.len());
    // The shim that it tried to kill, to change and to talk to is the one that was there.
    let after = master.client.info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!(before, after);
    assert_eq!(master.run(&sh(2, "echo still here")).await.text(), "still here\n");
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn two_jobs_beside_each_other_share_nothing_and_the_later_finds_nothing_of_the_earlier() {
    let Some(place) = Place::find("beside").await else { return };
    let (one, other) = (place.group("job-1"), place.group("job-2"));
    place.start(&one).await;
    place.start(&other).await;
    let mut first = place.master(&one, &ContainerName::worker(1), 1).await;
    first.run(&sh(1, "echo marked-by-one >/workspace/mark; echo marked-by-one >/tmp/mark; sleep 1000 & echo $!")).await;
    let mut second = place.master(&other, &ContainerName::worker(1), 1).await;
    let search = "cat /workspace/mark /tmp/mark || true; ps | grep -c '[s]leep 1000' || true; grep -l marked-by-one /workspace/* /tmp/* /danube/*/* 2>/dev/null || true";
    let seen = second.run(&sh(1, search)).await.text();
    assert!(!seen.contains("marked-by-one") && seen.lines().any(|line| line == "0"), "{seen}");
    // Users of two pods are two on the node, though both are 0 in their own.
    let mut outside = Vec::new();
    for master in [&mut first, &mut second] {
        let info = master.client.info(InfoRequest {}).await.unwrap().into_inner();
        outside.push(info.uid_map.split_whitespace().nth(1).unwrap().to_owned());
    }
    assert_ne!(outside[0], outside[1]);
    for group in [&one, &other] {
        place.runtime.delete(&group.attempt).await.unwrap();
    }
    // Another attempt of the same job begins with nothing.
    let mut again = place.group("job-1");
    again.attempt.number = 2;
    place.start(&again).await;
    let mut third = place.master(&again, &ContainerName::worker(1), 1).await;
    assert_eq!(third.run(&sh(1, "ls -A /workspace /tmp | grep -c mark || true")).await.text(), "0\n");
    place.runtime.delete(&again.attempt).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn the_coordinator_cannot_write_what_it_runs_from() {
    let Some(place) = Place::find("readonly").await else { return };
    let group = place.group("job-1");
    place.start(&group).await;
    let pod: Pod = place.pods().list(&Default::default()).await.unwrap().items.remove(0);
    let spec = pod.spec.unwrap();
    let coordinator = spec.containers.iter().find(|container| container.name == "coordinator").unwrap();
    assert_eq!(danube_kube::manifest::restricted::violations(&spec, coordinator), [] as [String; 0]);
    assert!(pod.metadata.labels.unwrap().contains_key("danube.dev/egress-profile"));
    // It has no shell: its own Python tries.
    let program = "import os\nfor path in ('/usr/lib/x', '/danube/sdk/x', '/danube/shim/x', '/etc/x', '/x', '/danube/shim/danube-shim'):\n \
                   try: open(path, 'a').close(); print('wrote', path)\n except OSError as error: print('refused', path, error.errno)\nprint(os.getuid())";
    let mut master = place.master(&group, &ContainerName::coordinator(), 1).await;
    let ran = master.run(&support::argv(1, &["python3", "-I", "-c", program])).await.text();
    assert!(!ran.contains("wrote") && ran.matches("refused").count() == 6 && ran.ends_with("65532\n"), "{ran}");
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}

/// Nothing enforces policies on the tests' cluster; a canary that said otherwise would be worthless.
#[tokio::test]
async fn the_canary_says_of_an_open_network_that_it_is_open() {
    let Some(place) = Place::find("canary").await else { return };
    let looked = doctor::Place {
        namespace: place.namespace.clone(),
        instance: "test".into(),
        shim_image: None,
        coordinator_image: Some(place.cluster.image("COORDINATOR")),
    };
    let canary = Canary { allowed: place.group("x").egress, other: None, allowed_addresses: Vec::new() };
    let (verdict, facts) = doctor::egress(&place.master, &looked, &canary).await;
    assert_eq!(verdict, Verdict::NotEnforced, "{facts:?}");
    for reached in ["another pod", "the API server", "the kubelet"] {
        let fact =
            facts.iter().find(|fact| fact.words.starts_with(reached)).unwrap_or_else(|| panic!("{reached}: {facts:?}"));
        assert!(!fact.good && fact.words.ends_with("came about"), "{fact:?}");
    }
    // What is not there is no way out, and proves nothing.
    assert!(facts.iter().any(|fact| fact.good && fact.words.starts_with("a resolver of the world")), "{facts:?}");
    assert_eq!(place.pods().list(&Default::default()).await.unwrap().items.len(), 0, "its pods are gone");
    place.leave().await;
}
