//! Brings objects into a cluster by server-side apply. The API server knows who wrote which field: what somebody else has
//! changed since is a conflict, said in words, and taken back only when that is asked for.

use std::fmt;

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;

use super::{MANAGER, Object};

/// How it is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Only ask the API server what would come of it.
    pub dry_run: bool,
    /// Take back what somebody else has changed.
    pub force: bool,
}

/// What came of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It was otherwise.
    Changed,
    /// It was as it should be.
    Unchanged,
    /// Somebody else holds fields of it: the API server's words.
    Conflict(String),
    /// It could not be applied: why.
    Refused(String),
}

impl Outcome {
    /// Whether the cluster is now as it should be (or would be).
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Created | Self::Changed | Self::Unchanged)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => write!(f, "created"),
            Self::Changed => write!(f, "changed"),
            Self::Unchanged => write!(f, "unchanged"),
            Self::Conflict(words) => write!(f, "somebody else has changed it: {words}; --force takes it back"),
            Self::Refused(words) => write!(f, "{words}"),
        }
    }
}

/// Applies one object.
pub async fn apply(client: &Client, object: &Object, how: How) -> Outcome {
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &object.resource),
        None => Api::all_with(client.clone(), &object.resource),
    };
    let before = match api.get_opt(object.name()).await {
        Ok(before) => before,
        Err(error) => return said(object, &error, how),
    };
    let params =
        PatchParams { dry_run: how.dry_run, force: how.force, ..PatchParams::apply(MANAGER).validation_strict() };
    match (api.patch(object.name(), &params, &Patch::Apply(&object.body)).await, before) {
        (Ok(_), None) => Outcome::Created,
        (Ok(after), Some(before)) if substance(&after) == substance(&before) => Outcome::Unchanged,
        (Ok(_), Some(_)) => Outcome::Changed,
        (Err(error), _) => said(object, &error, how),
    }
}

/// All that is not the API server's own bookkeeping.
fn substance(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).expect("an object of the API is JSON");
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.retain(|name, _| !["managedFields", "resourceVersion", "generation"].contains(&name.as_str()));
    }
    if let Some(whole) = value.as_object_mut() {
        whole.remove("status");
    }
    value
}

fn said(object: &Object, error: &kube::Error, how: How) -> Outcome {
    let kube::Error::Api(status) = error else {
        return Outcome::Refused(format!("the API server cannot be asked: {error}"));
    };
    let words = status.message.split_whitespace().collect::<Vec<_>>().join(" ");
    match status.code {
        409 if words.contains("conflict") => Outcome::Conflict(words),
        // Its namespace comes with the same apply, and was only pretended.
        404 if how.dry_run && words.contains("namespaces") => Outcome::Created,
        404 if object.resource.group == "cilium.io" => Outcome::Refused(
            "the cluster has no Cilium network policies: install Cilium, or say --without-cilium".to_owned(),
        ),
        403 => Outcome::Refused(format!("this account may not do it: {words}")),
        _ => Outcome::Refused(words),
    }
}
