//! The policies that stand before any pod does. Kubernetes' own kind is always there: where a cluster enforces it, and knows
//! nothing of names, jobs reach nothing at all.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::object::{labels, meta};
use super::{Object, Services};
use crate::policy;

/// The policy that selects every pod of a namespace and allows nothing.
pub const DEFAULT_DENY: &str = "default-deny";

pub fn objects(wanted: &Services) -> Vec<Object> {
    let mut made: Vec<Object> = [&wanted.jobs, &wanted.system].map(|namespace| closed(namespace, wanted)).into();
    if wanted.cilium {
        made.extend([&wanted.jobs, &wanted.system].map(|namespace| closed_to_cilium(namespace, wanted)));
    }
    made
}

fn closed(namespace: &str, wanted: &Services) -> Object {
    policy(DEFAULT_DENY, namespace, LabelSelector::default(), Doors::default(), wanted)
}

fn closed_to_cilium(namespace: &str, wanted: &Services) -> Object {
    let made = policy::default_deny_in(namespace, &wanted.instance);
    Object::cilium(serde_json::to_value(made).expect("a policy is JSON"))
}

/// What is open at a service; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// Its port, and the namespace from which it may be reached: all, if none is named.
    pub incoming: Option<(u16, Option<String>)>,
    /// Ports that it may reach, anywhere.
    pub outgoing: Vec<(u16, &'static str)>,
}

/// A service's own policies, of both kinds where there are two.
pub fn of_service(app: &str, doors: &Doors, wanted: &Services) -> Vec<Object> {
    let selector =
        LabelSelector { match_labels: Some([("app".to_owned(), app.to_owned())].into()), ..LabelSelector::default() };
    let mut made = vec![policy(app, &wanted.system, selector, doors.clone(), wanted)];
    if wanted.cilium {
        made.push(cilium(app, doors, wanted));
    }
    made
}

fn policy(name: &str, namespace: &str, pod_selector: LabelSelector, doors: Doors, wanted: &Services) -> Object {
    let port = |number: u16, protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some(protocol.to_owned()),
        ..NetworkPolicyPort::default()
    };
    let incoming = doors.incoming.map(|(number, from)| NetworkPolicyIngressRule {
        from: from.map(|namespace| vec![of_namespace(namespace)]),
        ports: Some(vec![port(number, "TCP")]),
    });
    let ports: Vec<_> = doors.outgoing.iter().map(|(number, protocol)| port(*number, protocol)).collect();
    let outgoing = (!ports.is_empty()).then_some(NetworkPolicyEgressRule { ports: Some(ports), to: None });
    Object::of(&NetworkPolicy {
        metadata: meta(name, Some(namespace), wanted),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pod_selector),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(incoming.into_iter().collect()),
            egress: Some(outgoing.into_iter().collect()),
        }),
    })
}

/// Kubernetes itself writes the name of a namespace on it.
fn of_namespace(name: String) -> NetworkPolicyPeer {
    let labels = [("kubernetes.io/metadata.name".to_owned(), name)].into();
    let selector = LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
    NetworkPolicyPeer { namespace_selector: Some(selector), ..NetworkPolicyPeer::default() }
}

fn cilium(app: &str, doors: &Doors, wanted: &Services) -> Object {
    // An empty rule allows nobody, where no rule at all would allow everybody.
    let ingress = doors.incoming.as_ref().map_or_else(|| json!({}), |(port, from)| incoming(*port, from.as_deref()));
    let outgoing: Vec<Value> =
        doors.outgoing.iter().map(|(port, protocol)| json!({"port": port.to_string(), "protocol": protocol})).collect();
    let egress =
        if outgoing.is_empty() { json!({}) } else { json!({"toEntities": ["all"], "toPorts": [{"ports": outgoing}]}) };
    Object::cilium(json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": app, "namespace": wanted.system, "labels": labels(wanted)},
        "spec": {
            "description": format!("Who reaches {app}, and whom it reaches"),
            "endpointSelector": {"matchLabels": {"app": app}},
            "enableDefaultDeny": {"ingress": true, "egress": true},
            "ingress": ingress_list(ingress),
            "egress": [egress],
        },
    }))
}

/// One peer to a rule: Cilium does not combine kinds of peers.
fn incoming(port: u16, from: Option<&str>) -> Value {
    let ports = json!([{"ports": [{"port": port.to_string(), "protocol": "TCP"}]}]);
    match from {
        // The node pulls images, and the kubelet asks whether it lives.
        Some(namespace) => json!([
            {"fromEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": namespace}}], "toPorts": ports},
            {"fromEntities": ["host", "remote-node"], "toPorts": ports},
        ]),
        None => json!([{"fromEntities": ["cluster", "world"], "toPorts": ports}]),
    }
}

fn ingress_list(rules: Value) -> Value {
    if rules.is_array() { rules } else { json!([rules]) }
}
