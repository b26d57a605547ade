//! Which pod is an attempt's, for as long as this master works with it: asked once, since a stream is opened often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danube_core::id::{AttemptId, ContainerName};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::{manifest, names};

/// A pod, and how its shims are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// What a stream to some of its containers must begin with: a line for their shims, which were started ahead.
    introduction: Option<(BTreeSet<ContainerName>, String)>,
}

impl Known {
    /// Reads it off the pod.
    pub fn of(pod: &Pod) -> Self {
        let line = pod.annotations().get(names::ASSIGNED).map(|told| format!("{told}\n"));
        Self { name: pod.name_any(), introduction: line.map(|line| (manifest::waiting(pod).collect(), line)) }
    }

    /// What a stream to this container must begin with.
    pub fn introduction(&self, container: &ContainerName) -> Option<&str> {
        let (waiting, line) = self.introduction.as_ref()?;
        waiting.contains(container).then_some(line.as_str())
    }
}

/// An attempt's pod, and which of its containers were seen to run.
type Entries = BTreeMap<AttemptId, (Known, BTreeSet<ContainerName>)>;

/// The pods that are known. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Pods(Arc<Mutex<Entries>>);

impl Pods {
    /// Remembers an attempt's.
    pub fn note(&self, attempt: &AttemptId, known: &Known) {
        let mut all = self.all();
        let ran = all.remove(attempt).map(|(_, ran)| ran).unwrap_or_default();
        all.insert(attempt.clone(), (known.clone(), ran));
    }

    /// Remembers that one of its containers runs, or did.
    pub fn note_running(&self, attempt: &AttemptId, container: &ContainerName) {
        if let Some((_, ran)) = self.all().get_mut(attempt) {
            ran.insert(container.clone());
        }
    }

    /// Whether that was seen.
    pub fn has_run(&self, attempt: &AttemptId, container: &ContainerName) -> bool {
        self.all().get(attempt).is_some_and(|(_, ran)| ran.contains(container))
    }

    /// An attempt's.
    pub fn get(&self, attempt: &AttemptId) -> Option<Known> {
        self.all().get(attempt).map(|(known, _)| known.clone())
    }

    /// Forgets an attempt's.
    pub fn forget(&self, attempt: &AttemptId) {
        self.all().remove(attempt);
    }

    fn all(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
