use std::collections::BTreeSet;

use super::*;
use crate::policy::{CiliumNetworkPolicy, lint};

const DIGEST: &str = "sha256:9c1f00000000000000000000000000000000000000000000000000000000beef";

pub fn services() -> Services {
    Services {
        jobs: "danube-jobs".into(),
        system: "danube-system".into(),
        instance: "ci".into(),
        cilium: true,
        registry: Some(Registry { image: format!("registry.example/registry@{DIGEST}"), storage: Some("20Gi".into()) }),
        dex: Some(format!("registry.example/dex@{DIGEST}")),
    }
}

fn made(wanted: &Services) -> Vec<Object> {
    objects(wanted).expect("objects").into_iter().map(|(_, object)| object).collect()
}

#[test]
fn a_cluster_holds_this_beside_jobs() {
    let all: Vec<_> = made(&services()).into_iter().map(|object| object.body).collect();
    insta::assert_json_snapshot!(all);
}

#[test]
fn what_is_not_wished_for_is_not_there() {
    let wanted = Services { cilium: false, registry: None, dex: None, ..services() };
    let kinds: BTreeSet<String> = made(&wanted).iter().map(|object| object.resource.kind.clone()).collect();
    assert!(!kinds.contains("Deployment") && !kinds.contains("CiliumNetworkPolicy"), "{kinds:?}");
    assert!(kinds.contains("NetworkPolicy"), "jobs are closed in whatever words the cluster knows");
}

#[test]
fn no_two_objects_have_one_name_and_each_is_in_a_namespace_that_comes_first() {
    let all = made(&services());
    let titles: BTreeSet<String> = all.iter().map(Object::title).collect();
    assert_eq!(titles.len(), all.len());
    for (place, object) in all.iter().enumerate() {
        let Some(namespace) = object.namespace() else { continue };
        let first = all.iter().position(|other| other.resource.kind == "Namespace" && other.name() == namespace);
        assert!(first.is_some_and(|first| first < place), "{}", object.title());
    }
}

#[test]
fn nobody_has_a_wildcard_or_a_word_about_secrets() {
    for object in made(&services()) {
        for rule in object.body["rules"].as_array().into_iter().flatten() {
            let text = rule.to_string();
            assert!(!text.contains('*') && !text.contains("secrets") && !text.contains("escalate"), "{text}");
        }
    }
}

#[test]
fn an_image_without_a_digest_is_refused() {
    let wanted = Services { dex: Some("registry.example/dex:v2".into()), ..services() };
    assert!(matches!(objects(&wanted), Err(KubeError::Image { container, .. }) if container == "dex"));
}

#[test]
fn the_closed_policy_is_the_one_of_the_runtime() {
    let all = made(&services());
    let closed = |object: &&Object| object.title() == "CiliumNetworkPolicy danube-jobs/default-deny";
    let found = all.iter().find(closed).expect("there").body.clone();
    let policy: CiliumNetworkPolicy = serde_json::from_value(found).expect("a policy");
    assert_eq!(policy, crate::policy::default_deny(&crate::manifest::tests::settings()));
    assert_eq!(lint(&policy), [] as [String; 0]);
}

#[test]
fn the_documents_list_every_right_of_the_master() {
    let text = include_str!("../../../../docs/kubernetes.md");
    for right in rights::IN_JOBS.iter().chain(&rights::IN_CLUSTER) {
        let line = format!("| `{}` | {} |", right.resource, right.verbs.join(", "));
        assert!(text.contains(&line), "docs/kubernetes.md lacks: {line}");
    }
}
