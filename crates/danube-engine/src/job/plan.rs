//! Everything known about a job before it starts. It is stored with the job's row, so that another engine on the same
//! data directory can go on with it; it holds no secret.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use danube_core::id::{ContainerName, StepId};
use danube_core::retry::Retries;
use danube_core::runtime::{GroupSpec, ImageSource, Resources};
use danube_proto::mailbox::Context;
use serde::{Deserialize, Serialize};

use super::delivery::Delivery;
use super::isolation::Demand;

/// Containers that may be added for images, and services, computed at run time (design: the eight prepared places of a pod).
pub const COMPUTED_IMAGES: usize = 8;

/// A job, ready to be run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Its containers, workspace and network.
    pub group: GroupSpec,
    /// What the danubefile sees as `ctx`.
    pub context: Context,
    /// How the SDK's runner is started in the coordinator.
    pub runner: Runner,
    /// After this long `JobTimeout` is raised in the danubefile.
    pub timeout: Duration,
    /// What `finally` and `except` have after that.
    pub cleanup_timeout: Duration,
    /// What a step without `image=` runs in.
    pub default_image: String,
    /// Images by the name the danubefile uses, and the container each has from the start.
    pub images: BTreeMap<String, ContainerName>,
    /// The containers that are made with the job for services, each with its image as the danubefile names it.
    #[serde(default)]
    pub services: BTreeMap<ContainerName, String>,
    /// Where images come from that the danubefile may name at run time (`--image name=…`).
    pub sources: BTreeMap<String, ImageSource>,
    /// The folder that relative paths of images computed at run time start at.
    #[serde(default)]
    pub base: PathBuf,
    /// Names of the secrets it was given; whoever goes on with it must give them again.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Limits of containers that are added at run time.
    pub resources: Resources,
    /// Files that travel over the containers' streams, where the runtime takes over no folder.
    #[serde(default)]
    pub delivery: Option<Delivery>,
    /// What is asked of its containers' isolation.
    #[serde(default)]
    pub isolation: Demand,
    /// How often it may be tried again.
    #[serde(default)]
    pub retries: Retries,
}

/// The SDK's runner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Runner {
    /// Its id among the coordinator's steps.
    pub step_id: StepId,
    /// The interpreter and its arguments.
    pub argv: Vec<String>,
    /// Where it finds `ctx`.
    pub context: String,
}

impl Plan {
    /// Where an image that the danubefile names comes from.
    #[must_use]
    pub fn source(&self, image: &str) -> ImageSource {
        self.sources.get(image).cloned().unwrap_or_else(|| ImageSource::parse(image).based_on(&self.base))
    }

    /// Whether its files can be had again just as they were: changes that are in no commit are kept nowhere.
    #[must_use]
    pub const fn is_of_a_commit(&self) -> bool {
        self.context.commit_sha.is_some() && !self.context.dirty
    }
}
