//! What a policy must never say. Each rule stands for a way in which Cilium does something else than it seems to
//! (its documentation on DNS-based policies and on the layer 7 proxy).

use std::net::IpAddr;

use super::object::{CiliumNetworkPolicy, Dns, Egress, Ports};

/// What is wrong with a policy, each in words; nothing when it may be applied.
#[must_use]
pub fn lint(policy: &CiliumNetworkPolicy) -> Vec<String> {
    let spec = &policy.spec;
    let mut found = Vec::new();
    if !(spec.enable_default_deny.egress && spec.enable_default_deny.ingress) {
        found.push("what no rule allows is not refused".to_owned());
    }
    if spec.egress.is_empty() || spec.ingress.is_empty() {
        found.push("an empty list of rules allows everything".to_owned());
    }
    let resolvers = spec.egress.iter().filter(|rule| rule.to_ports.iter().any(asks_for_53)).count();
    if resolvers > 1 {
        found.push("port 53 stands in two rules, and the one without names would open the other".to_owned());
    }
    let looked_up = looked_up(&spec.egress);
    found.extend(spec.egress.iter().flat_map(|rule| of_rule(rule, &looked_up)));
    found
}

fn of_rule(rule: &Egress, looked_up: &[&Dns]) -> Vec<String> {
    let mut found = Vec::new();
    if !rule.to_cidr.is_empty() || !rule.to_entities.is_empty() {
        found.push("addresses and kinds of peers are not names".to_owned());
    }
    if !rule.to_fqdns.is_empty() {
        let others = [rule.to_endpoints.len(), rule.to_cidr.len(), rule.to_entities.len()];
        if others != [0; 3] {
            found.push("names stand beside other peers in one rule, which Cilium does not combine".to_owned());
        }
        if rule.to_ports.iter().all(|ports| ports.ports.is_empty()) {
            found.push("names without ports open all of them".to_owned());
        }
        found.extend(rule.to_fqdns.iter().filter_map(wrong_name));
        let twin = |name: &&Dns| !looked_up.contains(name);
        let alone = rule.to_fqdns.iter().filter(twin);
        found.extend(alone.map(|name| format!("`{}` cannot be looked up, so no address of it is known", name.text())));
    }
    let asked = rule.to_ports.iter().filter_map(|ports| ports.rules.as_ref()).flat_map(|rules| &rules.dns);
    found.extend(asked.filter(|name| !name.text().ends_with(".cluster.local")).filter_map(wrong_name));
    if rule.to_ports.iter().any(|ports| asks_for_53(ports) && ports.rules.is_none()) {
        found.push("the resolver may be asked for anything".to_owned());
    }
    found
}

fn wrong_name(name: &Dns) -> Option<String> {
    let text = name.text();
    let bare = text.trim_start_matches("*.");
    let why = if bare.is_empty() || bare == "*" || text.starts_with("**") {
        "stands for every name"
    } else if bare.contains('*') {
        "has a star within a label"
    } else if bare.parse::<IpAddr>().is_ok() {
        "is an address"
    } else if bare.ends_with(".svc") || bare.ends_with(".cluster.local") {
        "is a name of the cluster, which rules for outside names do not know"
    } else {
        return None;
    };
    Some(format!("`{text}` {why}"))
}

fn asks_for_53(ports: &Ports) -> bool {
    ports.ports.iter().any(|port| port.port == "53")
}

fn looked_up(rules: &[Egress]) -> Vec<&Dns> {
    let ports = rules.iter().flat_map(|rule| &rule.to_ports);
    ports.filter_map(|ports| ports.rules.as_ref()).flat_map(|rules| &rules.dns).collect()
}
