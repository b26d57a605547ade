//! Pod Security *restricted* for one container. The namespace enforces *baseline*, since steps may be root of their own
//! image; the containers that need not be are held to more here (Kubernetes, Pod Security Standards).

use k8s_openapi::api::core::v1::{Container, PodSpec, SecurityContext};

/// What of a container is not *restricted*, each in words; nothing when all is.
#[must_use]
pub fn violations(pod: &PodSpec, container: &Container) -> Vec<String> {
    let context = container.security_context.clone().unwrap_or_default();
    let rules = [
        (shares_with_the_node(pod), "the pod shares a namespace with its node"),
        (has_host_files(pod), "a volume is neither an emptyDir nor projected by Kubernetes"),
        (has_host_ports(container), "a port of the node is taken"),
        (context.privileged == Some(true), "privileged"),
        (context.allow_privilege_escalation != Some(false), "privileges can be gained"),
        (may_be_root(pod, &context), "it may run as root"),
        (!drops_all(&context), "capabilities are not all dropped, or more than NET_BIND_SERVICE is added"),
        (!has_seccomp(pod, &context), "no seccomp profile"),
        (context.proc_mount.as_deref().is_some_and(|mount| mount != "Default"), "an unmasked /proc"),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, words)| format!("{}: {words}", container.name)).collect()
}

fn shares_with_the_node(pod: &PodSpec) -> bool {
    [pod.host_network, pod.host_pid, pod.host_ipc].contains(&Some(true))
}

fn has_host_files(pod: &PodSpec) -> bool {
    pod.volumes.iter().flatten().any(|volume| {
        let projected = volume.config_map.is_some() || volume.secret.is_some() || volume.projected.is_some();
        volume.empty_dir.is_none() && !projected && volume.downward_api.is_none()
    })
}

fn has_host_ports(container: &Container) -> bool {
    container.ports.iter().flatten().any(|port| port.host_port.is_some_and(|port| port != 0))
}

fn may_be_root(pod: &PodSpec, context: &SecurityContext) -> bool {
    let of_pod = pod.security_context.as_ref();
    let non_root = context.run_as_non_root.or(of_pod.and_then(|pod| pod.run_as_non_root));
    let user = context.run_as_user.or(of_pod.and_then(|pod| pod.run_as_user));
    non_root != Some(true) || user == Some(0)
}

fn drops_all(context: &SecurityContext) -> bool {
    let Some(capabilities) = &context.capabilities else { return false };
    let all = capabilities.drop.iter().flatten().any(|name| name == "ALL");
    all && capabilities.add.iter().flatten().all(|name| name == "NET_BIND_SERVICE")
}

fn has_seccomp(pod: &PodSpec, context: &SecurityContext) -> bool {
    let of_pod = pod.security_context.as_ref().and_then(|pod| pod.seccomp_profile.as_ref());
    let profile = context.seccomp_profile.as_ref().or(of_pod);
    profile.is_some_and(|profile| matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost"))
}
