//! What can go wrong with a registry, in words that say what to do.

use std::path::PathBuf;

/// Why an image cannot be brought from a registry. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// What the user wrote names no image.
    #[error(
        "{text:?} names no image: {why}. A reference is [HOST[:PORT]/]NAME[:TAG] or NAME@sha256:DIGEST; an image on this machine is oci:DIR or tar:FILE"
    )]
    Reference {
        /// What the user wrote.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The registry does not have it, or does not say that it has it.
    #[error(
        "{host} does not have it{said}: look at its name and tag; a private image needs `docker login {host}` first"
    )]
    NotFound {
        /// The registry.
        host: String,
        /// What the registry said.
        said: String,
    },
    /// The registry gives it to others only.
    #[error("{host} gives no access to it{said}: {hint}")]
    NoAccess {
        /// The registry.
        host: String,
        /// What the registry said.
        said: String,
        /// What to do.
        hint: String,
    },
    /// Too much was asked for.
    #[error(
        "{host} limits how much may be pulled, and the limit is reached{said}: try again later, or log in with `docker login {host}`, which often raises it"
    )]
    RateLimited {
        /// The registry.
        host: String,
        /// What the registry said.
        said: String,
    },
    /// There is no way to the registry.
    #[error(
        "{host} cannot be reached: {why}. Look at the network and its proxy settings (HTTPS_PROXY, NO_PROXY), or use an image on this machine (--image NAME=oci:DIR or tar:FILE)"
    )]
    Unreachable {
        /// The registry, or where it pointed to.
        host: String,
        /// Why.
        why: String,
    },
    /// The registry fails.
    #[error("{host} answers {status}{said}, also when asked again: try again later")]
    Failing {
        /// The registry.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What the registry said.
        said: String,
    },
    /// The registry does not keep to the protocol.
    #[error("{host} answers what no registry answers: {why}")]
    Strange {
        /// The registry.
        host: String,
        /// What is strange.
        why: String,
    },
    /// Somebody in between could read and change everything.
    #[error(
        "{url} is refused: only this machine itself is spoken to without TLS, and nobody may send Danube there from elsewhere"
    )]
    Insecure {
        /// Where the request would have gone.
        url: String,
    },
    /// What `docker login` wrote cannot be read.
    #[error("cannot read the passwords of registries in {}: {why}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The job was stopped.
    #[error("the job was stopped while the image was pulled")]
    Stopped,
}

impl RegistryError {
    /// What happened, for a note beside the next try.
    pub(super) fn short(&self) -> String {
        match self {
            Self::Unreachable { host, why } => format!("{host} cannot be reached: {why}"),
            Self::Failing { host, status, said } => format!("{host} answers {status}{said}"),
            Self::RateLimited { host, said } => format!("{host} limits how much may be pulled{said}"),
            other => other.to_string(),
        }
    }
}
