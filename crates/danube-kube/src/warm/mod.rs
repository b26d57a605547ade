//! Pods that are made ahead of their jobs: for pipelines that wish for them, of the shape that their last job had. Each is
//! used once, by a job of its own pipeline and shape. Which there are is the cluster's to know: a master that starts finds
//! those of the one before it. Into each that runs there are streams already, which its job goes on with.

use std::convert::Infallible;
use std::time::Duration;

use danube_core::runtime::{GroupSpec, RuntimeError};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use tokio::time::timeout;

use crate::cluster::Kubernetes;
use crate::error::{refused, said};
use crate::known::Known;
use crate::{manifest, names};

mod due;
mod lines;
mod wishes;

pub use lines::Lines;
pub use wishes::Wishes;

/// So often is looked whether one is missing, or of no use any more.
const LOOK: Duration = Duration::from_secs(60);
/// So soon while something was; then ever later.
const SOON: Duration = Duration::from_secs(1);
/// So long after a job began is another one made: that job's own start comes first.
const QUIET: Duration = Duration::from_secs(2);

impl Kubernetes {
    /// Those that were made ahead and this group can become, the readiest first.
    pub(crate) async fn ahead_of(&self, spec: &GroupSpec) -> Result<Vec<Pod>, RuntimeError> {
        if spec.warm == 0 {
            return Ok(Vec::new());
        }
        let wanted = manifest::ahead(spec, self.settings()).map_err(refused)?;
        let shape = wanted.labels().get(names::WARM).cloned().unwrap_or_default();
        Ok(due::usable(self.made_ahead(&format!("{}={shape}", names::WARM)).await?, Timestamp::now()))
    }

    /// Makes one of these this group's. False when none is any more.
    pub(crate) async fn take(&self, ahead: Vec<Pod>, spec: &GroupSpec) -> Result<bool, RuntimeError> {
        let (settings, now) = (self.settings(), Timestamp::now());
        for pod in ahead {
            let change = Patch::Merge(manifest::taken(&pod, spec, settings, now));
            match self.pods().patch(&pod.name_any(), &PatchParams::default(), &change).await {
                Ok(taken) => {
                    self.known().note(&spec.attempt, &Known::of(&taken));
                    self.known().keep(&spec.attempt, self.lines().take(&taken));
                    return Ok(true);
                }
                // It is gone, or was written in between; or this account may not: then its own pod is made.
                Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
                    tracing::warn!(pod = pod.name_any(), %status, "a pod that was made ahead is not taken");
                }
                Err(error) => return Err(said("take a pod that was made ahead", &error)),
            }
        }
        Ok(false)
    }

    /// Keeps pods ready for the jobs to come, for as long as it is polled.
    pub async fn keep_warm(&self) -> Infallible {
        let mut pause = SOON;
        loop {
            if timeout(pause, self.wishes().changed()).await.is_ok() {
                pause = SOON;
                tokio::time::sleep(QUIET).await;
            } else {
                pause = LOOK.min(pause * 2);
                self.wishes().forget_old();
            }
            match self.warm_up().await {
                Ok(true) => pause = LOOK,
                Ok(false) => {}
                // Jobs run without as well.
                Err(error) => tracing::warn!(%error, "no pod is made ahead of the next job"),
            }
        }
    }

    /// Whether all was there and ready.
    async fn warm_up(&self) -> Result<bool, RuntimeError> {
        let wishes = self.wishes().all();
        let there = self.made_ahead(names::WARM).await?;
        let due = due::of(&there, &wishes, Timestamp::now());
        for pod in &due.remove {
            remove(&self.pods(), pod).await?;
        }
        let is_whole = due.make.is_empty();
        for wish in due.make {
            self.hold(&wish.egress).await?;
            let mut pod = wish.pod.clone();
            pod.metadata.generate_name = Some("danube-warm-".to_owned());
            let made = self.pods().create(&PostParams::default(), &pod).await;
            made.map_err(|error| said("make a pod ahead", &error))?;
        }
        Ok(self.lines().keep(&self.pods(), &due.keep).await && is_whole)
    }

    /// Those of this instance that are nobody's yet.
    async fn made_ahead(&self, selector: &str) -> Result<Vec<Pod>, RuntimeError> {
        let ours = format!("{}={},{selector}", names::INSTANCE, names::label(&self.settings().instance));
        let pods = self.pods().list(&ListParams::default().labels(&ours)).await;
        pods.map(|pods| pods.items).map_err(|error| said("list the pods that were made ahead", &error))
    }
}

/// Removes one, unless it became a job's since it was seen.
async fn remove(pods: &Api<Pod>, pod: &Pod) -> Result<(), RuntimeError> {
    let as_seen = Preconditions { uid: pod.uid(), resource_version: pod.resource_version() };
    let how = DeleteParams { preconditions: Some(as_seen), ..DeleteParams::default() };
    match pods.delete(&pod.name_any(), &how).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        Err(error) => Err(said("remove a pod that was made ahead", &error)),
    }
}
