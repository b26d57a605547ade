//! A pod that is made ahead of its job: as the job's own would be, but nobody's. Its shims wait to be told for which job
//! they are, and nothing of a job is in it.

use std::collections::BTreeMap;

use danube_core::runtime::{Assigned, GroupSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Start, check, deadline, pod_spec};
use crate::error::KubeError;
use crate::names;
use crate::settings::Settings;

/// A pod that a group like this one could become. Equal groups of a pipeline have one shape, which its label tells: images by
/// digest, limits, names that may be reached, and all that an operator has set.
///
/// # Errors
/// As for the group's own pod.
pub fn ahead(spec: &GroupSpec, settings: &Settings) -> Result<Pod, KubeError> {
    check(spec)?;
    let mut labels = names::labels(spec, settings);
    labels.retain(|name, _| ![names::JOB, names::ATTEMPT].contains(&name.as_str()));
    let mut made = Pod {
        metadata: ObjectMeta {
            namespace: Some(settings.namespace.clone()),
            labels: Some(labels),
            annotations: Some(names::annotations(spec)),
            ..ObjectMeta::default()
        },
        spec: Some(pod_spec(spec, settings, &Start::Later(settings.runner.clone()))?),
        status: None,
    };
    // It counts from when the job takes it.
    made.spec.get_or_insert_default().active_deadline_seconds = None;
    let shape = serde_json::to_vec(&made).map(|bytes| hex::encode(&Sha256::digest(bytes)[..16])).unwrap_or_default();
    made.labels_mut().insert(names::WARM.to_owned(), shape);
    Ok(made)
}

/// What makes such a pod this group's: a merge patch that holds for the pod as it was seen, or for none.
#[must_use]
pub fn taken(pod: &Pod, spec: &GroupSpec, settings: &Settings, now: Timestamp) -> Value {
    let labels: BTreeMap<String, Option<String>> = names::labels(spec, settings)
        .into_iter()
        .map(|(name, value)| (name, Some(value)))
        .chain([(names::WARM.to_owned(), None)])
        .collect();
    let told = Assigned { nonce: spec.nonce.clone(), orphan_grace_s: spec.orphan_grace.as_secs() };
    let began = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let waited = began.map_or(0, |began| (now.as_second() - began.0.as_second()).max(0));
    let allowed = i64::try_from(deadline(spec, settings).as_secs()).unwrap_or(i64::MAX);
    json!({
        "metadata": {
            "uid": pod.uid(),
            "resourceVersion": pod.resource_version(),
            "labels": labels,
            "annotations": { names::ASSIGNED: serde_json::to_string(&told).unwrap_or_default() },
        },
        "spec": { "activeDeadlineSeconds": allowed.saturating_add(waited) },
    })
}
