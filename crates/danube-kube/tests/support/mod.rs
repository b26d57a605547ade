//! A cluster as a test sees it, and a master's side of the protocol over the runtime's streams.
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../../danube-shim/tests/common/master.rs"]
mod master;

use std::collections::BTreeMap;
use std::time::Duration;

use danube_core::egress::{EgressMode, EgressPolicy};
use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{
    ContainerSpec, ContainerState, GroupEvent, GroupSpec, ImageSource, Resources, Role, Runtime, Workspace,
};
use danube_kube::services::apply::{self, How};
use danube_kube::services::{self, Part, Services};
use danube_kube::{Enforcement, Kubernetes, Settings};
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{Argv, End, Script, StartRequest, script};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, AttachParams, DeleteParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use master::Master;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

/// A cluster that stands.
pub struct Cluster {
    pub facts: BTreeMap<String, String>,
    pub client: kube::Client,
}

/// A namespace of a test's own, with a runtime.
pub struct Place {
    pub cluster: Cluster,
    pub runtime: Kubernetes,
    /// With the rights of the master's account.
    pub master: kube::Client,
    pub namespace: String,
}

/// A cluster's own objects, for a namespace of a test's.
pub fn services(namespace: &str) -> Services {
    Services {
        jobs: namespace.to_owned(),
        system: format!("{namespace}-system"),
        instance: "test".into(),
        cilium: false,
        registry: None,
        dex: None,
    }
}

impl Cluster {
    /// None when there is no cluster to try it on.
    pub async fn find() -> Option<Self> {
        let Ok(path) = std::env::var("DANUBE_CLUSTER_FACTS") else {
            eprintln!("not tried: no cluster. `checks/kube` starts one");
            return None;
        };
        let text = std::fs::read_to_string(path).unwrap();
        let facts: BTreeMap<String, String> =
            text.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect();
        let client = danube_kube::connect(Some(facts["KUBECONFIG"].as_ref())).await.unwrap();
        Some(Self { facts, client })
    }

    /// None when there is no cluster with Cilium's definitions.
    pub async fn find_with_cilium() -> Option<Self> {
        let found = Self::find().await?;
        let known = found.client.list_api_group_resources("cilium.io/v2").await.is_ok();
        if !known {
            eprintln!(
                "not tried: the cluster has no definitions of Cilium's; `checks/cluster/run cilium NAME` gives them to it"
            );
        }
        known.then_some(found)
    }

    /// A client with somebody else's rights.
    pub async fn client_as(&self, user: &str) -> kube::Client {
        let config = Kubeconfig::read_from(&self.facts["KUBECONFIG"]).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        config.auth_info.impersonate = Some(user.to_owned());
        kube::Client::try_from(config).unwrap()
    }

    pub fn image(&self, name: &str) -> String {
        self.facts[&format!("IMAGE_{name}")].clone()
    }

    pub fn settings(&self, namespace: &str) -> Settings {
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
            enforcement: Enforcement::Off,
            pull_grace: Duration::from_secs(15),
            node_grace: Duration::from_secs(60),
            pull_secrets: Vec::new(),
            node_selector: Vec::new(),
            runner: ["/usr/bin/python3", "-I", "-S", "-B", "/opt/danube/sdk/danube-runner.py"]
                .map(str::to_owned)
                .to_vec(),
        }
    }
}

impl Place {
    /// The namespace is made as an operator makes one, and the runtime has the rights of the master's account only.
    pub async fn find(name: &str) -> Option<Self> {
        let cluster = Cluster::find().await?;
        let namespace = format!("danube-{name}-{}", std::process::id());
        let wanted = services(&namespace);
        for (part, object) in services::objects(&wanted).unwrap() {
            if part == Part::Foundation {
                let outcome = apply::apply(&cluster.client, &object, How::default()).await;
                assert!(outcome.is_good(), "{}: {outcome}", object.title());
            }
        }
        // Until the namespace has its account every pod is refused; a controller that has just found its API server again takes
        // its time.
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), &namespace);
        while accounts.get_opt("default").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let master = cluster.client_as(&format!("system:serviceaccount:{}:danube-master", wanted.system)).await;
        let runtime = Kubernetes::new(master.clone(), cluster.settings(&namespace));
        Some(Self { cluster, runtime, master, namespace })
    }

    pub fn group(&self, job: &str) -> GroupSpec {
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
            time: Duration::from_secs(60),
            warm: 0,
        }
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Makes a group; it runs when this returns.
    pub async fn start(&self, group: &GroupSpec) {
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

    pub async fn master(&self, group: &GroupSpec, container: &ContainerName, epoch: u64) -> Master {
        let stream = self.runtime.open(&group.attempt, container).await.unwrap();
        let mut master = Master::over(stream).await.unwrap();
        assert_eq!(master.hello(epoch).await.unwrap().nonce, group.nonce);
        master
    }

    /// What a program says that an operator runs in a container.
    pub async fn exec(&self, pod: &str, container: &str, argv: &[&str]) -> String {
        let how = AttachParams::default().container(container).stderr(false);
        let mut process = self.pods().exec(pod, argv.to_vec(), &how).await.unwrap();
        let mut said = String::new();
        process.stdout().unwrap().read_to_string(&mut said).await.unwrap();
        said
    }

    pub async fn leave(self) {
        assert_eq!(self.pods().list(&Default::default()).await.unwrap().items.len(), 0, "pods are left");
        let all: Api<Namespace> = Api::all(self.cluster.client.clone());
        for namespace in [self.namespace.clone(), format!("{}-system", self.namespace)] {
            all.delete(&namespace, &DeleteParams::default()).await.unwrap();
        }
    }
}

