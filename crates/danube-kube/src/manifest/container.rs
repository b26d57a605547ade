//! The containers of a pod.

use std::time::Duration;

use danube_core::id::ContainerName;
use danube_core::runtime::{Assigned, ContainerSpec, GroupSpec, ImageSource, Role, shim_env};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt;

use super::{limits, security, volumes};
use crate::error::KubeError;
use crate::names;
use crate::settings::Settings;

/// The shim where every container but the installer finds it.
pub const SHIM: &str = "/danube/shim/danube-shim";
/// Where a shim listens: in the container's private volume. Whoever comes from within the container is hung up on.
pub const SOCKET: &str = "/danube/private/shim.sock";
/// Where the coordinator's shim takes the SDK's calls, and its large scripts.
const MAILBOX: &str = "/danube/mailbox.sock";
const OUTBOX: &str = "/danube/outbox";
/// How variables begin that say where the API server is. The kubelet adds them whatever is asked for, and programs take them
/// for a sign that they are at home in the cluster.
const ADDED: &str = "KUBERNETES_PORT,KUBERNETES_SERVICE_";
/// So long do the shims of a pod that is made ahead wait to be told for which job they are. Then they end, should there be
/// no Danube to remove the pod.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// What a shim is started with.
pub enum Start {
    /// For which group it is.
    Now(Told),
    /// That it will be told; and what the coordinator's starts ahead.
    Later(Vec<String>),
}

/// What all shims of a group are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The group's nonce.
    pub nonce: String,
    /// Seconds without a master.
    pub orphan_grace: String,
}

impl Told {
    /// By whoever makes the group.
    pub fn of_group(group: &GroupSpec) -> Self {
        Self { nonce: group.nonce.clone(), orphan_grace: group.orphan_grace.as_secs().to_string() }
    }

    /// As it stands in the pod that was made, or in one that was taken.
    pub fn of_pod(pod: &Pod) -> Option<Self> {
        if let Some(assigned) = pod.annotations().get(names::ASSIGNED) {
            let Assigned { nonce, orphan_grace_s } = serde_json::from_str(assigned).ok()?;
            return Some(Self { nonce, orphan_grace: orphan_grace_s.to_string() });
        }
        let env = pod.spec.as_ref()?.containers.first()?.env.as_ref()?;
        let value = |name: &str| env.iter().find(|pair| pair.name == name)?.value.clone();
        Some(Self { nonce: value(shim_env::NONCE)?, orphan_grace: value(shim_env::ORPHAN_GRACE)? })
    }
}

/// The containers whose shims wait to be told, or did.
pub fn waiting(pod: &Pod) -> impl Iterator<Item = ContainerName> {
    let spec = pod.spec.iter();
    let all = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let late = |container: &&Container| container.env.iter().flatten().any(|pair| pair.name == shim_env::LATE);
    all.filter(late).filter_map(|container| container.name.parse().ok())
}

/// Fills the shim's volume.
pub fn installs_the_shim(settings: &Settings) -> Container {
    Container {
        name: "shim".to_owned(),
        image: Some(settings.shim_image.clone()),
        command: Some(vec!["/danube-shim".to_owned(), "install".to_owned(), volumes::SHIM_DIR.to_owned()]),
        volume_mounts: Some(volumes::installer()),
        resources: Some(limits::of_installer()),
        security_context: Some(security::nobody()),
        ..Container::default()
    }
}

/// A container that is known before the start.
pub fn ordinary(container: &ContainerSpec, start: &Start, settings: &Settings) -> Result<Container, KubeError> {
    Ok(Container {
        name: container.name.as_str().to_owned(),
        image: Some(image(container, settings)?),
        command: Some(vec![SHIM.to_owned()]),
        env: Some(env(container, start)),
        working_dir: Some("/".to_owned()),
        volume_mounts: Some(volumes::mounts(&container.name, container.role)),
        resources: Some(limits::of(container, settings)),
        security_context: Some(security::of(container.role)),
        ..Container::default()
    })
}

/// A container that runs beside the others from before their start to after their end.
pub fn as_sidecar(container: Container) -> Container {
    Container { restart_policy: Some("Always".to_owned()), ..container }
}

fn image(container: &ContainerSpec, settings: &Settings) -> Result<String, KubeError> {
    match &container.image {
        ImageSource::Host if container.role == Role::Coordinator => Ok(settings.coordinator_image.clone()),
        ImageSource::Reference(name) if has_digest(name) => Ok(name.clone()),
        other => Err(KubeError::Image { container: container.name.to_string(), image: other.to_string() }),
    }
}

/// Whether an image is named by its digest.
pub fn has_digest(name: &str) -> bool {
    let digest = name.rsplit_once("@sha256:").map(|(_, digest)| digest);
    digest.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// What a service's image runs by itself: its shim can read it nowhere else, having taken its place.
fn program(container: &ContainerSpec) -> Option<String> {
    let program = container.program.as_ref().filter(|_| container.role == Role::Service)?;
    serde_json::to_string(program).ok()
}

/// What the shim is told. Nothing of it is secret: whoever may read pods reads it.
fn env(container: &ContainerSpec, start: &Start) -> Vec<EnvVar> {
    let mut pairs = vec![(shim_env::ROLE, container.role.as_str().to_owned())];
    pairs.extend(told(container.role, start));
    pairs.push((shim_env::LISTEN, SOCKET.to_owned()));
    pairs.push((shim_env::WITHOUT, ADDED.to_owned()));
    if container.role == Role::Coordinator {
        pairs.push((shim_env::MAILBOX, MAILBOX.to_owned()));
        pairs.push((shim_env::OUTBOX, OUTBOX.to_owned()));
    }
    pairs.extend(program(container).map(|program| (shim_env::PROGRAM, program)));
    pairs
        .into_iter()
        .map(|(name, value)| EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() })
        .collect()
}

fn told(role: Role, start: &Start) -> Vec<(&'static str, String)> {
    match start {
        Start::Now(told) => {
            vec![(shim_env::NONCE, told.nonce.clone()), (shim_env::ORPHAN_GRACE, told.orphan_grace.clone())]
        }
        Start::Later(ready) => {
            let ready = serde_json::to_string(ready).ok().filter(|_| role == Role::Coordinator);
            let late = (shim_env::LATE, PATIENCE.as_secs().to_string());
            [late].into_iter().chain(ready.map(|ready| (shim_env::READY, ready))).collect()
        }
    }
}
