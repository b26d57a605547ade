//! The runtime on a real cluster, with the real shim as PID 1 of its containers. `checks/kube` starts one and says by
//! `DANUBE_CLUSTER_FACTS` what stands where; without it nothing here was tried, and each test says so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../danube-shim/tests/common/master.rs"]
#[allow(dead_code, reason = "the shim's own tests use the rest")]
mod master;

use std::collections::BTreeMap;
use std::time::Duration;

use danube_core::egress::{EgressMode, EgressPolicy};
use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{
    ContainerSpec, ContainerState, GroupEvent, GroupFailure, GroupSpec, ImageSource, Resources, Role, Runtime,
    RuntimeError, Workspace,
};
use danube_kube::{Enforcement, Kubernetes, Settings};
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{InfoRequest, ListRequest, Script, StartRequest, script};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use master::Master;
use sha2::{Digest, Sha256};

/// A cluster that stands.
struct Cluster {
    facts: BTreeMap<String, String>,
    client: kube::Client,
}

/// A namespace of a test's own, with a runtime.
struct Place {
    cluster: Cluster,
    runtime: Kubernetes,
    namespace: String,
}

impl Cluster {
    /// None when there is no cluster to try it on.
    async fn find() -> Option<Self> {
        let Ok(path) = std::env::var("DANUBE_CLUSTER_FACTS") else {
            eprintln!("not tried: no cluster. `checks/kube` starts one");
            return None;
        };
        let text = std::fs::read_to_string(path).unwrap();
        let facts: BTreeMap<String, String> =
            text.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect();
        // The second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Kubeconfig::read_from(&facts["KUBECONFIG"]).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        Some(Self { facts, client: kube::Client::try_from(config).unwrap() })
    }

    fn image(&self, name: &str) -> String {
        self.facts[&format!("IMAGE_{name}")].clone()
    }

    fn settings(&self, namespace: &str) -> Settings {
        let limits =
            |mib: u64| Resources { cpu_millis: Some(100), memory_bytes: Some(mib << 20), disk_bytes: None, pids: None };
        Settings {
            namespace: namespace.to_owned(),
            instance: "test".into(),
            shim_image: self.image("SHIM"),
            coordinator_image: self.image("COORDINATOR"),
            coordinator: limits(128),
            worker: limits(128),
            workspace_bytes: 64 << 20,
            map_users: true,
            pod_resources: true,
            longest: Duration::from_secs(600),
            enforcement: Enforcement::Off,
            pull_grace: Duration::from_secs(15),
            node_grace: Duration::from_secs(60),
            pull_secrets: Vec::new(),
            node_selector: Vec::new(),
        }
    }
}

impl Place {
    async fn find(name: &str) -> Option<Self> {
        let cluster = Cluster::find().await?;
        let namespace = format!("danube-{name}-{}", std::process::id());
        let all: Api<Namespace> = Api::all(cluster.client.clone());
        let labels = [("pod-security.kubernetes.io/enforce".to_owned(), "baseline".to_owned())].into();
        let mut wanted = Namespace::default();
        wanted.metadata.name = Some(namespace.clone());
        wanted.metadata.labels = Some(labels);
        all.create(&PostParams::default(), &wanted).await.unwrap();
        let runtime = Kubernetes::new(cluster.client.clone(), cluster.settings(&namespace));
        Some(Self { cluster, runtime, namespace })
    }

    fn group(&self, job: &str) -> GroupSpec {
        GroupSpec {
            attempt: AttemptId { job: job.parse().unwrap(), number: 1 },
            nonce: hex::encode(&Sha256::digest(job)[..16]),
            pipeline: "a pipeline".into(),
            containers: vec![
                container(ContainerName::coordinator(), Role::Coordinator, "host"),
                container(ContainerName::worker(1), Role::Worker, &self.cluster.image("BUSYBOX")),
            ],
            workspace: Workspace::Empty,
            source: None,
            egress: EgressPolicy { mode: EgressMode::Enforce, rules: Vec::new() },
            orphan_grace: Duration::from_secs(60),
        }
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Makes a group; it runs when this returns.
    async fn start(&self, group: &GroupSpec) {
        self.runtime.create(group).await.unwrap();
        let mut events = self.runtime.watch(&group.attempt);
        let mut waits: Vec<ContainerName> = group.containers.iter().map(|spec| spec.name.clone()).collect();
        while !waits.is_empty() {
            match events.next().await.expect("the group stands") {
                GroupEvent::State { container, state: ContainerState::Running } => {
                    waits.retain(|name| *name != container);
                }
                GroupEvent::State { state: ContainerState::Waiting { .. }, .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn master(&self, group: &GroupSpec, container: &ContainerName, epoch: u64) -> Master {
        let stream = self.runtime.open(&group.attempt, container).await.unwrap();
        let mut master = Master::over(stream).await.unwrap();
        assert_eq!(master.hello(epoch).await.unwrap().nonce, group.nonce);
        master
    }

    async fn leave(self) {
        assert_eq!(self.pods().list(&Default::default()).await.unwrap().items.len(), 0, "pods are left");
        let all: Api<Namespace> = Api::all(self.cluster.client.clone());
        all.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

fn container(name: ContainerName, role: Role, image: &str) -> ContainerSpec {
    ContainerSpec { name, role, image: ImageSource::parse(image), resources: Resources::default() }
}

fn sh(id: u8, text: &str) -> StartRequest {
    let source = Some(script::Source::Inline(text.to_owned().into()));
    let script = Script { source, shell: "sh".into(), errexit: true };
    let hash = Sha256::digest(text).to_vec();
    let command = Some(Command::Script(script));
    StartRequest { step_id: vec![id; 16].into(), spec_hash: hash.into(), command, ..StartRequest::default() }
}

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
    let worker = ContainerName::worker(1);
    let step = sh(
        7,
        "echo ran >> marks; i=0; while [ $i -lt 40 ]; do seq $((i * 5000)) $((i * 5000 + 4999)); i=$((i + 1)); sleep 0.05; done; cat marks",
    );
    let expected: String = (0..200_000).map(|n| format!("{n}\n")).collect::<String>() + "ran\n";
    let mut got = Vec::new();
    for epoch in 1.. {
        let mut master = place.master(&group, &worker, epoch).await;
        // Said again each time: the shim starts a step once.
        master.start(&step).await.unwrap();
        let mut attached = master.attach(&step.step_id, got.len() as u64).await.unwrap();
        // Three cuts, each after some output; then to the end.
        let enough = if epoch <= 3 { got.len() + 150_000 } else { usize::MAX };
        let mut end = None;
        while got.len() < enough && end.is_none() {
            match attached.next().await.unwrap() {
                danube_proto::v1::attach_reply::Of::Chunk(chunk) => {
                    assert_eq!(chunk.offset, got.len() as u64);
                    got.extend_from_slice(&chunk.data);
                    attached.ack(got.len() as u64, false);
                }
                danube_proto::v1::attach_reply::Of::End(ended) => end = Some(ended),
            }
        }
        if let Some(end) = end {
            assert_eq!((end.exit_code, end.sha256.to_vec()), (0, Sha256::digest(&expected).to_vec()));
            break;
        }
    }
    assert!(String::from_utf8(got).unwrap() == expected);
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
