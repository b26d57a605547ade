//! Which pipelines wish for pods ahead, and of which shape: as their last job had it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use danube_core::egress::EgressPolicy;
use danube_core::runtime::GroupSpec;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::KubeError;
use crate::settings::Settings;
use crate::{manifest, names};

/// A pipeline that nobody ran for so long has no pods made ahead: its next job brings them back.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

/// A pipeline's wish.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What is to be made.
    pub pod: Pod,
    /// How many; none is a wish too.
    pub count: usize,
    /// Which names it may reach: what must be in force before there is such a pod.
    pub egress: EgressPolicy,
    since: Instant,
}

impl Wish {
    /// That for more like this group.
    ///
    /// # Errors
    /// When the group cannot be a pod.
    pub fn of(spec: &GroupSpec, settings: &Settings) -> Result<Self, KubeError> {
        let count = usize::try_from(spec.warm).unwrap_or(usize::MAX);
        Ok(Self { pod: manifest::ahead(spec, settings)?, count, egress: spec.egress.clone(), since: Instant::now() })
    }
}

/// The wishes, by the pipelines' labels.
#[derive(Debug, Default)]
pub struct Wishes {
    wishes: Mutex<BTreeMap<String, Wish>>,
    changed: Notify,
}

impl Wishes {
    /// A job of a pipeline begins. One that wishes for none and never did is not remembered.
    pub fn see(&self, spec: &GroupSpec, settings: &Settings) {
        let Ok(wish) = Wish::of(spec, settings) else { return };
        let pipeline = names::label(&spec.pipeline);
        let mut wishes = self.wishes();
        if wish.count > 0 || wishes.contains_key(&pipeline) {
            wishes.insert(pipeline, wish);
            self.changed.notify_one();
        }
    }

    /// Comes when a job has begun that changes something.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Forgets pipelines that nobody runs.
    pub fn forget_old(&self) {
        self.wishes().retain(|_, wish| wish.since.elapsed() < FORGOTTEN);
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, Wish> {
        self.wishes().clone()
    }

    fn wishes(&self) -> MutexGuard<'_, BTreeMap<String, Wish>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
