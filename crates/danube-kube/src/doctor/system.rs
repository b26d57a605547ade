//! The API server and the nodes.

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::{Fact, Place, probe, words_of};

/// The oldest that has pod-level resources, native sidecars and user namespaces without a switch.
const OLDEST: u32 = 34;

pub async fn version(client: &Client) -> Fact {
    let name = "API server";
    match client.apiserver_version().await {
        Err(error) => Fact::bad(name, format!("does not answer: {}", words_of(&error))),
        Ok(version) => {
            let minor: u32 = version.minor.trim_end_matches('+').parse().unwrap_or_default();
            let words = format!("version {}", version.git_version.trim_start_matches('v'));
            if minor < OLDEST {
                return Fact::bad(name, format!("{words}; pods of jobs are tested with 1.{OLDEST} and later"));
            }
            Fact::good(name, words)
        }
    }
}

/// Whether every node's container runtime maps users.
pub async fn user_namespaces(client: &Client) -> Fact {
    let name = "user namespaces";
    let nodes = match Api::<Node>::all(client.clone()).list(&ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(error) => return Fact::bad(name, format!("unknown: {}", words_of(&error))),
    };
    let without: Vec<String> = nodes.iter().filter(|node| !maps_users(node)).map(ResourceExt::name_any).collect();
    if nodes.is_empty() {
        return Fact::bad(name, "the cluster has no node");
    }
    if without.is_empty() {
        return Fact::good(name, format!("{} of {} nodes map users (hostUsers: false)", nodes.len(), nodes.len()));
    }
    let words = "containerd 2.0 or CRI-O 1.25, runc 1.2 or crun 1.9, Linux 6.3";
    Fact::bad(name, format!("these nodes do not map users: {}; they need {words}", without.join(", ")))
}

fn maps_users(node: &Node) -> bool {
    let handlers = node.status.as_ref().and_then(|status| status.runtime_handlers.clone()).unwrap_or_default();
    // The one without a name is the usual one.
    let usual = handlers.iter().find(|handler| handler.name.as_deref().unwrap_or_default().is_empty());
    usual.and_then(|handler| handler.features.as_ref()?.user_namespaces).unwrap_or_default()
}

/// Asked by a pod that is never made: an API server that does not know the field drops it.
pub async fn pod_resources(client: &Client, place: &Place) -> Fact {
    let name = "pod resources";
    let asked = Pod {
        metadata: ObjectMeta { name: Some(probe::fresh("resources")), ..ObjectMeta::default() },
        spec: Some(PodSpec {
            containers: vec![Container {
                security_context: Some(probe::confined()),
                ..probe::container("none", "none.invalid/none")
            }],
            resources: Some(ResourceRequirements {
                limits: Some([("memory".to_owned(), Quantity("64Mi".to_owned()))].into()),
                ..ResourceRequirements::default()
            }),
            ..probe::spec()
        }),
        status: None,
    };
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &place.namespace);
    match pods.create(&params, &asked).await {
        Ok(pod) if pod.spec.as_ref().is_some_and(|spec| spec.resources.is_some()) => {
            Fact::good(name, "a whole pod can have limits, which containers that are added later share")
        }
        Ok(_) => Fact::bad(name, "the feature PodLevelResources is off: name every image in @pipeline(images=[…])"),
        Err(error) => Fact::bad(name, format!("unknown: {}", words_of(&error))),
    }
}
