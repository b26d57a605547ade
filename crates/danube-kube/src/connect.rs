//! The way to the API server: a kubeconfig, or the account of the pod that Danube itself runs in.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cluster::Kubernetes;
use crate::settings::Settings;

/// Limits of a whole pod, which containers that are added later live in, are there from this minor version on.
const POD_RESOURCES: u32 = 34;

/// Which cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A file as kubectl has it; without one this process is in a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of the file; without one its own choice.
    pub context: Option<String>,
}

/// Why there is no way to the cluster. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file cannot be read, or says what nobody understands.
    #[error("{}: {why}", path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No file was named, and this is no pod.
    #[error("no kubeconfig is named, and this is no pod of a cluster ({0}): name one, kubernetes.kubeconfig = \"/…\"")]
    NoPod(String),
    /// No file was named, none is where kubectl looks, and this is no pod.
    #[error("no kubeconfig and no account of a pod was found ({0}); say --kubeconfig FILE")]
    Nowhere(String),
    /// It does not answer, or not as an API server does.
    #[error("the cluster at {url} cannot be used: {why}")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        why: String,
    },
}

impl Kubernetes {
    /// Finds the cluster and asks it which version it is, which decides about pods' own limits.
    ///
    /// # Errors
    /// When there is no way to it, or it does not answer.
    pub async fn connect(access: &Access, settings: Settings) -> Result<Self, ConnectError> {
        let config = access.config().await?;
        let url = config.cluster_url.to_string();
        let unreachable = |why: String| ConnectError::Unreachable { url: url.clone(), why };
        let client = client(&config)?;
        let version = client.apiserver_version().await.map_err(|error| unreachable(error.to_string()))?;
        let pod_resources = settings.pod_resources && has_pod_resources(&version.major, &version.minor);
        tracing::info!("the cluster at {url} is Kubernetes {}", version.git_version);
        Ok(Self::new(client, Settings { pod_resources, ..settings }))
    }
}

/// A client for somebody who types: without a file as kubectl finds one (`KUBECONFIG`, `~/.kube/config`), or as a pod's
/// account. Nothing is sent yet.
///
/// # Errors
/// When none of these is there, or what it says cannot be read.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let config = match kubeconfig {
        Some(path) => read(path, &KubeConfigOptions::default()).await?,
        None => Config::infer().await.map_err(|error| ConnectError::Nowhere(error.to_string()))?,
    };
    client(&config)
}

fn client(config: &Config) -> Result<Client, ConnectError> {
    let unusable = |why: String| ConnectError::Unreachable { url: config.cluster_url.to_string(), why };
    if config.proxy_url.is_some() {
        return Err(unusable("the kubeconfig names a proxy (proxy-url), which Danube cannot use".to_owned()));
    }
    crate::client::client(config).map_err(|error| unusable(error.to_string()))
}

async fn read(path: &Path, options: &KubeConfigOptions) -> Result<Config, ConnectError> {
    let wrong = |why: String| ConnectError::Kubeconfig { path: path.to_owned(), why };
    let file = Kubeconfig::read_from(path).map_err(|error| wrong(error.to_string()))?;
    Config::from_custom_kubeconfig(file, options).await.map_err(|error| wrong(error.to_string()))
}

impl Access {
    /// A client for what a server was told. Nothing is sent yet.
    ///
    /// # Errors
    /// When what it was told is not there, or cannot be read.
    pub async fn client(&self) -> Result<Client, ConnectError> {
        client(&self.config().await?)
    }

    async fn config(&self) -> Result<Config, ConnectError> {
        let Some(path) = &self.kubeconfig else {
            return Config::incluster().map_err(|error| ConnectError::NoPod(error.to_string()));
        };
        private(path).map_err(|why| ConnectError::Kubeconfig { path: path.clone(), why })?;
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        read(path, &options).await
    }
}

/// It holds a key to the cluster: nobody else may read it.
fn private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).map_err(|error| error.to_string())?.mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(format!("others can read it: chmod 600 {}", path.display())) }
}

/// Some clusters write `34+`.
fn has_pod_resources(major: &str, minor: &str) -> bool {
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    major == "1" && minor.parse().is_ok_and(|minor: u32| minor >= POD_RESOURCES)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_version_says_whether_pods_have_limits_of_their_own() {
        assert!(has_pod_resources("1", "34") && has_pod_resources("1", "35+"));
        assert!(!has_pod_resources("1", "33") && !has_pod_resources("1", "") && !has_pod_resources("2", "34"));
    }

    #[tokio::test]
    async fn a_key_to_the_cluster_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("kubeconfig");
        let access = Access { kubeconfig: Some(path.clone()), context: None };
        let said = access.config().await.expect_err("missing").to_string();
        assert!(said.contains("kubeconfig: "), "{said}");
        std::fs::write(&path, "apiVersion: v1\nkind: Config\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        let said = access.config().await.expect_err("open").to_string();
        assert!(said.contains("chmod 600"), "{said}");
    }
}
