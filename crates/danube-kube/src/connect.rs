//! The way to an API server: a kubeconfig, or the account that a pod is given.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Why no API server can be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoCluster(String);

/// Connects as a kubeconfig says; without one as `KUBECONFIG` or `~/.kube/config` says, or within a cluster as the pod's own
/// account. Nothing is sent yet.
///
/// # Errors
/// When none of these is there, or what it says cannot be read.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, NoCluster> {
    // Only the first one of a process is taken, and all are this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match kubeconfig {
        Some(path) => of_file(path).await?,
        None => Config::infer().await.map_err(|error| {
            NoCluster(format!("no kubeconfig and no account of a pod was found ({error}); say --kubeconfig FILE"))
        })?,
    };
    Client::try_from(config).map_err(|error| NoCluster(format!("the kubeconfig cannot be used: {error}")))
}

async fn of_file(path: &Path) -> Result<Config, NoCluster> {
    let wrong = |error: String| NoCluster(format!("{}: {error}", path.display()));
    let read = Kubeconfig::read_from(path).map_err(|error| wrong(error.to_string()))?;
    Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.map_err(|error| wrong(error.to_string()))
}
