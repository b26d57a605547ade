//! Which names a job may reach, and the record of what it tried.
//!
//! Pure: a policy decides about texts and numbers. Who asks, resolves and connects is the runtime's matter
//! (docs/egress.md tells the whole).

mod address;
mod allow_list;
mod name;
mod rule;

use serde::{Deserialize, Serialize};

pub use address::is_public;
pub use allow_list::{allow_list, allow_list_file, only_looked_up};
pub use name::{MAX_NAME, host_name, is_localhost};
pub use rule::{EgressFileError, EgressRuleError, joined, parse_rules};

/// What a rule without ports opens: ssh, http, https.
pub const DEFAULT_PORTS: [u16; 3] = [22, 80, 443];

/// What record mode opens on every public name, beside the ports that rules name. Short on purpose: a step cannot
/// listen on a port that is open here, and the ports of databases and development servers are what tests listen on.
pub const RECORD_PORTS: [u16; 4] = [22, 80, 443, 9418];

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

/// One allowed name: `pip.example`, `*.example.com`, `git.corp.example:22`, `db.local:5432 private`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EgressRule {
    /// Lower-case, without the trailing dot; a leading `*.` stands for exactly one label.
    pub name: String,
    /// Allowed ports, sorted; empty means 22, 80 and 443.
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

/// What a policy says about a name or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be reached.
    Allowed {
        /// Also where it leads to a private address.
        private: bool,
    },
    /// No rule allows the name or the port.
    Denied,
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

impl EgressVerdict {
    /// Whether the policy refused it.
    #[must_use]
    pub const fn is_denied(self) -> bool {
        matches!(self, Self::DeniedName | Self::DeniedPrivate | Self::DeniedServerName)
    }
}

impl EgressPolicy {
    /// Decides about a name (`port` is none: may it be looked up?) or a connection to it.
    #[must_use]
    pub fn decide(&self, name: &str, port: Option<u16>) -> Decision {
        if self.mode == EgressMode::Host {
            return Decision::Allowed { private: true };
        }
        let Ok(name) = host_name(name) else { return Decision::Denied };
        let speaks =
            |rule: &&EgressRule| rule.matches(&name) && port.is_none_or(|port| rule.open_ports().contains(&port));
        let private = self.rules.iter().filter(speaks).any(|rule| rule.private);
        let recorded = self.mode == EgressMode::Record && port.is_none_or(|port| self.ports().contains(&port));
        if recorded || self.rules.iter().any(|rule| speaks(&rule)) {
            Decision::Allowed { private }
        } else {
            Decision::Denied
        }
    }

    /// The ports on which connections can be made at all, sorted. None when nothing is allowed, or when the job
    /// has the host's own network.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let base: &[u16] = if self.mode == EgressMode::Record { &RECORD_PORTS } else { &[] };
        let named = self.rules.iter().flat_map(EgressRule::open_ports);
        let mut ports: Vec<u16> = base.iter().chain(named).copied().collect();
        ports.sort_unstable();
        ports.dedup();
        if self.mode == EgressMode::Host { Vec::new() } else { ports }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: EgressMode, rules: &[&str]) -> EgressPolicy {
        EgressPolicy { mode, rules: rules.iter().map(|rule| rule.parse().unwrap()).collect() }
    }
    const PUBLIC: Decision = Decision::Allowed { private: false };
    const PRIVATE: Decision = Decision::Allowed { private: true };

    #[test]
    fn enforcing_allows_what_is_listed_and_nothing_else() {
        let policy = policy(EgressMode::Enforce, &["pip.example", "*.cdn.example:8443", "db.local:5432 private"]);
        for (name, port, expected) in [
            ("pip.example", None, PUBLIC),
            ("PiP.Example.", Some(443), PUBLIC),
            ("pip.example", Some(22), PUBLIC),
            ("pip.example", Some(8443), Decision::Denied),
            ("evil-pip.example", None, Decision::Denied),
            ("pip.example.evil.example", None, Decision::Denied),
            ("x.pip.example", None, Decision::Denied),
            ("a.cdn.example", Some(8443), PUBLIC),
            ("a.cdn.example", Some(443), Decision::Denied),
            ("cdn.example", None, Decision::Denied),
            (".cdn.example", None, Decision::Denied),
            ("a.b.cdn.example", None, Decision::Denied),
            ("*.cdn.example", None, Decision::Denied),
            ("db.local", Some(5432), PRIVATE),
            ("db.local", None, PRIVATE),
            ("127.0.0.1", None, Decision::Denied),
            ("", None, Decision::Denied),
        ] {
            assert_eq!(policy.decide(name, port), expected, "{name} {port:?}");
        }
        assert_eq!(policy.ports(), [22, 80, 443, 5432, 8443]);
    }

    #[test]
    fn an_empty_list_denies_everything() {
        let policy = policy(EgressMode::Enforce, &[]);
        assert_eq!(policy.decide("pip.example", None), Decision::Denied);
        assert!(policy.ports().is_empty());
        assert_eq!(serde_json::to_string(&policy).unwrap(), r#"{"mode":"enforce","rules":[]}"#);
    }

    #[test]
    fn recording_allows_public_names_on_its_ports_and_on_those_that_rules_name() {
        let policy = policy(EgressMode::Record, &["db.local:5432 private"]);
        assert_eq!(policy.decide("anything.example", Some(9418)), PUBLIC);
        assert_eq!(policy.decide("anything.example", Some(5432)), PUBLIC);
        assert_eq!(policy.decide("anything.example", Some(25)), Decision::Denied);
        assert_eq!(policy.decide("db.local", Some(5432)), PRIVATE);
        assert_eq!(policy.decide("db.local", Some(443)), PUBLIC, "private holds for the rule's own ports");
        assert_eq!(policy.decide("0x7f000001", Some(443)), Decision::Denied);
        assert_eq!(policy.ports(), [22, 80, 443, 5432, 9418]);
    }

    #[test]
    fn the_hosts_own_network_is_neither_checked_nor_served() {
        let policy = policy(EgressMode::Host, &["pip.example"]);
        assert_eq!(policy.decide("10.0.0.1", Some(25)), PRIVATE);
        assert!(policy.ports().is_empty());
    }
}