pub fn container(name: ContainerName, role: Role, image: &str) -> ContainerSpec {
    ContainerSpec { name, role, image: ImageSource::parse(image), program: None, resources: Resources::default() }
}

pub fn sh(id: u8, text: &str) -> StartRequest {
    let source = Some(script::Source::Inline(text.to_owned().into()));
    let script = Script { source, shell: "sh".into(), errexit: true };
    let hash = Sha256::digest(text).to_vec();
    let command = Some(Command::Script(script));
    StartRequest { step_id: vec![id; 16].into(), spec_hash: hash.into(), command, ..StartRequest::default() }
}

pub fn argv(id: u8, words: &[&str]) -> StartRequest {
    let args = words.iter().map(|&word| word.to_owned()).collect();
    let hash = Sha256::digest(words.join(" ")).to_vec();
    let command = Some(Command::Argv(Argv { args }));
    StartRequest { step_id: vec![id; 16].into(), spec_hash: hash.into(), command, ..StartRequest::default() }
}

/// Follows a step as an engine does: over as many streams as it takes, from the byte that it has.
pub struct Follower<'a> {
    pub place: &'a Place,
    pub group: &'a GroupSpec,
    pub step: &'a StartRequest,
    /// What has arrived.
    pub got: Vec<u8>,
    /// Streams so far.
    pub epoch: u64,
}

impl Follower<'_> {
    /// Follows over one stream until so many bytes are there, the step has ended, or the stream is cut.
    pub async fn follow(&mut self, enough: usize) -> Result<Option<End>, String> {
        self.epoch += 1;
        let worker = ContainerName::worker(1);
        let stream = self.place.runtime.open(&self.group.attempt, &worker).await.map_err(|e| e.to_string())?;
        let mut master = Master::over(stream).await.map_err(|e| e.to_string())?;
        let hello = master.hello(self.epoch).await.map_err(|e| e.to_string())?;
        assert_eq!(hello.nonce, self.group.nonce);
        // Said again each time: the shim starts a step once.
        master.start(self.step).await.map_err(|e| e.to_string())?;
        let mut attached = master.attach(&self.step.step_id, self.got.len() as u64).await.map_err(|e| e.to_string())?;
        while self.got.len() < enough {
            let next = tokio::time::timeout(Duration::from_secs(20), attached.next()).await;
            match next.map_err(|_| "silent for 20 s".to_owned())?.map_err(|e| e.to_string())? {
                Of::Chunk(chunk) => {
                    assert_eq!(chunk.offset, self.got.len() as u64);
                    self.got.extend_from_slice(&chunk.data);
                    attached.ack(self.got.len() as u64, false);
                }
                Of::End(end) => return Ok(Some(end)),
            }
        }
        Ok(None)
    }

    /// Follows on, over cuts, until so many bytes are there or the step has ended.
    pub async fn until(&mut self, enough: usize) -> Option<End> {
        for _ in 0..300 {
            match self.follow(enough).await {
                Ok(end) => return end,
                Err(cut) => eprintln!("stream {} was cut after {} bytes: {cut}", self.epoch, self.got.len()),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("no stream holds");
    }
}

/// Prints 200 000 numbers in some seconds, and how often it was started.
pub const NUMBERS: &str = "echo ran >> marks; i=0; while [ $i -lt 40 ]; do \
    seq $((i * 5000)) $((i * 5000 + 4999)); i=$((i + 1)); sleep ${PAUSE:-0.05}; done; cat marks";

/// Every byte of [`NUMBERS`] is there, the shim says the same, and it ran once.
pub fn is_whole(follower: &Follower<'_>, end: &End) {
    let expected: String = (0..200_000).map(|n| format!("{n}\n")).collect::<String>() + "ran\n";
    assert_eq!((end.exit_code, end.sha256.to_vec()), (0, Sha256::digest(&expected).to_vec()));
    assert!(follower.got == expected.as_bytes());
}
