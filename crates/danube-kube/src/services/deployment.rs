//! A service of one pod, held to Pod Security *restricted*.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, SecurityContext, Service, ServicePort, ServiceSpec, TCPSocketAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::object::{labels, meta};
use super::{Object, Services};
use crate::error::KubeError;
use crate::manifest::has_digest;

/// Whom it runs as.
const NOBODY: i64 = 65532;

/// What is particular about a service.
pub struct Program {
    pub app: &'static str,
    pub image: String,
    pub args: Vec<String>,
    pub port: u16,
    pub memory: &'static str,
    pub volumes: Vec<(Volume, VolumeMount)>,
}

/// The deployment and the name by which it is reached.
pub fn objects(program: Program, wanted: &Services) -> Result<[Object; 2], KubeError> {
    if !has_digest(&program.image) {
        return Err(KubeError::Image { container: program.app.to_owned(), image: program.image });
    }
    let service = service(&program, wanted);
    Ok([Object::of(&service), Object::of(&deployment(program, wanted))])
}

fn selector(app: &str) -> std::collections::BTreeMap<String, String> {
    [("app".to_owned(), app.to_owned())].into()
}

fn service(program: &Program, wanted: &Services) -> Service {
    let port = ServicePort { port: program.port.into(), protocol: Some("TCP".to_owned()), ..ServicePort::default() };
    Service {
        metadata: meta(program.app, Some(&wanted.system), wanted),
        spec: Some(ServiceSpec {
            selector: Some(selector(program.app)),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn deployment(program: Program, wanted: &Services) -> Deployment {
    let told = labels(wanted).into_iter().chain(selector(program.app)).collect();
    Deployment {
        metadata: meta(program.app, Some(&wanted.system), wanted),
        spec: Some(DeploymentSpec {
            replicas: Some(1),
            selector: LabelSelector { match_labels: Some(selector(program.app)), ..LabelSelector::default() },
            // Its volume can be in one place only.
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(told), ..ObjectMeta::default() }),
                spec: Some(pod(program)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod(program: Program) -> PodSpec {
    let (volumes, mounts): (Vec<Volume>, Vec<VolumeMount>) = program.volumes.into_iter().unzip();
    let listens = TCPSocketAction { port: IntOrString::Int(program.port.into()), host: None };
    let memory = || Some([("memory".to_owned(), Quantity(program.memory.to_owned()))].into());
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(NOBODY),
            run_as_group: Some(NOBODY),
            fs_group: Some(NOBODY),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            name: program.app.to_owned(),
            image: Some(program.image),
            args: Some(program.args),
            ports: Some(vec![ContainerPort {
                container_port: program.port.into(),
                protocol: Some("TCP".to_owned()),
                ..ContainerPort::default()
            }]),
            readiness_probe: Some(Probe { tcp_socket: Some(listens), period_seconds: Some(2), ..Probe::default() }),
            resources: Some(ResourceRequirements { limits: memory(), requests: memory(), claims: None }),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(mounts),
            ..Container::default()
        }],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}
