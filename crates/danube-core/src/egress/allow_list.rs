//! From a recorded run to the list that would have let it through.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::rule::canonical_ports;
use super::{Decision, EgressEvent, EgressPolicy, EgressRule, EgressVerdict};

/// The rules that allow exactly the connections that were made under a policy: sorted, one per name (and once more
/// if ` private`), with ports only where they are not among the default ones.
#[must_use]
pub fn allow_list(events: &[EgressEvent], policy: &EgressPolicy) -> Vec<EgressRule> {
    let mut reached: BTreeMap<(&str, bool), Vec<u16>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.verdict == EgressVerdict::Allowed) {
        if let Some(port) = event.port {
            let private = policy.decide(&event.name, Some(port)) == Decision::Allowed { private: true };
            reached.entry((&event.name, private)).or_default().push(port);
        }
    }
    reached.into_iter().map(|((name, private), ports)| rule_for(name, private, ports)).collect()
}

/// Names that were looked up and let through, but never connected to: the tool asked and went no further, or it
/// wanted a port that is not open.
#[must_use]
pub fn only_looked_up(events: &[EgressEvent]) -> Vec<String> {
    let allowed = |event: &&EgressEvent| event.verdict == EgressVerdict::Allowed;
    let tried: BTreeSet<&str> = events.iter().filter(|event| event.port.is_some()).map(|e| e.name.as_str()).collect();
    let asked: BTreeSet<&str> = events.iter().filter(allowed).map(|event| event.name.as_str()).collect();
    asked.difference(&tried).map(ToString::to_string).collect()
}

/// The list as a file for `--egress FILE`, with what needs a decision as comments.
#[must_use]
pub fn allow_list_file(events: &[EgressEvent], policy: &EgressPolicy) -> String {
    let mut file = String::new();
    for rule in allow_list(events, policy) {
        let _ = writeln!(file, "{rule}");
    }
    section(
        &mut file,
        "looked up, never connected to; add the port if it is not 22, 80 or 443",
        only_looked_up(events),
    );
    section(&mut file, "refused: leads to a private address; ` private` allows it", private_names(events));
    file
}

fn section(file: &mut String, title: &str, lines: Vec<String>) {
    if !lines.is_empty() {
        let _ = writeln!(file, "# {title}:");
        for line in lines {
            let _ = writeln!(file, "# {line}");
        }
    }
}

fn private_names(events: &[EgressEvent]) -> Vec<String> {
    let refused = events.iter().filter(|event| event.verdict == EgressVerdict::DeniedPrivate);
    let names: BTreeSet<&str> = refused.map(|event| event.name.as_str()).collect();
    names.into_iter().map(|name| format!("{name} private")).collect()
}

/// All default ports are open anyway when only some of them were used: a list that says `:443` for every name
/// would be longer and no one would read it.
fn rule_for(name: &str, private: bool, ports: Vec<u16>) -> EgressRule {
    let usual = ports.iter().all(|port| super::DEFAULT_PORTS.contains(port));
    let ports = if usual { Vec::new() } else { canonical_ports(ports) };
    EgressRule { name: name.to_owned(), ports, private }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{EgressMode, parse_rules};

    fn event(name: &str, port: Option<u16>, verdict: EgressVerdict) -> EgressEvent {
        EgressEvent { at_ms: 0, name: name.into(), port, verdict }
    }

    fn recording(rules: &[&str]) -> EgressPolicy {
        EgressPolicy { mode: EgressMode::Record, rules: rules.iter().map(|rule| rule.parse().unwrap()).collect() }
    }

    #[test]
    fn a_recorded_run_ends_with_the_list_to_paste() {
        use EgressVerdict::{Allowed, DeniedPrivate, Unreachable};
        let events = [
            event("pip.example", None, Allowed),
            event("pip.example", Some(443), Allowed),
            event("pip.example", Some(443), Allowed),
            event("git.example", None, Allowed),
            event("git.example", Some(9418), Allowed),
            event("git.example", Some(443), Allowed),
            event("telemetry.example", None, Allowed),
            event("gone.example", Some(443), Unreachable),
            event("meta.example", None, DeniedPrivate),
        ];
        let file = allow_list_file(&events, &recording(&[]));
        assert_eq!(
            file,
            "git.example:443,9418\npip.example\n\
             # looked up, never connected to; add the port if it is not 22, 80 or 443:\n# telemetry.example\n\
             # refused: leads to a private address; ` private` allows it:\n# meta.example private\n"
        );
        assert_eq!(parse_rules(&file).unwrap(), allow_list(&events, &recording(&[])));
    }

    #[test]
    fn the_list_lets_the_same_run_through() {
        let events: Vec<EgressEvent> =
            [22, 443, 9418].map(|port| event("a.example", Some(port), EgressVerdict::Allowed)).into();
        let policy = EgressPolicy { mode: EgressMode::Enforce, rules: allow_list(&events, &recording(&[])) };
        for event in &events {
            assert_eq!(policy.decide(&event.name, event.port), Decision::Allowed { private: false });
        }
    }

    #[test]
    fn a_name_that_a_rule_let_lead_to_a_private_address_stays_private() {
        let events = [("db.example", 5432), ("db.example", 443)]
            .map(|(name, port)| event(name, Some(port), EgressVerdict::Allowed));
        let list = allow_list(&events, &recording(&["db.example:5432 private"]));
        let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["db.example", "db.example:5432 private"]);
    }
}
