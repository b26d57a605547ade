//! Jobs on a cluster: what a plan must be for a pod, which gets nothing from this machine but by its streams.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use danube_config::server::{Enforcement, Isolation, KubernetesConfig, Limits};
use danube_core::job::FailureKind;
use danube_core::runtime::{ContainerSpec, ImageSource, Resources, Role, RuntimeError, Workspace};
use danube_engine::job::Plan;
use danube_engine::job::delivery::Delivery;
use danube_engine::job::isolation::Demand;
use danube_engine::master::Refused;
use danube_kube::{Access, Kubernetes, Settings};
use danube_sandbox::JobPaths;

use super::pinned::Registries;
use crate::checkout::{self, Places};
use crate::error::CliError;

/// The Python of the coordinator's image.
pub const PYTHON: &str = "/usr/bin/python3";
/// The SDK in it: `/danube` is a volume of the pod.
const SDK: &str = "/opt/danube/sdk";

/// A cluster, and the way from a danubefile's images to what its nodes can pull.
#[derive(Debug)]
pub struct Cluster {
    /// Makes pods.
    pub pods: Kubernetes,
    registries: Registries,
    /// By digest: written down with each job.
    coordinator_image: String,
    /// Of a coordinator, and of any other container that asks for none: what a job had is written down with it.
    limits: (Resources, Resources),
    demand: Demand,
    depth: Option<NonZeroU32>,
}

impl Cluster {
    /// The cluster that danube.toml names. `images` is where what registries answer is kept.
    pub async fn connect(config: &KubernetesConfig, images: PathBuf) -> Result<Self, CliError> {
        let access = Access { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() };
        let connected = Kubernetes::connect(&access, settings(config)).await;
        Ok(Self {
            pods: connected.map_err(|error| CliError::infra(error).hint("danube.toml, [kubernetes]"))?,
            registries: Registries { dir: images },
            coordinator_image: config.coordinator_image.clone().unwrap_or_default(),
            limits: (resources(config.coordinator), resources(config.worker)),
            demand: match config.isolation {
                Isolation::Require => Demand::Require,
                Isolation::Off => Demand::Nothing,
            },
            depth: config.git_depth,
        })
    }

    /// How much of a repository's history goes into a workspace.
    pub const fn depth(&self) -> Option<NonZeroU32> {
        self.depth
    }

    /// Makes a plan for a pod of one for this machine: every image by its digest, and files that travel.
    pub fn fit(&self, plan: &mut Plan, places: &Places) -> Result<(), Refused> {
        plan.group.workspace = Workspace::Empty;
        plan.group.source = None;
        plan.delivery = Some(Delivery { workspace: places.workspace.clone(), source: places.source.clone() });
        plan.isolation = self.demand;
        // A container that was made with the job is found by what a step or service asks for: the same of both.
        limited(&mut plan.resources, &self.limits.1);
        for spec in &mut plan.group.containers {
            limited(&mut spec.resources, if spec.role == Role::Coordinator { &self.limits.0 } else { &self.limits.1 });
            if spec.role == Role::Coordinator {
                spec.image = ImageSource::Reference(self.coordinator_image.clone());
            }
        }
        self.pin(plan).map_err(|error| Refused { kind: FailureKind::ImagePull, message: error.to_string() })
    }

    /// Each reference is asked for once: it means the same throughout the job.
    fn pin(&self, plan: &mut Plan) -> Result<(), super::pinned::NotPinned> {
        let mut known: BTreeMap<(ImageSource, bool), ContainerSpec> = BTreeMap::new();
        let mut sources = BTreeMap::new();
        for spec in plan.group.containers.iter_mut().filter(|spec| spec.role != Role::Coordinator) {
            let key = (spec.image.clone(), spec.role == Role::Service);
            let pinned = match known.get(&key) {
                Some(pinned) => pinned.clone(),
                None => known.entry(key.clone()).or_insert(self.registries.pinned(spec.clone())?).clone(),
            };
            sources.insert(key.0, pinned.image.clone());
            (spec.image, spec.program) = (pinned.image, pinned.program);
        }
        for source in plan.sources.values_mut() {
            if let Some(pinned) = sources.get(source) {
                *source = pinned.clone();
            }
        }
        Ok(())
    }

    /// A container that is added while the job runs, as it can be pulled.
    pub async fn pinned(&self, spec: &ContainerSpec) -> Result<ContainerSpec, RuntimeError> {
        let (registries, spec) = (self.registries.clone(), spec.clone());
        let asked = tokio::task::spawn_blocking(move || registries.pinned(spec)).await;
        let pinned = asked.map_err(|died| RuntimeError::Transient(died.to_string()))?;
        Ok(pinned?)
    }
}

/// What was not asked for is what the instance gives.
fn limited(resources: &mut Resources, usual: &Resources) {
    resources.memory_bytes = resources.memory_bytes.or(usual.memory_bytes);
    resources.cpu_millis = resources.cpu_millis.or(usual.cpu_millis);
}

/// What the programs of a job call what they are given.
pub fn paths() -> JobPaths {
    JobPaths { sdk: SDK.into(), ..JobPaths::inside() }
}

/// How pods are made.
fn settings(config: &KubernetesConfig) -> Settings {
    Settings {
        namespace: config.namespace.clone(),
        instance: config.instance.clone(),
        // danube.toml is refused without them.
        shim_image: config.shim_image.clone().unwrap_or_default(),
        coordinator_image: config.coordinator_image.clone().unwrap_or_default(),
        coordinator: resources(config.coordinator),
        worker: resources(config.worker),
        workspace_bytes: config.workspace,
        map_users: config.isolation == Isolation::Require,
        pod_resources: true,
        enforcement: match config.enforcement {
            Enforcement::Required => danube_kube::Enforcement::Required,
            Enforcement::Off => danube_kube::Enforcement::Off,
        },
        pull_grace: config.pull_grace,
        node_grace: config.node_grace,
        pull_secrets: config.pull_secrets.clone(),
        node_selector: config.node_selector.clone().into_iter().collect(),
        runner: checkout::runner(Path::new(PYTHON), &paths()),
    }
}

const fn resources(limits: Limits) -> Resources {
    let (cpu_millis, memory_bytes) = (Some(limits.cpu_millis), Some(limits.memory));
    Resources { cpu_millis, memory_bytes, disk_bytes: None, pids: None }
}
