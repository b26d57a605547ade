//! What can go wrong between Danube and a cluster.

use danube_core::runtime::GroupFailure;

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
            Self::Egress(_) | Self::Policy(_) => GroupFailure::Config,
            Self::Prepared(_) | Self::Coordinators(_) => GroupFailure::Infra,
        }
    }
}
