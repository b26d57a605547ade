//! What stops an engine. A job's own failure is not an error: it is a verdict.

/// Why the engine cannot go on with a job.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The database.
    #[error(transparent)]
    Store(#[from] danube_store::StoreError),
    /// A log.
    #[error(transparent)]
    Log(#[from] crate::logs::LogError),
    /// A secret cannot be hidden.
    #[error(transparent)]
    Mask(#[from] danube_core::mask::MaskError),
    /// The runtime, while removing what is left.
    #[error("cannot remove what is left of the job's containers: {0}. Run `danube doctor`; the next run tries again")]
    Runtime(#[from] danube_core::runtime::RuntimeError),
    /// A stored plan cannot be read.
    #[error("the stored plan of job {job} cannot be read: {source}. It was written by another version of Danube")]
    Plan {
        /// Which job.
        job: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The job is another engine's now.
    #[error(transparent)]
    Fenced(#[from] crate::shim::link::Fenced),
    /// A bug: a task of the job panicked.
    #[error("a task of the job died: {0}. This is a bug in Danube; the job can be resumed")]
    TaskDied(String),
}

impl EngineError {
    /// Whether only another start of Danube helps.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_broken())
    }

    /// Whether making room on the disk, and then trying again, helps.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Store(error) => error.is_full(),
            Self::Log(error) => error.is_full(),
            _ => false,
        }
    }
}
