//! Our policies before Cilium's own definitions, and jobs that must have theirs in force. `checks/kube` starts a cluster that
//! has the definitions; nothing on it enforces them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use danube_core::egress::{EgressMode, EgressPolicy};
use danube_core::id::ContainerName;
use danube_core::runtime::Runtime;
use danube_kube::policy::{self, CiliumNetworkPolicy};
use danube_kube::services::{self, Registry, Services};
use danube_kube::{Enforcement, Kubernetes, Settings};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use support::{Cluster, Place, sh};

fn names(rules: &[String]) -> EgressPolicy {
    EgressPolicy { mode: EgressMode::Enforce, rules: rules.iter().map(|rule| rule.parse().unwrap()).collect() }
}

/// What the API server says of a policy that it is not to keep.
async fn asked(cluster: &Cluster, body: &Value) -> Result<(), String> {
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), "default", &policy::resource());
    let how = PatchParams { dry_run: true, ..PatchParams::apply("test").validation_strict() };
    let name = body["metadata"]["name"].as_str().unwrap();
    api.patch(name, &how, &Patch::Apply(body)).await.map(drop).map_err(|error| error.to_string())
}

fn all_of_ours(cluster: &Cluster) -> Vec<CiliumNetworkPolicy> {
    let settings = cluster.settings("default");
    let fifty: Vec<String> = (0..50).map(|n| format!("host-{n}.example")).collect();
    let some = ["pip.example", "*.cdn.example:8443", "git.example:22,443"].map(str::to_owned);
    let lists = [&[][..], &["pip.example".to_owned()], &some, &fifty];
    let profiles = lists.map(|list| policy::of_profile(&names(list), &settings).unwrap());
    profiles.into_iter().chain([policy::default_deny(&settings)]).collect()
}

#[tokio::test]
async fn cilium_s_definitions_take_all_of_ours() {
    let Some(cluster) = Cluster::find_with_cilium().await else { return };
    for policy in all_of_ours(&cluster) {
        let body = serde_json::to_value(&policy).unwrap();
        assert_eq!(asked(&cluster, &body).await, Ok(()), "{body:#}");
    }
    let image = format!("registry.example/x@sha256:{}", "0".repeat(64));
    let wanted = Services {
        cilium: true,
        registry: Some(Registry { image: image.clone(), storage: None }),
        dex: Some(image),
        jobs: "default".into(),
        system: "default".into(),
        instance: "test".into(),
    };
    let mut tried = 0;
    for (_, object) in services::objects(&wanted).unwrap() {
        if object.resource.group == "cilium.io" {
            assert_eq!(asked(&cluster, &object.body).await, Ok(()), "{:#}", object.body);
            tried += 1;
        }
    }
    assert_eq!(tried, 4, "two that close, the registry's and Dex's");
}

#[tokio::test]
async fn what_cilium_would_not_understand_is_refused() {
    let Some(cluster) = Cluster::find_with_cilium().await else { return };
    let good = serde_json::to_value(
        policy::of_profile(&names(&["pip.example".into()]), &cluster.settings("default")).unwrap(),
    )
    .unwrap();
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 4] = [
        ("egres", |policy| policy["spec"]["egres"] = json!([])),
        ("toCIDR", |policy| policy["spec"]["egress"] = json!([{"toCIDR": ["300.0.0.0/8"]}])),
        ("protocol", |policy| policy["spec"]["egress"][1]["toPorts"][0]["ports"][0]["protocol"] = json!("TLS")),
        ("matchName", |policy| policy["spec"]["egress"][1]["toFQDNs"][0]["matchName"] = json!("two words")),
    ];
    for (word, change) in changes {
        let mut policy = good.clone();
        change(&mut policy);
        let refused = asked(&cluster, &policy).await.expect_err(word);
        assert!(refused.contains(word), "{word}: {refused}");
    }
}

/// A place whose runtime makes no pod without its policy.
async fn strict(name: &str) -> Option<Place> {
    Cluster::find_with_cilium().await?;
    let place = Place::find(name).await?;
    let settings = Settings { enforcement: Enforcement::Required, ..place.cluster.settings(&place.namespace) };
    let runtime = Kubernetes::new(place.master.clone(), settings);
    Some(Place { runtime, ..place })
}

async fn policies(place: &Place) -> Vec<DynamicObject> {
    let client = place.cluster.client.clone();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &place.namespace, &policy::resource());
    api.list(&ListParams::default()).await.unwrap().items
}

#[tokio::test]
async fn a_job_s_policies_are_there_before_its_pod() {
    let Some(place) = strict("held").await else { return };
    let mut group = place.group("job-1");
    group.egress = names(&["pip.example".into()]);
    place.start(&group).await;
    let pod = place.pods().list(&ListParams::default()).await.unwrap().items.remove(0);
    let profile = &pod.labels()["danube.dev/egress-profile"];
    let found = policies(&place).await;
    let there: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
    assert_eq!(there, ["default-deny".to_owned(), format!("egress-{profile}")]);
    assert!(found.iter().all(|policy| policy.creation_timestamp() <= pod.creation_timestamp()));
    let selected = &found[1].data["spec"]["endpointSelector"]["matchLabels"];
    assert_eq!(*selected, json!({"danube.dev/egress-profile": profile}));
    let mut worker = place.master(&group, &ContainerName::worker(1), 1).await;
    assert_eq!(worker.run(&sh(1, "echo ran")).await.text(), "ran\n");
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn a_master_that_starts_removes_the_policies_that_no_pod_has() {
    let Some(place) = strict("swept").await else { return };
    let mut group = place.group("job-1");
    group.egress = names(&["pip.example".into()]);
    place.runtime.create(&group).await.unwrap();
    let mut dead = place.group("job-2");
    dead.egress = names(&["npm.example".into()]);
    place.runtime.create(&dead).await.unwrap();
    place.runtime.delete(&dead.attempt).await.unwrap();
    assert_eq!(policies(&place).await.len(), 3);
    let swept = place.runtime.sweep_policies().await.unwrap();
    assert_eq!(swept.len(), 1, "{swept:?}");
    assert_eq!(policies(&place).await.len(), 2, "the one of the pod that is there, and the closed one");
    assert_eq!(place.runtime.sweep_policies().await.unwrap(), [] as [String; 0]);
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}
