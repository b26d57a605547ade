//! What can go wrong between Danube and a cluster.

use danube_core::runtime::{GroupFailure, RuntimeError};

/// Why a group cannot be made on this cluster.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum KubeError {
    /// An image is not named by its digest.
    #[error(
        "the container {container} wants the image `{image}`; a pod runs an image of a registry by its digest, as in \
         `registry.example/app@sha256:…`"
    )]
    Image {
        /// Whose image it is.
        container: String,
        /// As it was named.
        image: String,
    },
    /// Something that only the embedded runtime has.
    #[error("{0} cannot be handed to a pod: its files come over the containers' streams")]
    Prepared(&'static str),
    /// A group without a coordinator, or with two.
    #[error("a pod has one coordinator; this group has {0}")]
    Coordinators(usize),
    /// The network of a job can only be closed, or open to named hosts.
    #[error("a cluster holds a job to a list of names; `{0}` is for `danube run` and `danube dev`")]
    Egress(&'static str),
    /// All places for containers that are added to a running pod are taken.
    #[error(
        "the container {container} (`{image}`) would be the ninth that is added while the job runs, and a pod has places \
         for eight; name the images that are known before the start: @pipeline(images=[…])"
    )]
    Places {
        /// Which one.
        container: String,
        /// Its image.
        image: String,
    },
    /// The cluster knows no policies by name.
    #[error(
        "the cluster has no Cilium network policies, so nothing would hold a job to its list of names; install Cilium, or \
         say `egress.enforcement: off`"
    )]
    NoPolicies,
    /// A pod has the name, and was not made for this attempt.
    #[error("a pod named {0} is there already, and Danube did not make it")]
    Foreign(String),
    /// A policy would not do what its list says.
    #[error("the policy of these names is refused: {0}")]
    Policy(String),
}

impl KubeError {
    /// What kind of a failure it is for the job.
    #[must_use]
    pub const fn kind(&self) -> GroupFailure {
        match self {
            Self::Image { .. } => GroupFailure::Image,
            Self::Egress(_) | Self::Policy(_) | Self::Places { .. } => GroupFailure::Config,
            Self::Prepared(_) | Self::Coordinators(_) | Self::Foreign(_) | Self::NoPolicies => GroupFailure::Infra,
        }
    }
}

/// Asking again would not help.
pub(crate) fn refused(error: KubeError) -> RuntimeError {
    RuntimeError::Refused { kind: error.kind(), message: error.to_string() }
}

/// What the API server said, for whoever did this. What is not the request's own fault may go away by itself.
pub(crate) fn said(doing: &str, error: &kube::Error) -> RuntimeError {
    let message = format!("{doing}: {error}");
    match error {
        kube::Error::Api(status) if (400..500).contains(&status.code) && ![408, 409, 429].contains(&status.code) => {
            RuntimeError::Refused { kind: GroupFailure::Infra, message }
        }
        _ => RuntimeError::Transient(message),
    }
}
