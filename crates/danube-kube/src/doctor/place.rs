//! The namespace of jobs: what Kubernetes refuses in it, and which policies close its network.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::DynamicObject;
use kube::{Api, Client, ResourceExt};

use super::{Fact, Place, words_of};
use crate::policy::{self, CiliumNetworkPolicy, lint};
use crate::services::ENFORCE;

pub async fn all(client: &Client, place: &Place) -> Vec<Fact> {
    vec![pod_security(client, place).await, names(client, place).await, closed(client, place).await]
}

async fn pod_security(client: &Client, place: &Place) -> Fact {
    let name = "namespace";
    let found = Api::<Namespace>::all(client.clone()).get_opt(&place.namespace).await;
    match found {
        Ok(None) => Fact::bad(name, format!("{} is not there: `danube cluster apply` makes it", place.namespace)),
        Ok(Some(found)) => match found.labels().get(ENFORCE).map(String::as_str) {
            Some(level @ ("baseline" | "restricted")) => {
                Fact::good(name, format!("{} holds pods to Pod Security {level}", place.namespace))
            }
            level => {
                let level = level.map_or_else(|| "does not have it".to_owned(), |level| format!("says `{level}`"));
                let words =
                    format!("{} {level}; label it: kubectl label namespace {0} {ENFORCE}=baseline", place.namespace);
                Fact::bad(name, format!("the label {ENFORCE} must be `baseline`: {words}"))
            }
        },
        Err(error) => Fact::bad(name, format!("unknown: {}", words_of(&error))),
    }
}

/// Cilium's kind is what knows names.
async fn names(client: &Client, place: &Place) -> Fact {
    let name = "policies by name";
    let policies: Api<DynamicObject> = Api::namespaced_with(client.clone(), &place.namespace, &policy::resource());
    match policies.get_opt("default-deny").await {
        Err(kube::Error::Api(status)) if status.code == 404 => missing(name),
        Err(error) => Fact::bad(name, format!("unknown: {}", words_of(&error))),
        Ok(None) if !is_known(client).await => missing(name),
        Ok(None) => {
            Fact::bad(name, "the cluster knows Cilium's policies; default-deny is not there: `danube cluster apply`")
        }
        Ok(Some(found)) => judged(name, &found),
    }
}

fn missing(name: &'static str) -> Fact {
    Fact::bad(
        name,
        "the cluster knows no Cilium network policies: jobs are refused unless egress.enforcement is off, and then nothing \
         holds them to their names",
    )
}

/// An absent object and an absent kind are both 404, and the one is read as the other.
async fn is_known(client: &Client) -> bool {
    let found = client.list_api_group_resources("cilium.io/v2").await;
    found.is_ok_and(|list| list.resources.iter().any(|resource| resource.name == "ciliumnetworkpolicies"))
}

/// Whether what stands there still closes everything.
fn judged(name: &'static str, found: &DynamicObject) -> Fact {
    let spec = serde_json::json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": found.name_any(), "namespace": found.namespace().unwrap_or_default()},
        "spec": found.data["spec"],
    });
    match serde_json::from_value::<CiliumNetworkPolicy>(spec) {
        Ok(policy) if lint(&policy).is_empty() && policy.spec.egress.iter().all(is_empty) && selects_all(&policy) => {
            Fact::good(
                name,
                "Cilium's kind is known, and default-deny selects every pod; `danube doctor egress` tries it",
            )
        }
        _ => Fact::bad(name, "default-deny was changed and does not close everything: `danube cluster apply --force`"),
    }
}

fn is_empty(rule: &crate::policy::Egress) -> bool {
    *rule == crate::policy::Egress::default()
}

fn selects_all(policy: &CiliumNetworkPolicy) -> bool {
    policy.spec.endpoint_selector.match_labels.is_empty()
}

/// Kubernetes' own kind, which closes the network where there is no Cilium.
async fn closed(client: &Client, place: &Place) -> Fact {
    let name = "default deny";
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), &place.namespace);
    match policies.get_opt("default-deny").await {
        Ok(Some(found)) if closes_all(&found) => {
            Fact::good(name, "a NetworkPolicy selects every pod and allows nothing")
        }
        Ok(Some(_)) => {
            Fact::bad(name, "the NetworkPolicy default-deny allows something: `danube cluster apply --force`")
        }
        Ok(None) => Fact::bad(name, "the NetworkPolicy default-deny is not there: `danube cluster apply` makes it"),
        Err(error) => Fact::bad(name, format!("unknown: {}", words_of(&error))),
    }
}

fn closes_all(found: &NetworkPolicy) -> bool {
    let Some(spec) = &found.spec else { return false };
    let selector = spec.pod_selector.clone().unwrap_or_default();
    let every = selector.match_labels.unwrap_or_default().is_empty()
        && selector.match_expressions.unwrap_or_default().is_empty();
    let none = spec.ingress.iter().flatten().count() + spec.egress.iter().flatten().count() == 0;
    let kinds = spec.policy_types.clone().unwrap_or_default();
    every && none && ["Ingress", "Egress"].iter().all(|kind| kinds.iter().any(|said| said == kind))
}
