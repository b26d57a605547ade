//! What the programs of a job call what the engine gives them: the same names in every container, the real ones where
//! there are no mounts.

use std::path::PathBuf;

use danube_core::id::ContainerName;

use crate::config::SandboxConfig;
use crate::group::folder::GroupFolder;

/// Paths as programs of the job see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPaths {
    /// The folder that all steps share.
    pub workspace: PathBuf,
    /// Where the SDK's runner finds `ctx`.
    pub context: PathBuf,
    /// The SDK.
    pub sdk: PathBuf,
}

impl JobPaths {
    /// Within a container.
    #[must_use]
    pub fn inside() -> Self {
        Self { workspace: "/workspace".into(), context: "/danube/context.json".into(), sdk: "/danube/sdk".into() }
    }

    pub(crate) fn plain(folder: &GroupFolder, config: &SandboxConfig) -> Self {
        let coordinator = folder.container(&ContainerName::coordinator());
        Self {
            workspace: folder.workspace(),
            context: coordinator.danube().join("context.json"),
            sdk: config.sdk.clone().unwrap_or_default(),
        }
    }
}
