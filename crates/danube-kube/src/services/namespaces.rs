//! The two namespaces, with what Kubernetes itself refuses in them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::object::{labels, meta};
use super::{Object, Services};

/// The label by which a namespace holds its pods to a level of Pod Security.
pub const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// Of the namespace of jobs: a step may be root of its own image. The coordinator is held to more by Danube itself.
const JOBS: &str = "baseline";
/// Of what is Danube's own.
const SYSTEM: &str = "restricted";

pub fn objects(wanted: &Services) -> Vec<Object> {
    vec![namespace(&wanted.jobs, JOBS, wanted), namespace(&wanted.system, SYSTEM, wanted)]
}

fn namespace(name: &str, level: &str, wanted: &Services) -> Object {
    let mut told: BTreeMap<String, String> = labels(wanted);
    // Two instances may share a namespace, and neither is to take it from the other.
    told.remove(crate::names::INSTANCE);
    told.insert(ENFORCE.to_owned(), level.to_owned());
    let metadata = ObjectMeta { labels: Some(told), ..meta(name, None, wanted) };
    Object::of(&Namespace { metadata, ..Namespace::default() })
}
