//! What a container, and a pod, may use.

use std::collections::BTreeMap;

use danube_core::runtime::{ContainerSpec, GroupSpec, Resources, Role};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::settings::Settings;

/// What the installer of the shim needs. With less of a processor the container runtime takes longer to start it.
const INSTALLER: Resources =
    Resources { cpu_millis: Some(250), memory_bytes: Some(32 << 20), disk_bytes: None, pids: None };

/// A container's limits. It is promised as much as it may use, so that no neighbour takes it away.
pub fn of(container: &ContainerSpec, settings: &Settings) -> ResourceRequirements {
    requirements(effective(container, settings))
}

/// Those of the installer of the shim.
pub fn of_installer() -> ResourceRequirements {
    requirements(INSTALLER)
}

/// What all containers of a pod may use together: their own limits, and one worker's for those that are added later. Never less
/// than the installer of the shim, which runs before them: an API server refuses such a pod.
pub fn of_pod(spec: &GroupSpec, settings: &Settings) -> ResourceRequirements {
    let each = spec.containers.iter().map(|container| effective(container, settings));
    let sum = each.chain([settings.worker]).fold(Resources::default(), |sum, one| Resources {
        cpu_millis: added(sum.cpu_millis, one.cpu_millis),
        memory_bytes: added(sum.memory_bytes, one.memory_bytes),
        ..sum
    });
    requirements(Resources {
        cpu_millis: sum.cpu_millis.map(|cpu| cpu.max(INSTALLER.cpu_millis.unwrap_or_default())),
        memory_bytes: sum.memory_bytes.map(|memory| memory.max(INSTALLER.memory_bytes.unwrap_or_default())),
        ..sum
    })
}

fn effective(container: &ContainerSpec, settings: &Settings) -> Resources {
    let base = if container.role == Role::Coordinator { settings.coordinator } else { settings.worker };
    Resources {
        cpu_millis: container.resources.cpu_millis.or(base.cpu_millis),
        memory_bytes: container.resources.memory_bytes.or(base.memory_bytes),
        ..base
    }
}

fn added(sum: Option<u64>, one: Option<u64>) -> Option<u64> {
    match (sum, one) {
        (None, None) => None,
        (sum, one) => Some(sum.unwrap_or_default().saturating_add(one.unwrap_or_default())),
    }
}

fn requirements(resources: Resources) -> ResourceRequirements {
    let cpu = resources.cpu_millis.map(|millis| ("cpu".to_owned(), Quantity(format!("{millis}m"))));
    let memory = resources.memory_bytes.map(|bytes| ("memory".to_owned(), Quantity(bytes.to_string())));
    let limits: BTreeMap<String, Quantity> = cpu.into_iter().chain(memory).collect();
    let limits = Some(limits).filter(|limits| !limits.is_empty());
    ResourceRequirements { requests: limits.clone(), limits, claims: None }
}
