//! From a list of names to a policy.

use std::collections::BTreeMap;

use danube_core::egress::{EgressMode, EgressPolicy, EgressRule, joined};

use super::object::{
    CiliumNetworkPolicy, DefaultDeny, Dns, Egress, Metadata, Nobody, Port, Ports, Rules, Selector, Spec,
};
use super::{evaluate, lint};
use crate::error::KubeError;
use crate::names;
use crate::settings::Settings;

/// The cluster's own resolver: the only one that pods may ask, so that no other can answer with an address of its own.
const RESOLVER: [(&str, &str); 2] = [("k8s:io.kubernetes.pod.namespace", "kube-system"), ("k8s:k8s-app", "kube-dns")];
/// Here a client says by TLS whom it means, and is held to it.
const HTTPS: u16 = 443;

/// Selects every pod of the namespace of jobs and allows nothing. It stands before any pod does.
#[must_use]
pub fn default_deny(settings: &Settings) -> CiliumNetworkPolicy {
    default_deny_in(&settings.namespace, &settings.instance)
}

/// The same in any namespace.
#[must_use]
pub fn default_deny_in(namespace: &str, instance: &str) -> CiliumNetworkPolicy {
    let description = "Every pod, whatever else selects it: nothing in, nothing out".to_owned();
    policy(metadata("default-deny", namespace, instance), Selector::default(), description, vec![Egress::default()])
}

/// The policy of a profile.
///
/// # Errors
/// When the network is not a list of names, or the policy would do anything but what the list says.
pub fn of_profile(wanted: &EgressPolicy, settings: &Settings) -> Result<CiliumNetworkPolicy, KubeError> {
    of_profile_in(wanted, &settings.namespace, &settings.instance)
}

/// The same in any namespace.
///
/// # Errors
/// As above.
pub fn of_profile_in(wanted: &EgressPolicy, namespace: &str, instance: &str) -> Result<CiliumNetworkPolicy, KubeError> {
    match wanted.mode {
        EgressMode::Enforce => {}
        EgressMode::Record => return Err(KubeError::Egress("record")),
        EgressMode::Host => return Err(KubeError::Egress("host")),
    }
    let rules = joined(wanted.rules.clone());
    let profile = names::profile(wanted);
    let selector = Selector { match_labels: [(names::PROFILE.to_owned(), profile.clone())].into() };
    let description = match rules.len() {
        0 => "Pods of this profile reach nothing".to_owned(),
        1 => "Pods of this profile reach one name".to_owned(),
        many => format!("Pods of this profile reach {many} names"),
    };
    let metadata = metadata(&format!("egress-{profile}"), namespace, instance);
    let made = policy(metadata, selector, description, egress(&rules));
    let said = lint::lint(&made);
    if !said.is_empty() {
        return Err(KubeError::Policy(said.join("; ")));
    }
    evaluate::agrees(&made, wanted).map_err(KubeError::Policy)?;
    Ok(made)
}

fn metadata(name: &str, namespace: &str, instance: &str) -> Metadata {
    let labels = [
        ("app.kubernetes.io/managed-by".to_owned(), "danube".to_owned()),
        (names::INSTANCE.to_owned(), names::label(instance)),
    ];
    Metadata { name: name.to_owned(), namespace: namespace.to_owned(), labels: labels.into() }
}

fn policy(
    metadata: Metadata,
    endpoint_selector: Selector,
    description: String,
    egress: Vec<Egress>,
) -> CiliumNetworkPolicy {
    CiliumNetworkPolicy {
        api_version: "cilium.io/v2".to_owned(),
        kind: "CiliumNetworkPolicy".to_owned(),
        metadata,
        spec: Spec {
            description,
            endpoint_selector,
            enable_default_deny: DefaultDeny { ingress: true, egress: true },
            ingress: vec![Nobody {}],
            egress,
        },
    }
}

/// The look-up of all names, then the names of each set of ports. An empty list is one rule that allows nothing.
fn egress(rules: &[EgressRule]) -> Vec<Egress> {
    if rules.is_empty() {
        return vec![Egress::default()];
    }
    let mut by_ports: BTreeMap<&[u16], Vec<Dns>> = BTreeMap::new();
    for rule in rules {
        by_ports.entry(rule.open_ports()).or_default().push(Dns::of(&rule.name));
    }
    let reached = by_ports.into_iter().map(|(ports, names)| reach(ports, distinct(names)));
    std::iter::once(look_up(rules)).chain(reached).collect()
}

fn look_up(rules: &[EgressRule]) -> Egress {
    let names = distinct(rules.iter().map(|rule| Dns::of(&rule.name)).collect());
    let resolver = RESOLVER.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    let ports = vec![Port { port: "53".to_owned(), protocol: "ANY".to_owned() }];
    Egress {
        to_endpoints: vec![Selector { match_labels: resolver }],
        to_ports: vec![Ports { ports, server_names: Vec::new(), rules: Some(Rules { dns: names }) }],
        ..Egress::default()
    }
}

fn reach(ports: &[u16], names: Vec<Dns>) -> Egress {
    let tcp = |port: &u16| Port { port: port.to_string(), protocol: "TCP".to_owned() };
    let (https, others): (Vec<u16>, Vec<u16>) = ports.iter().partition(|port| **port == HTTPS);
    let said = |ports: Vec<u16>, server_names: Vec<String>| {
        let ports: Vec<Port> = ports.iter().map(tcp).collect();
        (!ports.is_empty()).then_some(Ports { ports, server_names, rules: None })
    };
    let server_names = names.iter().map(|name| name.text().to_owned()).collect();
    let to_ports = said(https, server_names).into_iter().chain(said(others, Vec::new())).collect();
    Egress { to_fqdns: names, to_ports, ..Egress::default() }
}

fn distinct(mut names: Vec<Dns>) -> Vec<Dns> {
    names.sort();
    names.dedup();
    names
}
