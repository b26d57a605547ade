//! What an operator brings into a cluster: applied, applied again, changed by somebody else, taken back; and what the
//! master's account may do with it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use danube_core::id::ContainerName;
use danube_core::runtime::{Role, Runtime};
use danube_kube::doctor::{self, Fact};
use danube_kube::services::apply::{self, How, Outcome};
use danube_kube::services::rights::{IN_CLUSTER, IN_JOBS};
use danube_kube::services::{self, Object, Registry, Services};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use support::{Cluster, Place, services};

async fn all(cluster: &Cluster, wanted: &Services, how: How) -> Vec<(String, Outcome)> {
    let mut came = Vec::new();
    for (_, object) in services::objects(wanted).unwrap() {
        came.push((object.title(), apply::apply(&cluster.client, &object, how).await));
    }
    came
}

fn are_all(came: &[(String, Outcome)], wanted: &Outcome) {
    let others: Vec<_> = came.iter().filter(|(_, outcome)| outcome != wanted).collect();
    assert!(others.is_empty() && came.len() > 10, "{others:?} of {}", came.len());
}

#[tokio::test]
async fn what_is_applied_stays_and_what_is_changed_is_said_and_taken_back() {
    let Some(cluster) = Cluster::find().await else { return };
    let wanted = services(&format!("danube-applied-{}", std::process::id()));
    let (usual, dry) = (How::default(), How { dry_run: true, ..How::default() });
    are_all(&all(&cluster, &wanted, dry).await, &Outcome::Created);
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    assert!(namespaces.get_opt(&wanted.jobs).await.unwrap().is_none(), "a dry run makes nothing");
    are_all(&all(&cluster, &wanted, usual).await, &Outcome::Created);
    are_all(&all(&cluster, &wanted, usual).await, &Outcome::Unchanged);

    // Somebody opens the network of jobs by hand.
    let policies: Api<NetworkPolicy> = Api::namespaced(cluster.client.clone(), &wanted.jobs);
    let open = json!({"spec": {"policyTypes": ["Ingress"]}});
    let by_hand = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
    policies.patch("default-deny", &by_hand, &Patch::Merge(&open)).await.unwrap();
    let changed = |came: Vec<(String, Outcome)>| -> Vec<(String, Outcome)> {
        came.into_iter().filter(|(_, outcome)| *outcome != Outcome::Unchanged).collect()
    };
    let conflict = changed(all(&cluster, &wanted, usual).await);
    let [(title, Outcome::Conflict(words))] = &conflict[..] else { panic!("{conflict:?}") };
    assert!(
        title.starts_with("NetworkPolicy ") && words.contains("kubectl-edit") && words.contains("policyTypes"),
        "{words}"
    );
    let force = How { force: true, ..usual };
    let taken_back = changed(all(&cluster, &wanted, force).await);
    assert_eq!(taken_back, [(title.clone(), Outcome::Changed)]);

    // And somebody deletes it.
    policies.delete("default-deny", &DeleteParams::default()).await.unwrap();
    assert_eq!(changed(all(&cluster, &wanted, usual).await), [(title.clone(), Outcome::Created)]);
    for namespace in [&wanted.jobs, &wanted.system] {
        namespaces.delete(namespace, &DeleteParams::default()).await.unwrap();
    }
}

