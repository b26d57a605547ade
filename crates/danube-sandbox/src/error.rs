//! What can go wrong in the embedded runtime, in words.

use std::io;

use danube_core::runtime::{GroupFailure, RuntimeError};

/// Why the embedded runtime could not do something.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried, and on what.
        doing: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another process of the group (the keeper, a container before its program) reported a failure.
    #[error("{0}")]
    Reported(String),
    /// The machine lacks something; the words say what to do.
    #[error("{0}")]
    Machine(String),
    /// An image is missing, damaged or refused; the words say what to do.
    #[error("{0}")]
    Image(String),
    /// The request itself is refused; the words say what to do.
    #[error("{0}")]
    Config(String),
    /// There is no such group or container, or it runs no more.
    #[error("{0} is not running")]
    NotRunning(String),
}

impl SandboxError {
    /// The failure as data, for the verdict.
    #[must_use]
    pub fn kind(&self) -> GroupFailure {
        match self {
            Self::Image(_) => GroupFailure::Image,
            Self::Config(_) => GroupFailure::Config,
            Self::System { .. } | Self::Reported(_) | Self::Machine(_) | Self::NotRunning(_) => GroupFailure::Infra,
        }
    }
}

impl From<SandboxError> for RuntimeError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::NotRunning(what) => Self::NotRunning(what),
            other => Self::Refused { kind: other.kind(), message: other.to_string() },
        }
    }
}

/// Says what was being done when the operating system refused.
pub(crate) trait Doing<T> {
    /// Turns the refusal into an error that names the deed.
    fn doing<D: Into<String>>(self, deed: impl FnOnce() -> D) -> Result<T, SandboxError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing<D: Into<String>>(self, deed: impl FnOnce() -> D) -> Result<T, SandboxError> {
        self.map_err(|error| SandboxError::System { doing: deed().into(), source: error.into() })
    }
}
