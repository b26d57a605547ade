//! What the master may do, and nothing else: one table, from which the roles are made, which `danube doctor --cluster`
//! asks about one by one, and which docs/kubernetes.md repeats.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::object::meta;
use super::{Object, Services};

/// The master's account, and what its roles are called.
pub const MASTER: &str = "danube-master";
/// Whoever mends what stands in the system's namespace, and its role.
pub const MENDER: &str = "danube-services";

/// Verbs on a kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The API group; the first one has no name.
    pub group: &'static str,
    /// The kind in the plural, with a part of it after a slash (`pods/exec`).
    pub resource: &'static str,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// What for.
    pub why: &'static str,
}

const fn right(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    why: &'static str,
) -> Right {
    Right { group, resource, verbs, why }
}

/// In the namespace of jobs.
pub const IN_JOBS: [Right; 6] = [
    right("", "pods", &["create", "get", "list", "watch", "patch", "delete"], "a pod for each attempt"),
    right("", "pods/exec", &["create", "get"], "the stream to a shim"),
    right("", "pods/ephemeralcontainers", &["update"], "an image that is known only while the job runs"),
    right(
        "cilium.io",
        "ciliumnetworkpolicies",
        &["create", "get", "list", "patch", "delete"],
        "which names it may reach",
    ),
    right("networking.k8s.io", "networkpolicies", &["get"], "whether the network is closed"),
    right("coordination.k8s.io", "leases", &["create", "get", "update"], "one master at a time"),
];

/// Of the whole cluster; `danube doctor --cluster` alone uses it.
pub const IN_CLUSTER: [Right; 2] = [
    right("", "nodes", &["get", "list"], "whether nodes can map users"),
    right("", "namespaces", &["get"], "what Pod Security refuses"),
];

/// Of whoever mends the services, in their namespace.
const IN_SYSTEM: [Right; 6] = [
    right("", "configmaps", &MENDS, ""),
    right("", "services", &MENDS, ""),
    right("", "persistentvolumeclaims", &MENDS, ""),
    right("apps", "deployments", &MENDS, ""),
    right("networking.k8s.io", "networkpolicies", &MENDS, ""),
    right("cilium.io", "ciliumnetworkpolicies", &MENDS, ""),
];
/// And of the policies of jobs.
const POLICIES: [Right; 2] = [IN_SYSTEM[4], IN_SYSTEM[5]];
const MENDS: [&str; 3] = ["create", "get", "patch"];

/// Accounts, roles and who has them.
pub fn objects(wanted: &Services) -> Vec<Object> {
    let mut made: Vec<Object> = [MASTER, MENDER].map(|name| account(name, wanted)).into();
    made.extend(role(MASTER, &wanted.jobs, &IN_JOBS, wanted));
    made.extend(role(MENDER, &wanted.system, &IN_SYSTEM, wanted));
    made.extend(role(MENDER, &wanted.jobs, &POLICIES, wanted));
    made.extend(cluster_role(wanted));
    made
}

fn account(name: &str, wanted: &Services) -> Object {
    Object::of(&ServiceAccount {
        metadata: meta(name, Some(&wanted.system), wanted),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

fn role(name: &str, namespace: &str, rights: &[Right], wanted: &Services) -> [Object; 2] {
    let metadata = || meta(name, Some(namespace), wanted);
    let role = Role { metadata: metadata(), rules: Some(rules(rights)) };
    let binding = RoleBinding {
        metadata: metadata(),
        role_ref: reference("Role", name),
        subjects: Some(vec![subject(name, wanted)]),
    };
    [Object::of(&role), Object::of(&binding)]
}

/// Its name has the namespace in it, for two Danubes can share a cluster.
fn cluster_role(wanted: &Services) -> [Object; 2] {
    let name = format!("{MASTER}-{}", wanted.system);
    let metadata = || meta(&name, None, wanted);
    let role = ClusterRole { metadata: metadata(), rules: Some(rules(&IN_CLUSTER)), ..ClusterRole::default() };
    let binding = ClusterRoleBinding {
        metadata: metadata(),
        role_ref: reference("ClusterRole", &name),
        subjects: Some(vec![subject(MASTER, wanted)]),
    };
    [Object::of(&role), Object::of(&binding)]
}

fn rules(rights: &[Right]) -> Vec<PolicyRule> {
    let rule = |right: &Right| PolicyRule {
        api_groups: Some(vec![right.group.to_owned()]),
        resources: Some(vec![right.resource.to_owned()]),
        verbs: right.verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    };
    rights.iter().map(rule).collect()
}

fn reference(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

fn subject(name: &str, wanted: &Services) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(wanted.system.clone()),
        ..Subject::default()
    }
}
