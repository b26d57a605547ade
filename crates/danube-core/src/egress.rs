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

/// Why a text is not an egress rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{rule}` is not an egress rule: {why}")]
pub struct EgressRuleError {
    /// What was written.
    pub rule: String,
    /// What is wrong with it, and what would be right.
    pub why: &'static str,
}

impl TryFrom<String> for EgressRule {
    type Error = EgressRuleError;
    fn try_from(text: String) -> Result<Self, EgressRuleError> {
        let (address, private) = match text.trim().strip_suffix(" private") {
            Some(rest) => (rest.trim_end(), true),
            None => (text.trim(), false),
        };
        let (name, ports) = address.split_once(':').unwrap_or((address, ""));
        let ports = ports.split(',').filter(|p| !p.is_empty()).map(str::parse).collect::<Result<_, _>>();
        let ports =
            ports.map_err(|_| EgressRuleError { rule: text.clone(), why: "a port is a number from 1 to 65535" })?;
        Ok(Self { name: name.to_ascii_lowercase(), ports, private })
    }
}

impl From<EgressRule> for String {
    fn from(rule: EgressRule) -> String {
        let ports: Vec<String> = rule.ports.iter().map(u16::to_string).collect();
        let ports = if ports.is_empty() { String::new() } else { format!(":{}", ports.join(",")) };
        format!("{}{ports}{}", rule.name, if rule.private { " private" } else { "" })
    }
}
