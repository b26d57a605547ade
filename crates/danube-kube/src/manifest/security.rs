//! What a container may do.

use danube_core::runtime::Role;
use k8s_openapi::api::core::v1::{Capabilities, SeccompProfile, SecurityContext};

/// Who the coordinator and the installer of the shim are.
const NOBODY: i64 = 65532;
/// What a root step of somebody's image may hold, and the shim needs to start steps as another user. All of them are
/// within Pod Security *baseline*, and none reaches beyond the pod's own user namespace.
const WORKER: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The container runtime's own list of system calls.
pub fn seccomp() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}

/// The context of a container with this role.
pub fn of(role: Role) -> SecurityContext {
    match role {
        Role::Coordinator => nobody(),
        Role::Worker | Role::Service => image_user(),
    }
}

/// Pod Security *restricted*: it runs nothing but the shim and Python.
pub fn nobody() -> SecurityContext {
    SecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(NOBODY),
        run_as_group: Some(NOBODY),
        read_only_root_filesystem: Some(true),
        ..confined(&[])
    }
}

/// Whoever the image says, root too: the pod's ids are nobody's on the node.
fn image_user() -> SecurityContext {
    confined(&WORKER)
}

fn confined(capabilities: &[&str]) -> SecurityContext {
    let add: Vec<String> = capabilities.iter().map(|&name| name.to_owned()).collect();
    SecurityContext {
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: Some(add).filter(|add| !add.is_empty()),
        }),
        seccomp_profile: Some(seccomp()),
        ..SecurityContext::default()
    }
}
