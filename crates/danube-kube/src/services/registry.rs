//! A registry for the images that jobs build. It speaks TLS and knows its users; both come from Secrets that the operator
//! makes, so that no key and no password is ever in what Danube writes.

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, EmptyDirVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::network::{Doors, of_service};
use super::object::meta;
use super::{Object, Registry, Services, deployment};
use crate::error::KubeError;

const APP: &str = "registry";
const PORT: u16 = 5000;
/// Secrets of the operator's: a certificate with its key (`tls.crt`, `tls.key`), and users (`htpasswd`, by bcrypt).
const CERTIFICATE: &str = "registry-tls";
const USERS: &str = "registry-users";

const CONFIG: &str = "\
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: /var/lib/registry}
  delete: {enabled: true}
http:
  addr: :5000
  tls: {certificate: /etc/danube/tls/tls.crt, key: /etc/danube/tls/tls.key, minimumtls: tls1.2}
auth:
  htpasswd: {realm: danube, path: /etc/danube/users/htpasswd}
";

pub fn objects(wanted: &Services, registry: &Registry) -> Result<Vec<Object>, KubeError> {
    let mut made =
        of_service(APP, &Doors { incoming: Some((PORT, Some(wanted.jobs.clone()))), outgoing: Vec::new() }, wanted);
    made.push(Object::of(&ConfigMap {
        metadata: meta(APP, Some(&wanted.system), wanted),
        data: Some([("config.yml".to_owned(), CONFIG.to_owned())].into()),
        ..ConfigMap::default()
    }));
    made.extend(registry.storage.as_ref().map(|size| claim(size, wanted)));
    let program = deployment::Program {
        app: APP,
        image: registry.image.clone(),
        args: vec!["/etc/danube/config/config.yml".to_owned()],
        port: PORT,
        memory: "256Mi",
        volumes: volumes(registry),
    };
    made.extend(deployment::objects(program, wanted)?);
    Ok(made)
}

fn claim(size: &str, wanted: &Services) -> Object {
    let requests = Some([("storage".to_owned(), Quantity(size.to_owned()))].into());
    Object::of(&PersistentVolumeClaim {
        metadata: meta(APP, Some(&wanted.system), wanted),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements { requests, limits: None }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

fn volumes(registry: &Registry) -> Vec<(Volume, VolumeMount)> {
    let named = |name: &str| Volume { name: name.to_owned(), ..Volume::default() };
    let config = ConfigMapVolumeSource { name: APP.to_owned(), ..ConfigMapVolumeSource::default() };
    let secret =
        |name: &str| SecretVolumeSource { secret_name: Some(name.to_owned()), ..SecretVolumeSource::default() };
    let claimed = PersistentVolumeClaimVolumeSource { claim_name: APP.to_owned(), read_only: None };
    let data = match registry.storage {
        Some(_) => Volume { persistent_volume_claim: Some(claimed), ..named("data") },
        None => Volume { empty_dir: Some(EmptyDirVolumeSource::default()), ..named("data") },
    };
    vec![
        (Volume { config_map: Some(config), ..named("config") }, seen("config", "/etc/danube/config")),
        (Volume { secret: Some(secret(CERTIFICATE)), ..named("tls") }, seen("tls", "/etc/danube/tls")),
        (Volume { secret: Some(secret(USERS)), ..named("users") }, seen("users", "/etc/danube/users")),
        (data, VolumeMount { read_only: None, ..seen("data", "/var/lib/registry") }),
    ]
}

/// Read-only.
pub fn seen(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}
