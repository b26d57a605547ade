//! A pod by which a cluster is tried: confined like the coordinator, gone when it has told what it found.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec, SecurityContext};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use sha2::{Digest, Sha256};

use super::words_of;
use crate::manifest;

/// A name that no other pod has.
pub fn fresh(what: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let digest = Sha256::digest(format!("{what}{}{now:?}", std::process::id()));
    format!("danube-doctor-{what}-{}", hex::encode(&digest[..4]))
}

pub fn confined() -> SecurityContext {
    manifest::nobody()
}

pub fn container(name: &str, image: &str) -> Container {
    Container { name: name.to_owned(), image: Some(image.to_owned()), ..Container::default() }
}

/// What keeps it apart; it ends by itself when nobody removes it.
pub fn spec() -> PodSpec {
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        host_users: Some(false),
        termination_grace_period_seconds: Some(0),
        active_deadline_seconds: Some(300),
        security_context: Some(PodSecurityContext {
            seccomp_profile: Some(manifest::seccomp()),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// Makes the pod.
pub async fn make(pods: &Api<Pod>, pod: &Pod) -> Result<Pod, String> {
    pods.create(&PostParams::default(), pod).await.map_err(|error| words_of(&error))
}

/// The pod as soon as it is as wished, or as it is when time is up.
pub async fn until(pods: &Api<Pod>, made: &Pod, patience: Duration, wished: fn(&Pod) -> bool) -> Result<Pod, String> {
    let name = made.name_any();
    let condition = move |pod: Option<&Pod>| pod.is_none_or(wished);
    match tokio::time::timeout(patience, await_condition(pods.clone(), &name, condition)).await {
        Ok(Ok(Some(pod))) => Ok(pod),
        Ok(Ok(None)) => Err("somebody removed the pod".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => pods.get(&name).await.map_err(|error| words_of(&error)),
    }
}

/// Removes it, and nothing else of that name.
pub async fn remove(pods: &Api<Pod>, made: &Pod) {
    let only_it = Preconditions { uid: made.uid(), resource_version: None };
    let how = DeleteParams { preconditions: Some(only_it), ..DeleteParams::default() };
    if let Err(error) = pods.delete(&made.name_any(), &how).await {
        tracing::warn!(pod = made.name_any(), %error, "a pod of the doctor's could not be removed; it ends within 5 minutes");
    }
}
