//! The part of `CiliumNetworkPolicy` (`cilium.io/v2`) that Danube says. An empty list is never left out of what is
//! written: to Cilium a missing one allows everything (CVE-2025-64715).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CiliumNetworkPolicy {
    /// `cilium.io/v2`.
    pub api_version: String,
    /// `CiliumNetworkPolicy`.
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
}

/// Name, place, labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Unique in its namespace.
    pub name: String,
    /// Where its pods are.
    pub namespace: String,
    /// By which Danube finds its own again.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Whom it is about, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// For people.
    pub description: String,
    /// The pods it is about.
    pub endpoint_selector: Selector,
    /// Said outright, whatever the rules are.
    pub enable_default_deny: DefaultDeny,
    /// Who may connect to them: each rule one more, and an empty rule nobody.
    pub ingress: Vec<Nobody>,
    /// Whom they may connect to.
    pub egress: Vec<Egress>,
}

/// Labels that a pod must have; none are had by all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// With exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// Whether what no rule allows is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultDeny {
    /// To the pods.
    pub ingress: bool,
    /// From the pods.
    pub egress: bool,
}

/// `{}`: a rule that allows nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nobody {}

/// One thing that may be reached. Of the first three at most one is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Egress {
    /// Pods of the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_endpoints: Vec<Selector>,
    /// Hosts outside of it, by name.
    #[serde(default, rename = "toFQDNs", skip_serializing_if = "Vec::is_empty")]
    pub to_fqdns: Vec<Dns>,
    /// Addresses outside of it; Danube writes none.
    #[serde(default, rename = "toCIDR", skip_serializing_if = "Vec::is_empty")]
    pub to_cidr: Vec<String>,
    /// Kinds of peers (`world`, `host`); Danube writes none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_entities: Vec<String>,
    /// On which ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_ports: Vec<Ports>,
}

/// A name, or a pattern of names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dns {
    /// This name.
    MatchName(String),
    /// Where each `*` stands for characters of one label.
    MatchPattern(String),
}

/// Ports, and what may be said on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ports {
    /// The ports.
    pub ports: Vec<Port>,
    /// The server names (TLS SNI) that a client may ask for; empty: any, and without TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_names: Vec<String>,
    /// What may be asked there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Its number, as text.
    pub port: String,
    /// `TCP`, `UDP` or `ANY`.
    pub protocol: String,
}

/// Names that may be looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// One by one.
    pub dns: Vec<Dns>,
}

impl Dns {
    /// A rule's name: a pattern when it has a star.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name.contains('*') { Self::MatchPattern(name.to_owned()) } else { Self::MatchName(name.to_owned()) }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::MatchName(text) | Self::MatchPattern(text) => text,
        }
    }
}
