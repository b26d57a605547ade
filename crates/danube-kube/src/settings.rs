//! What an operator decides for all pods of an instance.

use std::time::Duration;

use danube_core::runtime::Resources;

/// How pods are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where job pods live, and nothing else.
    pub namespace: String,
    /// Names this Danube among those that share the namespace; a label's value.
    pub instance: String,
    /// The image that holds the shim alone, by digest.
    pub shim_image: String,
    /// The image of the coordinator: Python and the SDK, by digest.
    pub coordinator_image: String,
    /// The coordinator's limits.
    pub coordinator: Resources,
    /// A worker's limits where the job names none.
    pub worker: Resources,
    /// Bytes of `/workspace` where the job names none.
    pub workspace_bytes: u64,
    /// Whether ids are required to be mapped to unprivileged ones (`hostUsers: false`).
    pub map_users: bool,
    /// Whether the cluster knows resources of a whole pod, which containers that are added later share.
    pub pod_resources: bool,
    /// Whether policies must hold pods to their names.
    pub enforcement: Enforcement,
    /// How long an image may be refused before its job fails.
    pub pull_grace: Duration,
    /// How long a pod may find no node, or no container be made of it, before its job fails.
    pub node_grace: Duration,
    /// Secrets of the namespace with which images are pulled.
    pub pull_secrets: Vec<String>,
    /// Labels that a node must have.
    pub node_selector: Vec<(String, String)>,
    /// What a coordinator runs, and a pod that is made ahead starts ahead.
    pub runner: Vec<String>,
}

/// Whether policies hold pods to their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// No pod is made unless its policy could be applied.
    Required,
    /// Danube applies none: something else closes the network of jobs, or nothing does.
    Off,
}
