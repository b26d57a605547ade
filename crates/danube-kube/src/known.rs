//! Which pod is an attempt's, for as long as this master works with it: asked once, since a stream is opened often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use danube_core::id::{AttemptId, ContainerName};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::exec::ExecStream;
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

/// What is known of an attempt's pod.
#[derive(Debug)]
struct Entry {
    known: Known,
    /// Those of its containers that were seen to run.
    ran: BTreeSet<ContainerName>,
    /// Streams that were opened before the pod was the attempt's.
    streams: BTreeMap<ContainerName, ExecStream>,
}

/// The pods that are known. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Pods(Arc<Mutex<BTreeMap<AttemptId, Entry>>>);

impl Pods {
    /// Remembers an attempt's.
    pub fn note(&self, attempt: &AttemptId, known: &Known) {
        let entry = || Entry { known: known.clone(), ran: BTreeSet::new(), streams: BTreeMap::new() };
        self.all().entry(attempt.clone()).and_modify(|entry| entry.known = known.clone()).or_insert_with(entry);
    }

    /// Remembers that one of its containers runs, or did.
    pub fn note_running(&self, attempt: &AttemptId, container: &ContainerName) {
        if let Some(entry) = self.all().get_mut(attempt) {
            entry.ran.insert(container.clone());
        }
    }

    /// Whether that was seen.
    pub fn has_run(&self, attempt: &AttemptId, container: &ContainerName) -> bool {
        self.all().get(attempt).is_some_and(|entry| entry.ran.contains(container))
    }

    /// Keeps streams into an attempt's pod until they are asked for.
    pub fn keep(&self, attempt: &AttemptId, streams: BTreeMap<ContainerName, ExecStream>) {
        if let Some(entry) = self.all().get_mut(attempt) {
            entry.ran.extend(streams.keys().cloned());
            entry.streams = streams;
        }
    }

    /// One of those, once.
    pub fn stream(&self, attempt: &AttemptId, container: &ContainerName) -> Option<ExecStream> {
        self.all().get_mut(attempt)?.streams.remove(container)
    }

    /// An attempt's.
    pub fn get(&self, attempt: &AttemptId) -> Option<Known> {
        self.all().get(attempt).map(|entry| entry.known.clone())
    }

    /// Forgets an attempt's.
    pub fn forget(&self, attempt: &AttemptId) {
        self.all().remove(attempt);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