/// As `kubectl auth can-i --as` asks.
async fn may(place: &Place, verb: &str, what: (&str, &str), namespace: Option<&str>) -> bool {
    let (resource, part) =
        what.1.split_once('/').map_or((what.1, None), |(resource, part)| (resource, Some(part.to_owned())));
    let asked = ResourceAttributes {
        group: Some(what.0.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: part,
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let system = services(&place.namespace).system;
    let spec = SubjectAccessReviewSpec {
        user: Some(format!("system:serviceaccount:{system}:danube-master")),
        resource_attributes: Some(asked),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = Api::all(place.cluster.client.clone()).create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

#[tokio::test]
async fn the_master_may_do_what_the_table_says_and_nothing_else() {
    let Some(place) = Place::find("rights").await else { return };
    let here = Some(place.namespace.as_str());
    for (rights, namespace) in [(&IN_JOBS[..], here), (&IN_CLUSTER[..], None)] {
        for right in rights {
            for verb in right.verbs {
                assert!(may(&place, verb, (right.group, right.resource), namespace).await, "{verb} {}", right.resource);
            }
        }
    }
    let system = services(&place.namespace).system;
    for (verb, what, namespace) in [
        ("get", ("", "secrets"), here),
        ("create", ("", "serviceaccounts/token"), here),
        ("create", ("", "pods/portforward"), here),
        ("update", ("", "pods"), here),
        ("patch", ("", "pods/status"), here),
        ("get", ("", "pods/log"), here),
        ("create", ("rbac.authorization.k8s.io", "roles"), here),
        ("create", ("apps", "deployments"), here),
        ("get", ("", "pods"), Some("kube-system")),
        ("create", ("", "pods"), Some("default")),
        ("create", ("", "pods/exec"), Some(&system)),
        ("get", ("", "secrets"), Some(&system)),
        ("get", ("", "nodes/proxy"), None),
        ("patch", ("", "nodes"), None),
        ("list", ("", "secrets"), None),
        ("list", ("", "pods"), None),
        ("create", ("", "namespaces"), None),
        ("impersonate", ("", "users"), None),
        ("escalate", ("rbac.authorization.k8s.io", "roles"), here),
    ] {
        assert!(!may(&place, verb, what, namespace).await, "{verb} {} in {namespace:?}", what.1);
    }
    place.leave().await;
}

fn fact<'a>(facts: &'a [Fact], name: &str) -> &'a Fact {
    facts.iter().find(|fact| fact.name == name).unwrap_or_else(|| panic!("{name}: {facts:?}"))
}

#[tokio::test]
async fn the_doctor_says_of_a_cluster_what_is_so() {
    let Some(place) = Place::find("doctor").await else { return };
    let wanted = services(&place.namespace);
    let mut looked = doctor::Place {
        namespace: place.namespace.clone(),
        instance: "test".into(),
        shim_image: Some(place.cluster.image("SHIM")),
        coordinator_image: Some(place.cluster.image("COORDINATOR")),
    };
    let facts = doctor::look(&place.master, &looked).await;
    for name in [
        "API server",
        "rights",
        "rights to look",
        "namespace",
        "user namespaces",
        "pod resources",
        "shim image",
        "coordinator image",
    ] {
        assert!(fact(&facts, name).good, "{:?}", fact(&facts, name));
    }
    assert!(!fact(&facts, "default deny").good, "only the foundation was applied: {facts:?}");
    assert!(fact(&facts, "policies by name").words.contains("Cilium"), "{facts:?}");
    let object: Object = services::objects(&wanted)
        .unwrap()
        .into_iter()
        .map(|(_, object)| object)
        .find(|object| object.title() == format!("NetworkPolicy {}/default-deny", place.namespace))
        .unwrap();
    assert_eq!(apply::apply(&place.cluster.client, &object, How::default()).await, Outcome::Created);
    assert_eq!(place.pods().list(&Default::default()).await.unwrap().items.len(), 0, "its pods are gone");

    // With an account that may do nothing, an image that is not there, in a namespace that nobody made.
    let nobody = place.cluster.client_as("system:serviceaccount:default:default").await;
    let found = doctor::look(&nobody, &looked).await;
    assert!(fact(&found, "rights").words.contains("create pods/exec"), "{found:?}");
    assert!(
        !fact(&found, "user namespaces").good && fact(&found, "user namespaces").words.contains("unknown"),
        "{found:?}"
    );
    let missing = format!("{}@sha256:{}", place.cluster.image("BUSYBOX").split('@').next().unwrap(), "0".repeat(64));
    (looked.shim_image, looked.coordinator_image) = (None, Some(missing.clone()));
    let facts = doctor::look(&place.master, &looked).await;
    assert!(fact(&facts, "default deny").good, "{facts:?}");
    assert!(fact(&facts, "coordinator image").words.contains("cannot be pulled"), "{facts:?}");
    looked.namespace = "nobody-made-this".into();
    let facts = doctor::look(&place.cluster.client, &doctor::Place { coordinator_image: None, ..looked }).await;
    assert!(fact(&facts, "namespace").words.contains("danube cluster apply"), "{facts:?}");
    place.leave().await;
}

/// `alice`, with `a password of a test`.
const USERS: &str = "alice:$2y$10$r4elC/XNhdqwJf.kgywi/OfnBly6eINPh8VYXRzl897C1JCC5Fg/e\n";

/// What the operator makes: Danube writes no key and no password.
async fn secrets(place: &Place, system: &str) {
    let folder = std::env::temp_dir().join(&place.namespace);
    std::fs::create_dir_all(&folder).unwrap();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=registry", "-keyout", "tls.key", "-out", "tls.crt"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let api: Api<Secret> = Api::namespaced(place.cluster.client.clone(), system);
    for (name, data) in [
        ("registry-tls", vec![("tls.crt", read("tls.crt")), ("tls.key", read("tls.key"))]),
        ("registry-users", vec![("htpasswd", USERS.to_owned())]),
    ] {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        secret.string_data = Some(data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        api.create(&PostParams::default(), &secret).await.unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Three requests: without a name, with a wrong password, with the right one. It waits for the registry itself.
const ASKS: &str = r#"
import base64, ssl, sys, time, urllib.request, urllib.error
trust = ssl.create_default_context()
trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
def ask(user):
    request = urllib.request.Request(f"https://{sys.argv[1]}:5000/v2/")
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        return urllib.request.urlopen(request, timeout=5, context=trust).status
    except urllib.error.HTTPError as error:
        return error.code
for _ in range(120):
    try:
        ask(None)
        break
    except OSError:
        time.sleep(0.5)
print(ask(None), ask("alice:wrong"), ask("alice:a password of a test"))
"#;

#[tokio::test]
async fn a_registry_runs_restricted_and_knows_its_users() {
    let Some(place) = Place::find("registry").await else { return };
    let image = place.cluster.image("REGISTRY");
    let wanted = Services { registry: Some(Registry { image, storage: None }), ..services(&place.namespace) };
    secrets(&place, &wanted.system).await;
    for (title, outcome) in all(&place.cluster, &wanted, How::default()).await {
        assert!(outcome.is_good(), "{title}: {outcome}");
    }
    let named: Api<Service> = Api::namespaced(place.cluster.client.clone(), &wanted.system);
    let address = named.get("registry").await.unwrap().spec.unwrap().cluster_ip.unwrap();
    let mut group = place.group("job-1");
    // Any image with Python and TLS.
    let image = place.cluster.image("COORDINATOR");
    group.containers[1] = support::container(ContainerName::worker(1), Role::Worker, &image);
    place.start(&group).await;
    let mut master = place.master(&group, &ContainerName::worker(1), 1).await;
    let said = master.run(&support::argv(1, &["python3", "-I", "-c", ASKS, &address])).await.text();
    assert_eq!(said, "401 401 200\n");
    place.runtime.delete(&group.attempt).await.unwrap();
    place.leave().await;
}
