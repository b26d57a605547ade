//! Following a pod from outside: watched with relist, and matched by UID, so that a pod of the same name is never taken
//! for it. Trouble that lasts (an image that cannot be pulled, no node that has room) becomes a failure after a grace.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use danube_core::id::ContainerName;
use danube_core::runtime::{ContainerState, GroupEvent, GroupFailure};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::patience::Pauses;
use crate::standing::{self, Trouble};

/// Events that a slow watcher may leave lying before the follower waits for it.
const AHEAD: usize = 64;

/// How long trouble may last.
#[derive(Clone, Copy, Debug)]
pub struct Graces {
    /// An image that cannot be pulled.
    pub image: Duration,
    /// No node that can take the pod, or a container that cannot be made.
    pub node: Duration,
}

/// The events of one pod; ends after [`GroupEvent::Gone`]. Dropping it ends the following.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<GroupEvent>,
    task: tokio::task::JoinHandle<()>,
}

impl futures_core::Stream for Events {
    type Item = GroupEvent;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<GroupEvent>> {
        self.receiver.poll_recv(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows the pod that a selector of labels selects. Must be called within a tokio runtime.
#[must_use]
pub fn follow(pods: Api<Pod>, selector: &str, graces: Graces) -> Events {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let follower = Follower { sender, graces, uid: None, told: BTreeMap::new(), trouble: None, has_failed: false };
    let wanted = watcher::Config::default().labels(selector);
    let task = tokio::spawn(follower.run(pods, wanted));
    Events { receiver, task }
}

struct Follower {
    sender: mpsc::Sender<GroupEvent>,
    graces: Graces,
    /// The pod that is followed, once it was seen.
    uid: Option<String>,
    told: BTreeMap<ContainerName, ContainerState>,
    trouble: Option<(Instant, Trouble)>,
    has_failed: bool,
}

/// Nobody listens any more, or there is nothing more to tell.
struct Done;

impl Follower {
    async fn run(mut self, pods: Api<Pod>, wanted: watcher::Config) {
        // Without pauses it would ask an API server that is away as fast as it can refuse.
        let mut events = watcher::watcher(pods, wanted).backoff(Pauses::default()).boxed();
        let mut listed = false;
        loop {
            let heard = tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.hear(event, &mut listed).await,
                    // The watcher lists anew by itself; meanwhile nothing is known, which is nothing to tell.
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the watch of a pod was cut");
                        Ok(())
                    }
                    None => Err(Done),
                },
                () = patience(self.deadline()) => self.lose_patience().await,
            };
            if heard.is_err() {
                return;
            }
        }
    }

    async fn hear(&mut self, event: Event<Pod>, listed: &mut bool) -> Result<(), Done> {
        match event {
            Event::Init => *listed = false,
            Event::InitApply(pod) => {
                *listed |= self.is_it(&pod);
                self.look(&pod).await?;
            }
            Event::Apply(pod) => self.look(&pod).await?,
            Event::InitDone if !*listed => return self.gone().await,
            Event::Delete(pod) if self.is_it(&pod) => {
                self.look(&pod).await?;
                return self.gone().await;
            }
            Event::InitDone | Event::Delete(_) => {}
        }
        Ok(())
    }

    fn is_it(&self, pod: &Pod) -> bool {
        self.uid.is_none() || self.uid == pod.uid()
    }

    async fn look(&mut self, pod: &Pod) -> Result<(), Done> {
        if !self.is_it(pod) {
            // Another pod took the name, so the one that was followed is gone.
            return self.gone().await;
        }
        self.uid = pod.uid();
        let standing = standing::read(pod);
        for (container, state) in standing.containers {
            if self.told.get(&container) != Some(&state) {
                self.told.insert(container.clone(), state.clone());
                self.tell(GroupEvent::State { container, state }).await?;
            }
        }
        if let Some((kind, message)) = standing.failed {
            return self.fail(kind, message).await;
        }
        self.weigh(standing.trouble).await
    }

    /// Trouble counts from when it began, whatever words the cluster finds for it since.
    async fn weigh(&mut self, trouble: Option<Trouble>) -> Result<(), Done> {
        let began = self.trouble.take().filter(|(_, old)| trouble.as_ref().is_some_and(|new| new.kind == old.kind));
        let Some(trouble) = trouble else { return Ok(()) };
        if trouble.is_final {
            return self.fail(trouble.kind, trouble.message).await;
        }
        self.trouble = Some((began.map_or_else(Instant::now, |(began, _)| began), trouble));
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        let (began, trouble) = self.trouble.as_ref()?;
        let grace = if trouble.kind == GroupFailure::Image { self.graces.image } else { self.graces.node };
        Some(*began + grace)
    }

    async fn lose_patience(&mut self) -> Result<(), Done> {
        let Some((began, trouble)) = self.trouble.take() else { return Ok(()) };
        let waited = began.elapsed().as_secs();
        self.fail(trouble.kind, format!("{}; nothing changed for {waited} s", trouble.message)).await
    }

    async fn fail(&mut self, kind: GroupFailure, message: String) -> Result<(), Done> {
        if std::mem::replace(&mut self.has_failed, true) {
            return Ok(());
        }
        self.tell(GroupEvent::Failed { kind, message }).await
    }

    async fn gone(&mut self) -> Result<(), Done> {
        let _ = self.tell(GroupEvent::Gone).await;
        Err(Done)
    }

    async fn tell(&self, event: GroupEvent) -> Result<(), Done> {
        self.sender.send(event).await.map_err(|_| Done)
    }
}

async fn patience(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
