//! A group as a pod. Pure, so that every field can be looked at in a test: what a job can do on a cluster is decided here.
//!
//! An init container fills a volume with the shim, which every other container mounts read-only and runs as its PID 1.
//! Containers that are known before the start are ordinary ones with their own limits, services are sidecars; for
//! containers that are added later eight private volumes stand ready, since a running pod can be given none.

use std::time::Duration;

use danube_core::runtime::{ContainerSpec, GroupSpec, Role, Workspace};
use k8s_openapi::api::core::v1::{
    Container, LocalObjectReference, Pod, PodDNSConfig, PodDNSConfigOption, PodSecurityContext, PodSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::error::KubeError;
use crate::names;
use crate::settings::Settings;

mod ahead;
mod container;
mod limits;
pub mod restricted;
mod security;
mod volumes;

pub(crate) use ahead::{ahead, taken};
use container::Start;
pub(crate) use container::{Told, has_digest, waiting};
pub(crate) use security::{nobody, seccomp};

/// Containers that can be added to a pod that runs.
pub const PLACES: usize = 8;
/// How long containers have between TERM and KILL: the shims end their steps and serve what is not yet acknowledged.
const GRACE_S: i64 = 45;
/// What a job may take beyond its own time until its pod is ended from outside: it was not Danube that ended it.
const AFTER: Duration = Duration::from_secs(600);
/// The group that owns `/workspace`; everybody in the pod is in it.
const WORKSPACE_GROUP: i64 = 1000;

/// What the API server is asked to run in a container: it copies between its own streams and the shim's socket.
pub const BRIDGE: [&str; 3] = [container::SHIM, "bridge", container::SOCKET];

/// The pod of a group.
///
/// # Errors
/// When an image has no digest, or the group has what no pod can have.
pub fn pod(spec: &GroupSpec, settings: &Settings) -> Result<Pod, KubeError> {
    check(spec)?;
    Ok(Pod {
        metadata: ObjectMeta {
            name: Some(names::pod(&spec.attempt)),
            namespace: Some(settings.namespace.clone()),
            labels: Some(names::labels(spec, settings)),
            annotations: Some(names::annotations(spec)),
            ..ObjectMeta::default()
        },
        spec: Some(pod_spec(spec, settings, &Start::Now(Told::of_group(spec)))?),
        status: None,
    })
}

/// A container that is added to the pod, in one of the places that were made for such.
///
/// # Errors
/// When its image has no digest.
pub(crate) fn added(
    container: &ContainerSpec,
    place: usize,
    told: &Told,
    settings: &Settings,
) -> Result<Container, KubeError> {
    let made = container::ordinary(container, &Start::Now(told.clone()), settings)?;
    Ok(Container { volume_mounts: Some(volumes::mounts_of_place(place)), ..made })
}

fn check(spec: &GroupSpec) -> Result<(), KubeError> {
    if matches!(spec.workspace, Workspace::Prepared { .. }) {
        return Err(KubeError::Prepared("a prepared workspace"));
    }
    if spec.source.is_some() {
        return Err(KubeError::Prepared("a prepared source"));
    }
    match spec.containers.iter().filter(|container| container.role == Role::Coordinator).count() {
        1 => Ok(()),
        other => Err(KubeError::Coordinators(other)),
    }
}

fn pod_spec(spec: &GroupSpec, settings: &Settings, start: &Start) -> Result<PodSpec, KubeError> {
    let made = |wanted: fn(Role) -> bool| {
        let chosen = spec.containers.iter().filter(move |container| wanted(container.role));
        chosen.map(|container| container::ordinary(container, start, settings)).collect::<Result<Vec<_>, _>>()
    };
    let mut first = vec![container::installs_the_shim(settings)];
    first.extend(made(|role| role == Role::Service)?.into_iter().map(container::as_sidecar));
    Ok(PodSpec {
        init_containers: Some(first),
        containers: made(|role| role != Role::Service)?,
        volumes: Some(volumes::of(spec, settings)),
        resources: settings.pod_resources.then(|| limits::of_pod(spec, settings)),
        active_deadline_seconds: i64::try_from(deadline(spec, settings).as_secs()).ok(),
        image_pull_secrets: pull_secrets(settings),
        node_selector: Some(settings.node_selector.iter().cloned().collect())
            .filter(|labels: &std::collections::BTreeMap<_, _>| !labels.is_empty()),
        ..alone(settings)
    })
}

/// The longest that the pod may live: a second line behind Danube's own deadlines, for when there is no Danube.
fn deadline(spec: &GroupSpec, settings: &Settings) -> Duration {
    settings.pull_grace.saturating_add(spec.time).saturating_add(AFTER)
}

/// What keeps a pod apart from the cluster and the node, whatever is in it.
fn alone(settings: &Settings) -> PodSpec {
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        // Tenants get no word with the API server, and no list of its services.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        host_users: settings.map_users.then_some(false),
        share_process_namespace: Some(false),
        termination_grace_period_seconds: Some(GRACE_S),
        // With search domains every outside name would first be asked for as an inside one, which the policy refuses.
        dns_config: Some(PodDNSConfig {
            options: Some(vec![PodDNSConfigOption { name: Some("ndots".to_owned()), value: Some("1".to_owned()) }]),
            ..PodDNSConfig::default()
        }),
        security_context: Some(PodSecurityContext {
            fs_group: Some(WORKSPACE_GROUP),
            seccomp_profile: Some(security::seccomp()),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

fn pull_secrets(settings: &Settings) -> Option<Vec<LocalObjectReference>> {
    let named = settings.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    Some(named.collect::<Vec<_>>()).filter(|secrets| !secrets.is_empty())
}

#[cfg(test)]
pub(crate) mod tests;
