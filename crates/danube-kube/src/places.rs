//! Containers that are added to a pod that runs: ephemeral ones, in the places that were made for them with the pod.

use danube_core::runtime::ContainerSpec;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};
use kube::ResourceExt;

use crate::error::KubeError;
use crate::manifest::{self, Told};
use crate::settings::Settings;

/// The pod with one more container, or as it is when it has one of this name: asked again, it is the same container.
///
/// # Errors
/// When all places are taken, or the image has no digest.
pub fn with(pod: &Pod, added: &ContainerSpec, settings: &Settings) -> Result<Option<Pod>, KubeError> {
    let told = Told::of_pod(pod).ok_or_else(|| KubeError::Foreign(pod.name_any()))?;
    let mut pod = pod.clone();
    let spec = pod.spec.get_or_insert_default();
    let there = spec.ephemeral_containers.get_or_insert_default();
    if there.iter().any(|container| container.name == added.name.as_str()) {
        return Ok(None);
    }
    let place = there.len() + 1;
    if place > manifest::PLACES {
        return Err(KubeError::Places { container: added.name.to_string(), image: added.image.to_string() });
    }
    there.push(ephemeral(manifest::added(added, place, &told, settings)?));
    Ok(Some(pod))
}

/// It can have no limits of its own: it lives within the pod's.
fn ephemeral(container: Container) -> EphemeralContainer {
    EphemeralContainer {
        name: container.name,
        image: container.image,
        command: container.command,
        env: container.env,
        working_dir: container.working_dir,
        volume_mounts: container.volume_mounts,
        security_context: container.security_context,
        ..EphemeralContainer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::{container, group, image, settings};
    use danube_core::id::ContainerName;
    use danube_core::runtime::Role;

    fn added(n: usize) -> ContainerSpec {
        container(ContainerName::worker(n), Role::Worker, &image())
    }

    #[test]
    fn each_container_takes_a_place_of_its_own_and_the_ninth_has_none() {
        let mut pod = manifest::pod(&group(), &settings()).expect("a pod");
        for n in 10..18 {
            pod = with(&pod, &added(n), &settings()).expect("a place").expect("a change");
            assert_eq!(with(&pod, &added(n), &settings()), Ok(None), "asked again");
        }
        let containers = pod.spec.clone().and_then(|spec| spec.ephemeral_containers).expect("there");
        let places: std::collections::BTreeSet<_> = containers
            .iter()
            .filter_map(|container| {
                container.volume_mounts.iter().flatten().find(|mount| mount.mount_path == "/danube")
            })
            .map(|mount| mount.name.clone())
            .collect();
        assert_eq!(places.len(), manifest::PLACES);
        assert!(containers.iter().all(|container| container.resources.is_none()));
        let error = with(&pod, &added(18), &settings()).expect_err("a ninth").to_string();
        assert!(error.contains("images=["), "{error}");
    }
}
