use std::time::Duration;

use danube_core::egress::{EgressMode, EgressPolicy};
use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{ImageSource, Resources};

use super::*;

const DIGEST: &str = "sha256:9c1f00000000000000000000000000000000000000000000000000000000beef";

pub fn settings() -> Settings {
    let limits = |cpu, mib: u64| Resources {
        cpu_millis: Some(cpu),
        memory_bytes: Some(mib << 20),
        disk_bytes: None,
        pids: None,
    };
    Settings {
        namespace: "danube-jobs".into(),
        instance: "ci".into(),
        shim_image: format!("registry.example/danube-shim@{DIGEST}"),
        coordinator_image: format!("registry.example/danube-coordinator@{DIGEST}"),
        coordinator: limits(500, 256),
        worker: limits(2000, 2048),
        workspace_bytes: 10 << 30,
        map_users: true,
        pod_resources: true,
        enforcement: crate::Enforcement::Required,
        pull_grace: Duration::from_secs(120),
        node_grace: Duration::from_secs(600),
        pull_secrets: vec!["registry".into()],
        node_selector: vec![("kubernetes.io/arch".into(), "amd64".into())],
        runner: ["/usr/bin/python3", "-I", "-S", "-B", "/opt/danube/sdk/danube-runner.py"].map(str::to_owned).to_vec(),
    }
}

pub fn container(name: ContainerName, role: Role, image: &str) -> ContainerSpec {
    ContainerSpec { name, role, image: ImageSource::parse(image), program: None, resources: Resources::default() }
}

pub fn image() -> String {
    format!("registry.example/node@{DIGEST}")
}

pub fn group() -> GroupSpec {
    let image = image();
    let mut large = container(ContainerName::worker(2), Role::Worker, &image);
    large.resources =
        Resources { cpu_millis: Some(4000), memory_bytes: Some(8 << 30), disk_bytes: Some(50 << 30), pids: None };
    GroupSpec {
        attempt: AttemptId { job: "0199-a".parse().expect("an id"), number: 2 },
        nonce: "0123456789abcdef0123456789abcdef".into(),
        pipeline: "team/app".into(),
        containers: vec![
            container(ContainerName::coordinator(), Role::Coordinator, "host"),
            container(ContainerName::worker(1), Role::Worker, &image),
            large,
            container(ContainerName::service(1), Role::Service, &format!("registry.example/postgres@{DIGEST}")),
        ],
        workspace: Workspace::Empty,
        source: None,
        egress: EgressPolicy { mode: EgressMode::Enforce, rules: vec!["pip.example".parse().expect("a rule")] },
        orphan_grace: Duration::from_secs(3600),
        time: Duration::from_secs(3600),
        warm: 0,
    }
}

#[test]
fn a_group_is_one_pod() {
    insta::assert_json_snapshot!(pod(&group(), &settings()).expect("a pod"));
}

#[test]
fn no_pod_has_a_word_with_the_cluster_or_the_node() {
    let made = pod(&group(), &settings()).expect("a pod").spec.expect("a spec");
    assert_eq!(made.automount_service_account_token, Some(false));
    assert_eq!(made.enable_service_links, Some(false));
    assert_eq!(made.host_users, Some(false));
    assert_eq!(made.restart_policy.as_deref(), Some("Never"));
    let all = made.init_containers.iter().flatten().chain(&made.containers);
    for container in all {
        let context = container.security_context.clone().expect("a context");
        assert_eq!(context.allow_privilege_escalation, Some(false), "{}", container.name);
        assert!(container.image.as_deref().is_some_and(|image| image.contains("@sha256:")), "{}", container.name);
        let written = container.volume_mounts.iter().flatten().find(|mount| mount.name == "shim").expect("the shim");
        assert_eq!(written.read_only != Some(true), container.name == "shim", "{}", container.name);
    }
    assert!(made.volumes.iter().flatten().all(|volume| volume.empty_dir.is_some()));
}

