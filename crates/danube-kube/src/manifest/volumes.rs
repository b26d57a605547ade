//! A pod's volumes. Each container has a private one for its socket and spool; the workspace is shared.

use danube_core::id::ContainerName;
use danube_core::runtime::{GroupSpec, Role};
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::PLACES;
use crate::settings::Settings;

/// Where the shim's own volume is mounted.
pub const SHIM_DIR: &str = "/danube/shim";
/// A container's private folder.
const PRIVATE_DIR: &str = "/danube";
/// What the shim is given room for: its binary, and no more.
const SHIM_BYTES: u64 = 16 << 20;
/// A container's spools (64 MiB for each step that runs) and scripts.
const PRIVATE_BYTES: u64 = 4 << 30;
/// `/tmp` of the coordinator, whose root is read-only.
const TMP_BYTES: u64 = 256 << 20;

/// All volumes of a pod.
pub fn of(spec: &GroupSpec, settings: &Settings) -> Vec<Volume> {
    let asked = spec.containers.iter().filter_map(|container| container.resources.disk_bytes).max();
    let mut volumes = vec![
        empty("shim", SHIM_BYTES),
        empty("workspace", asked.unwrap_or(settings.workspace_bytes)),
        empty("coordinator-tmp", TMP_BYTES),
    ];
    volumes.extend(spec.containers.iter().map(|container| empty(&private(&container.name), PRIVATE_BYTES)));
    volumes.extend((1..=PLACES).map(|place| empty(&place_name(place), PRIVATE_BYTES)));
    volumes
}

/// What a container mounts.
pub fn mounts(name: &ContainerName, role: Role) -> Vec<VolumeMount> {
    let mut mounts = with_private(&private(name));
    if role == Role::Coordinator {
        mounts.push(mount("coordinator-tmp", "/tmp"));
    }
    mounts
}

/// What a container mounts that is added to a pod.
pub fn mounts_of_place(place: usize) -> Vec<VolumeMount> {
    with_private(&place_name(place))
}

fn with_private(volume: &str) -> Vec<VolumeMount> {
    vec![
        mount(volume, PRIVATE_DIR),
        VolumeMount { read_only: Some(true), ..mount("shim", SHIM_DIR) },
        mount("workspace", "/workspace"),
    ]
}

/// What the installer of the shim mounts.
pub fn installer() -> Vec<VolumeMount> {
    vec![mount("shim", SHIM_DIR)]
}

fn private(name: &ContainerName) -> String {
    format!("private-{name}")
}

fn place_name(place: usize) -> String {
    format!("place-{place}")
}

fn empty(name: &str, bytes: u64) -> Volume {
    let source = EmptyDirVolumeSource { size_limit: Some(Quantity(bytes.to_string())), medium: None };
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Volume::default() }
}

fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}
