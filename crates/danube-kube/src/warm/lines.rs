//! Streams into pods that are nobody's yet: a job that takes such a pod finds its containers connected. A shim that was told
//! nothing yet says every few seconds that it is there, so that a stream that leads nowhere any more is known for what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use danube_core::id::ContainerName;
use danube_core::runtime::HEARTBEAT;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use crate::exec::{self, ExecStream};
use crate::manifest;

/// A stream to a shim that waits.
#[derive(Debug)]
struct Line {
    stream: ExecStream,
    since: Instant,
    heard: u64,
}

impl Line {
    /// Whether its shim was heard of as often as it must have been; once may be on its way.
    fn is_alive(&mut self) -> bool {
        let Some(more) = self.stream.greetings() else { return false };
        self.heard += more;
        is_enough(self.heard, self.since.elapsed().as_secs())
    }
}

fn is_enough(heard: u64, seconds: u64) -> bool {
    heard > 0 && heard >= seconds / HEARTBEAT.as_secs()
}

/// By the pods' UIDs.
type All = BTreeMap<String, BTreeMap<ContainerName, Line>>;

/// The streams that are open.
#[derive(Debug, Default)]
pub struct Lines(Mutex<All>);

impl Lines {
    /// Opens what is missing, and lets go of what leads nowhere. Whether every one of these pods has all of its streams.
    pub async fn keep(&self, pods: &Api<Pod>, ahead: &[&Pod]) -> bool {
        let known: BTreeSet<String> = ahead.iter().filter_map(|pod| pod.uid()).collect();
        self.all().retain(|uid, _| known.contains(uid));
        let opened = ahead.iter().map(|pod| self.connect(pods, pod));
        futures_util::future::join_all(opened).await.into_iter().all(|is_whole| is_whole)
    }

    async fn connect(&self, pods: &Api<Pod>, pod: &Pod) -> bool {
        let uid = pod.uid().unwrap_or_default();
        let missing: Vec<ContainerName> = manifest::waiting(pod).filter(|name| !self.has(&uid, name)).collect();
        if !missing.is_empty() && !runs(pod) {
            return false;
        }
        let opened = missing.into_iter().map(|name| self.open(pods, pod, &uid, name));
        futures_util::future::join_all(opened).await.into_iter().all(|is_open| is_open)
    }

    async fn open(&self, pods: &Api<Pod>, pod: &Pod, uid: &str, container: ContainerName) -> bool {
        match exec::open(pods, &pod.name_any(), container.as_str()).await {
            Ok(stream) => {
                let line = Line { stream, since: Instant::now(), heard: 0 };
                self.all().entry(uid.to_owned()).or_default().insert(container, line);
                true
            }
            // A job that takes the pod opens its own.
            Err(error) => {
                tracing::debug!(pod = pod.name_any(), %container, %error, "no stream ahead");
                false
            }
        }
    }

    fn has(&self, uid: &str, container: &ContainerName) -> bool {
        let mut all = self.all();
        let Some(lines) = all.get_mut(uid) else { return false };
        let is_alive = lines.get_mut(container).is_some_and(Line::is_alive);
        if !is_alive {
            lines.remove(container);
        }
        is_alive
    }

    /// Those into a pod that was taken.
    pub fn take(&self, pod: &Pod) -> BTreeMap<ContainerName, ExecStream> {
        let lines = pod.uid().and_then(|uid| self.all().remove(&uid)).unwrap_or_default();
        let alive = lines.into_iter().filter_map(|(name, mut line)| line.is_alive().then_some((name, line.stream)));
        alive.collect()
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all of its containers do: an exec in one that does not ends at once.
fn runs(pod: &Pod) -> bool {
    let all = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    all > 0 && statuses.filter(|one| one.state.as_ref().is_some_and(|state| state.running.is_some())).count() == all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_whose_shim_is_not_heard_of_is_not_used() {
        let beat = HEARTBEAT.as_secs();
        assert!(!is_enough(0, 0), "nobody has ever been heard of");
        assert!(is_enough(1, 0) && is_enough(1, beat) && is_enough(2, 2 * beat));
        assert!(!is_enough(1, 2 * beat) && !is_enough(9, 10 * beat));
    }
}
