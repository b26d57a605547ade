//! What a policy does, by the documented semantics of Cilium: a name must be looked up through the one resolver, its
//! addresses are then known for the names that the rule lists, and the port and the TLS server name must fit.

use danube_core::egress::{Decision, EgressPolicy};

use super::object::{CiliumNetworkPolicy, Dns, Egress, Ports};

/// A connection by name.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The name that was looked up: lower-case, without the trailing dot.
    pub name: &'a str,
    /// The TCP port.
    pub port: u16,
    /// The server name that the client says by TLS, if it speaks that.
    pub server_name: Option<&'a str>,
}

/// Whether pods of the policy can make the connection.
#[must_use]
pub fn allows(policy: &CiliumNetworkPolicy, connection: Connection<'_>) -> bool {
    let rules = &policy.spec.egress;
    let known = rules.iter().any(|rule| rule.to_ports.iter().any(|ports| answers(ports, connection.name)));
    known && rules.iter().any(|rule| reaches(rule, connection))
}

fn answers(ports: &Ports, name: &str) -> bool {
    ports.rules.as_ref().is_some_and(|rules| rules.dns.iter().any(|dns| matches(dns, name)))
}

fn reaches(rule: &Egress, connection: Connection<'_>) -> bool {
    let port = connection.port.to_string();
    let fits = |ports: &Ports| {
        ports.ports.iter().any(|open| open.port == port && open.protocol != "UDP")
            && (ports.server_names.is_empty()
                || connection.server_name.is_some_and(|name| ports.server_names.iter().any(|open| fits(open, name))))
    };
    fn fits(open: &str, name: &str) -> bool {
        matches(&Dns::of(open), name)
    }
    rule.to_fqdns.iter().any(|dns| matches(dns, connection.name)) && rule.to_ports.iter().any(fits)
}

/// A star stands for one or more characters of one label.
fn matches(dns: &Dns, name: &str) -> bool {
    match dns {
        Dns::MatchName(wanted) => wanted == name,
        Dns::MatchPattern(pattern) => match pattern.strip_prefix("*.") {
            Some(parent) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => false,
        },
    }
}

/// Whether a policy does for every name and port of a list what the list says, and nothing for their neighbours.
///
/// # Errors
/// The first connection that it judges otherwise, in words.
pub fn agrees(policy: &CiliumNetworkPolicy, wanted: &EgressPolicy) -> Result<(), String> {
    let names = wanted.rules.iter().flat_map(|rule| examples(&rule.name));
    let ports: Vec<u16> = wanted.ports().into_iter().chain([1, 80, 443, 6443, 10250, 65535]).collect();
    for name in names {
        for &port in &ports {
            let connection = Connection { name: &name, port, server_name: Some(&name) };
            let says = wanted.decide(&name, Some(port)) != Decision::Denied;
            if allows(policy, connection) != says {
                return Err(format!("{name}:{port} should be {}", if says { "allowed" } else { "refused" }));
            }
        }
    }
    Ok(())
}

/// A name that a rule stands for, and some beside it.
fn examples(rule: &str) -> Vec<String> {
    let parent = rule.trim_start_matches("*.");
    let around = [parent.to_owned(), format!("a.{parent}"), format!("a.b.{parent}"), format!("not-{parent}")];
    around.into_iter().chain([format!("{parent}.evil.example")]).collect()
}
