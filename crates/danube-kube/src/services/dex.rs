//! A Dex for log-ins. Its configuration names its connectors, and their keys: it is a Secret of the operator's
//! (`dex-config`, key `config.yaml`), which Danube only mounts.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, SecretVolumeSource, Volume, VolumeMount};

use super::network::{Doors, of_service};
use super::registry::seen;
use super::{Object, Services, deployment};
use crate::error::KubeError;

const APP: &str = "dex";
const PORT: u16 = 5556;
const CONFIG: &str = "dex-config";
/// Look-ups, and the connectors: OIDC and forges, LDAP over TLS.
const OUTGOING: [(u16, &str); 4] = [(53, "UDP"), (53, "TCP"), (443, "TCP"), (636, "TCP")];

pub fn objects(wanted: &Services, image: &str) -> Result<Vec<Object>, KubeError> {
    let doors = Doors { incoming: Some((PORT, None)), outgoing: OUTGOING.into() };
    let mut made = of_service(APP, &doors, wanted);
    let config = SecretVolumeSource { secret_name: Some(CONFIG.to_owned()), ..SecretVolumeSource::default() };
    let config = Volume { name: "config".to_owned(), secret: Some(config), ..Volume::default() };
    let data =
        Volume { name: "data".to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
    let program = deployment::Program {
        app: APP,
        image: image.to_owned(),
        args: ["dex", "serve", "/etc/danube/config/config.yaml"].map(str::to_owned).into(),
        port: PORT,
        memory: "128Mi",
        volumes: vec![
            (config, seen("config", "/etc/danube/config")),
            (data, VolumeMount { read_only: None, ..seen("data", "/var/dex") }),
        ],
    };
    made.extend(deployment::objects(program, wanted)?);
    Ok(made)
}