#[test]
fn the_coordinator_and_the_installer_are_restricted_and_a_worker_need_not_be() {
    let made = pod(&group(), &settings()).expect("a pod").spec.expect("a spec");
    let all: Vec<_> = made.init_containers.iter().flatten().chain(&made.containers).collect();
    let of = |name: &str| {
        let container = all.iter().find(|container| container.name == name).expect("there");
        restricted::violations(&made, container)
    };
    assert_eq!(of("coordinator"), [] as [String; 0]);
    assert_eq!(of("shim"), [] as [String; 0]);
    assert_eq!(of("worker").len(), 2, "{:?}", of("worker"));
}

#[test]
fn each_way_out_of_restricted_is_found() {
    let made = pod(&group(), &settings()).expect("a pod").spec.expect("a spec");
    let coordinator = made.containers.iter().find(|container| container.name == "coordinator").expect("there");
    type Change = fn(&mut PodSpec, &mut k8s_openapi::api::core::v1::SecurityContext);
    let changes: [(&str, Change); 9] = [
        ("namespace", |pod, _| pod.host_pid = Some(true)),
        ("volume", |pod, _| pod.volumes.iter_mut().flatten().for_each(|volume| volume.empty_dir = None)),
        ("privileged", |_, context| context.privileged = Some(true)),
        ("gained", |_, context| context.allow_privilege_escalation = None),
        ("root", |_, context| context.run_as_non_root = None),
        ("root", |_, context| context.run_as_user = Some(0)),
        ("capabilities", |_, context| context.capabilities = None),
        ("seccomp", |pod, context| {
            pod.security_context = None;
            context.seccomp_profile = None;
        }),
        ("/proc", |_, context| context.proc_mount = Some("Unmasked".into())),
    ];
    for (word, change) in changes {
        let (mut pod, mut container) = (made.clone(), coordinator.clone());
        change(&mut pod, container.security_context.as_mut().expect("a context"));
        let found = restricted::violations(&pod, &container);
        assert!(found.len() == 1 && found[0].contains(word), "{word}: {found:?}");
    }
}

#[test]
fn an_image_without_a_digest_and_files_of_the_machine_are_refused() {
    for image in ["host", "node:22", "tar:/x.tar", "node@sha256:12", &format!("node@{}", DIGEST.to_uppercase())] {
        let mut group = group();
        group.containers[1].image = ImageSource::parse(image);
        let error = pod(&group, &settings()).expect_err(image);
        assert!(matches!(&error, KubeError::Image { container, .. } if container == "worker"), "{error}");
    }
    let mut group = group();
    group.workspace = Workspace::Prepared { dir: "/x".into(), objects: None };
    assert!(matches!(pod(&group, &settings()), Err(KubeError::Prepared(_))));
    group.workspace = Workspace::Empty;
    group.containers.retain(|container| container.role != Role::Coordinator);
    assert_eq!(pod(&group, &settings()), Err(KubeError::Coordinators(0)));
}

#[test]
fn a_pod_s_limits_are_its_containers_and_room_for_one_more() {
    let limits = pod(&group(), &settings()).expect("a pod").spec.expect("a spec").resources.expect("resources").limits;
    let limits = limits.expect("limits");
    // Coordinator 0.5, worker 2, the large one 4, the service 2, one more 2.
    assert_eq!(limits["cpu"].0, "10500m");
    assert_eq!(limits["memory"].0, ((256 + 2048 + 8192 + 2048 + 2048_u64) << 20).to_string());
}

#[test]
fn a_pod_of_small_containers_has_room_for_the_installer_of_the_shim() {
    let small = Resources { cpu_millis: Some(10), memory_bytes: Some(4 << 20), disk_bytes: None, pids: None };
    let settings = Settings { coordinator: small, worker: small, ..settings() };
    let mut group = group();
    group.containers.truncate(2);
    let made = pod(&group, &settings).expect("a pod").spec.expect("a spec");
    let of = |resources: Option<k8s_openapi::api::core::v1::ResourceRequirements>| {
        resources.and_then(|resources| resources.limits).expect("limits")
    };
    let installer = made.init_containers.iter().flatten().next().expect("it is the first").resources.clone();
    assert_eq!(of(made.resources), of(installer));
}
