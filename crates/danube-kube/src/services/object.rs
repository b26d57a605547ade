//! An object of the cluster, whatever its kind.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use serde::Serialize;
use serde_json::Value;

use super::Services;
use crate::names;

/// An object as it is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Where objects of its kind are.
    pub resource: ApiResource,
    /// All that is said about it.
    pub body: Value,
}

impl Object {
    /// One of a kind that Kubernetes has.
    pub fn of<K: kube::Resource<DynamicType = ()> + Serialize>(object: &K) -> Self {
        let body = serde_json::to_value(object).expect("an object of the API is JSON");
        Self { resource: ApiResource::erase::<K>(&()), body }
    }

    /// A policy of Cilium.
    pub fn cilium(body: Value) -> Self {
        Self { resource: crate::policy::resource(), body }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.body["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace, if it is in one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.body["metadata"]["namespace"].as_str()
    }

    /// As it is kept in Git.
    #[must_use]
    pub fn yaml(&self) -> String {
        serde_saphyr::to_string(&self.body).expect("an object of the API is YAML")
    }

    /// What it is called in messages: `Role danube-jobs/danube-master`.
    #[must_use]
    pub fn title(&self) -> String {
        let place = self.namespace().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!("{} {place}{}", self.resource.kind, self.name())
    }
}

/// Name, place and the labels that all of them have.
pub fn meta(name: &str, namespace: Option<&str>, wanted: &Services) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        labels: Some(labels(wanted)),
        ..ObjectMeta::default()
    }
}

/// By which they are found again.
pub fn labels(wanted: &Services) -> BTreeMap<String, String> {
    let managed = ("app.kubernetes.io/managed-by".to_owned(), super::MANAGER.to_owned());
    [managed, (names::INSTANCE.to_owned(), names::label(&wanted.instance))].into()
}
