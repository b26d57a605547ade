use danube_core::egress::{Decision, EgressMode, EgressPolicy};
use proptest::prelude::*;

use super::object::{Port, Ports, Rules, Selector};
use super::*;
use crate::KubeError;
use crate::manifest::tests::settings;

fn wanted(rules: &[&str]) -> EgressPolicy {
    let rules = rules.iter().map(|rule| rule.parse().expect("a rule")).collect();
    EgressPolicy { mode: EgressMode::Enforce, rules }
}

fn made(rules: &[&str]) -> CiliumNetworkPolicy {
    of_profile(&wanted(rules), &settings()).expect("a policy")
}

#[test]
fn a_policy_for_all_allows_nothing() {
    insta::assert_json_snapshot!(default_deny(&settings()));
    assert_eq!(lint(&default_deny(&settings())), [] as [String; 0]);
}

#[test]
fn an_empty_list_is_written_out_as_nothing() {
    let written = serde_json::to_value(made(&[])).expect("json");
    assert_eq!(written["spec"]["egress"], serde_json::json!([{}]));
    assert_eq!(written["spec"]["enableDefaultDeny"], serde_json::json!({"ingress": true, "egress": true}));
    assert!(!allows(&made(&[]), Connection { name: "pip.example", port: 443, server_name: Some("pip.example") }));
}

#[test]
fn names_are_looked_up_and_reached() {
    insta::assert_json_snapshot!("one_name", made(&["pip.example"]));
    insta::assert_json_snapshot!("several", made(&["pip.example", "*.cdn.example:8443", "git.example:22,443"]));
}

#[test]
fn fifty_names_are_one_policy() {
    let names: Vec<String> = (0..50).map(|n| format!("host-{n}.example")).collect();
    let policy = made(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(policy.spec.egress.len(), 2, "one to look up, one to reach");
    assert_eq!(policy.spec.egress[1].to_fqdns.len(), 50);
}

#[test]
fn an_address_of_an_allowed_name_is_no_way_to_another_one() {
    let policy = made(&["pip.example"]);
    let to = |port, server_name| allows(&policy, Connection { name: "pip.example", port, server_name });
    assert!(to(443, Some("pip.example")));
    assert!(!to(443, Some("evil.example")));
    assert!(!to(443, None), "a client that hides whom it means");
    assert!(to(22, None));
    assert!(!to(8443, Some("pip.example")));
}

#[test]
fn only_lists_become_policies() {
    for mode in [EgressMode::Record, EgressMode::Host] {
        let policy = EgressPolicy { mode, rules: Vec::new() };
        assert!(matches!(of_profile(&policy, &settings()), Err(KubeError::Egress(_))), "{mode:?}");
    }
    let inside = of_profile(&wanted(&["registry.danube-system.svc.cluster.local"]), &settings());
    assert!(matches!(inside, Err(KubeError::Policy(words)) if words.contains("name of the cluster")));
}

#[test]
fn each_trap_is_found() {
    type Change = fn(&mut CiliumNetworkPolicy);
    fn name(rule: &mut CiliumNetworkPolicy, name: &str) {
        rule.spec.egress[0].to_ports[0].rules = Some(Rules { dns: vec![Dns::of(name)] });
        rule.spec.egress[1].to_fqdns = vec![Dns::of(name)];
    }
    let changes: [(&str, Change); 13] = [
        ("every name", |policy| name(policy, "*")),
        ("every name", |policy| name(policy, "**.example")),
        ("star within", |policy| name(policy, "a*.example")),
        ("an address", |policy| name(policy, "10.0.0.1")),
        ("name of the cluster", |policy| name(policy, "db.team.svc")),
        ("cannot be looked up", |policy| policy.spec.egress[1].to_fqdns = vec![Dns::of("other.example")]),
        ("port 53 stands in two", |policy| {
            let second = Ports { ports: vec![Port { port: "53".into(), protocol: "UDP".into() }], ..Ports::default() };
            policy.spec.egress[1].to_ports.push(Ports { rules: Some(Rules::default()), ..second });
        }),
        ("asked for anything", |policy| policy.spec.egress[0].to_ports[0].rules = None),
        ("names without ports", |policy| policy.spec.egress[1].to_ports.clear()),
        ("beside other peers", |policy| policy.spec.egress[1].to_endpoints.push(Selector::default())),
        ("not names", |policy| policy.spec.egress[0].to_cidr.push("0.0.0.0/0".into())),
        ("allows everything", |policy| policy.spec.egress.clear()),
        ("is not refused", |policy| policy.spec.enable_default_deny.egress = false),
    ];
    for (word, change) in changes {
        let mut policy = made(&["pip.example"]);
        change(&mut policy);
        let found = lint(&policy);
        assert!(found.iter().any(|words| words.contains(word)), "{word}: {found:?}");
    }
}

#[test]
fn what_is_written_is_read_back_and_unknown_keys_are_not() {
    let policy = made(&["pip.example", "*.cdn.example"]);
    let mut written = serde_json::to_value(&policy).expect("json");
    assert_eq!(serde_json::from_value::<CiliumNetworkPolicy>(written.clone()).expect("read"), policy);
    written["spec"]["egres"] = serde_json::json!([]);
    assert!(serde_json::from_value::<CiliumNetworkPolicy>(written).is_err());
}

fn label() -> impl Strategy<Value = String> {
    "[a-c]{1,2}"
}

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(label(), 1..4).prop_map(|labels| format!("{}.example", labels.join(".")))
}

fn rule() -> impl Strategy<Value = String> {
    let port = prop_oneof![Just(""), Just(":443"), Just(":22,8443"), Just(":5432")];
    (proptest::bool::ANY, name(), port)
        .prop_map(|(star, name, port)| format!("{}{name}{port}", if star { "*." } else { "" }))
}

proptest! {
    /// A policy allows a connection if and only if its list does.
    #[test]
    fn a_policy_allows_what_its_list_says(
        rules in proptest::collection::vec(rule(), 0..6),
        asked in name(),
        port in prop_oneof![Just(22_u16), Just(53), Just(80), Just(443), Just(5432), Just(8443)],
    ) {
        let wanted = wanted(&rules.iter().map(String::as_str).collect::<Vec<_>>());
        let policy = of_profile(&wanted, &settings()).expect("a policy");
        let connection = Connection { name: &asked, port, server_name: Some(&asked) };
        prop_assert_eq!(allows(&policy, connection), wanted.decide(&asked, Some(port)) != Decision::Denied);
    }
}
