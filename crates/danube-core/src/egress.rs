//! Which names a job may reach, and the record of what it tried.

use serde::{Deserialize, Serialize};

/// What happens to a name that no rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EgressMode {
    /// Every public name is allowed and recorded.
    Record,
    /// Only the rules' names are allowed; no rule means nothing is.
    Enforce,
    /// The host's own network, unrecorded (`--network host`).
    Host,
}

/// One allowed name: `pypi.org`, `*.example.com`, `git.corp.example:22`, `db.local:5432 private`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EgressRule {
    /// Lower-case, without the trailing dot; a leading `*.` stands for exactly one label.
    pub name: String,
    /// Allowed ports; empty means 22, 80 and 443.
    pub ports: Vec<u16>,
    /// The name may lead to a private, loopback or link-local address.
    pub private: bool,
}

/// What a job may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressPolicy {
    /// What happens to names without a rule.
    pub mode: EgressMode,
    /// The allowed names.
    pub rules: Vec<EgressRule>,
}

/// What was decided about one name, or one connection to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressEvent {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The name asked for.
    pub name: String,
    /// The port, for a connection; none for a look-up.
    pub port: Option<u16>,
    /// What was decided.
    pub verdict: EgressVerdict,
}

/// A decision about a name or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EgressVerdict {
    /// Let through.
    Allowed,
    /// No rule allows the name or the port.
    DeniedName,
    /// The name leads to a private address only.
    DeniedPrivate,
    /// The TLS client asked for another name than the one it looked up.
    DeniedServerName,
    /// The name does not exist, or nothing answered there.
    Unreachable,
}
