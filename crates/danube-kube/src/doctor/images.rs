//! Whether the images that every job needs can be pulled, and start: tried by a pod of them.

use std::time::Duration;

use danube_core::runtime::GroupFailure;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};

use super::{Fact, Place, probe};
use crate::standing;

/// How long a pull may take.
const PATIENCE: Duration = Duration::from_secs(120);

const SHIM: &str = "shim image";
const COORDINATOR: &str = "coordinator image";

pub async fn all(client: &Client, place: &Place) -> Vec<Fact> {
    let wanted = [
        (SHIM, &place.shim_image, vec!["/danube-shim", "--version"]),
        (
            COORDINATOR,
            &place.coordinator_image,
            vec!["python3", "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"],
        ),
    ];
    let mut facts = Vec::new();
    for (name, image, command) in wanted {
        if let Some(image) = image {
            facts.push(tried(client, place, (name, image, &command)).await);
        }
    }
    facts
}

async fn tried(client: &Client, place: &Place, (name, image, command): (&'static str, &str, &[&str])) -> Fact {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &place.namespace);
    let made = match probe::make(&pods, &pod(image, command)).await {
        Ok(made) => made,
        Err(words) => return Fact::bad(name, format!("a pod of it is refused: {words}")),
    };
    let seen = probe::until(&pods, &made, PATIENCE, |pod| ended(pod).is_some() || is_refused(pod)).await;
    probe::remove(&pods, &made).await;
    match seen {
        Ok(pod) => judged(name, image, &pod),
        Err(words) => Fact::bad(name, format!("unknown: {words}")),
    }
}

fn pod(image: &str, command: &[&str]) -> Pod {
    let only = Container {
        command: Some(command.iter().map(|&word| word.to_owned()).collect()),
        security_context: Some(probe::confined()),
        ..probe::container("only", image)
    };
    Pod {
        metadata: ObjectMeta { name: Some(probe::fresh("image")), ..ObjectMeta::default() },
        spec: Some(PodSpec { containers: vec![only], ..probe::spec() }),
        status: None,
    }
}

fn ended(pod: &Pod) -> Option<i32> {
    let said: &ContainerStatus = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(said.state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// The registry's words are the answer, though the cluster would ask it again.
fn is_refused(pod: &Pod) -> bool {
    standing::read(pod).trouble.is_some_and(|trouble| trouble.kind == GroupFailure::Image)
}

fn judged(name: &'static str, image: &str, pod: &Pod) -> Fact {
    match ended(pod) {
        Some(0) => Fact::good(name, format!("{image} was pulled and runs")),
        Some(code) => Fact::bad(name, format!("{image} was pulled and ends with exit code {code}")),
        None => {
            let trouble = standing::read(pod).trouble.map(|trouble| trouble.message);
            let words = trouble.unwrap_or_else(|| format!("{image} did not run within {} s", PATIENCE.as_secs()));
            Fact::bad(name, words)
        }
    }
}
