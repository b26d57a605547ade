//! The runtime for Kubernetes: pods are made, followed, spoken to and removed by the API server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use danube_core::egress::EgressPolicy;
use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{
    ContainerSpec, ContainerState, FoundGroup, GroupEvent, GroupFailure, GroupSpec, Runtime, RuntimeError,
};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};

use crate::error::{KubeError, refused, said};
use crate::exec::{self, ExecStream};
use crate::follow::{self, Events, Graces};
use crate::known::{Known, Pods};
use crate::manifest::{self, Told};
use crate::names;
use crate::patience;
use crate::services::MANAGER;
use crate::settings::{Enforcement, Settings};
use crate::warm::{Lines, Wishes};
use crate::{places, policy};

/// A container that is added must run, or be in trouble, after this long.
const ADDED: Duration = Duration::from_secs(600);
/// How long an opening stream waits for its container; the engine itself waits not much longer.
const SOON: Duration = Duration::from_secs(8);
/// Two masters may add containers at once, or the kubelet write the pod in between.
const TRIES: usize = 5;

/// The runtime. Cloning shares the connection.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    settings: Settings,
    known: Pods,
    wishes: Arc<Wishes>,
    lines: Arc<Lines>,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// A runtime on the cluster that the client speaks to.
    #[must_use]
    pub fn new(client: Client, settings: Settings) -> Self {
        Self { client, settings, known: Pods::default(), wishes: Arc::default(), lines: Arc::default() }
    }

    pub(crate) const fn parts(&self) -> (&Client, &Settings) {
        (&self.client, &self.settings)
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) const fn known(&self) -> &Pods {
        &self.known
    }

    pub(crate) fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.settings.namespace)
    }

    /// Asks until there is an answer that will not change by itself.
    async fn patiently<T, F>(&self, once: impl FnMut() -> F) -> Result<T, RuntimeError>
    where
        F: Future<Output = Result<T, RuntimeError>>,
    {
        patience::patiently(once, || self.is_ready()).await
    }

    /// Whether the API server knows by now who may do what: one that has just started refuses everybody, this question too.
    async fn is_ready(&self) -> bool {
        let asked = http::Request::get("/readyz").body(Vec::new());
        let Ok(asked) = asked else { return true };
        self.client.request_text(asked).await.is_ok()
    }

    pub(crate) async fn hold(&self, wanted: &EgressPolicy) -> Result<(), RuntimeError> {
        match self.settings.enforcement {
            Enforcement::Off => Ok(()),
            Enforcement::Required => {
                hold(&self.client, (&self.settings.namespace, &self.settings.instance), wanted).await
            }
        }
    }

    /// Whether the group has a pod: one made by this master before, or by the one before it; or one that was made ahead.
    async fn has_one(&self, spec: &GroupSpec) -> Result<bool, RuntimeError> {
        let (there, ahead) = tokio::try_join!(self.find(&spec.attempt), self.ahead_of(spec))?;
        match there {
            Some(there) => is_of(&there, spec).map(|()| true),
            None => self.take(ahead, spec).await,
        }
    }

    async fn make(&self, spec: &GroupSpec) -> Result<(), RuntimeError> {
        let pod = manifest::pod(spec, &self.settings).map_err(refused)?;
        match self.pods().create(&PostParams::default(), &pod).await {
            Ok(_) => Ok(()),
            // Made a moment ago, by a request whose answer was lost; or somebody else's.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let there = self.pods().get(&names::pod(&spec.attempt)).await;
                is_of(&there.map_err(|error| said("look for the job's pod", &error))?, spec)
            }
            Err(error) => Err(said("create the job's pod", &error)),
        }
    }

    async fn ours(&self) -> Result<Vec<Pod>, RuntimeError> {
        let ours = format!("{}={}", names::INSTANCE, names::label(&self.settings.instance));
        let pods = self.pods().list(&ListParams::default().labels(&ours)).await;
        pods.map(|pods| pods.items).map_err(|error| said("list the pods of jobs", &error))
    }

    async fn find(&self, attempt: &AttemptId) -> Result<Option<Pod>, RuntimeError> {
        let found =
            self.pods().list(&ListParams::default().labels(&names::selector(attempt, &self.settings.instance))).await;
        let found = found.map_err(|error| said("look for the job's pod", &error))?.items.pop();
        if let Some(pod) = &found {
            self.known.note(attempt, &Known::of(pod));
        }
        Ok(found)
    }

    async fn whose(&self, attempt: &AttemptId) -> Result<Known, RuntimeError> {
        if let Some(known) = self.known.get(attempt) {
            return Ok(known);
        }
        let found = self.find(attempt).await?;
        found.as_ref().map(Known::of).ok_or_else(|| RuntimeError::NotRunning(names::pod(attempt)))
    }

    async fn exec(&self, attempt: &AttemptId, container: &ContainerName) -> Result<ExecStream, RuntimeError> {
        let known = self.whose(attempt).await?;
        let opened = match self.known.stream(attempt, container) {
            Some(ahead) => Ok(ahead),
            None => exec::open(&self.pods(), &known.name, container.as_str()).await,
        };
        let stream = match opened {
            Ok(stream) => stream,
            Err(kube::Error::Api(status)) if status.code == 404 => return Err(RuntimeError::NotRunning(known.name)),
            Err(error) => return Err(said("reach a container", &error)),
        };
        let Some(line) = known.introduction(container) else { return Ok(stream) };
        stream.introduce(line).await.map_err(|error| RuntimeError::Transient(format!("reach a container: {error}")))
    }

    async fn place(&self, attempt: &AttemptId, container: &ContainerSpec) -> Result<(), RuntimeError> {
        let gone = || RuntimeError::NotRunning(names::pod(attempt));
        for _ in 0..TRIES {
            let pod = self.find(attempt).await?.ok_or_else(gone)?;
            let Some(changed) = places::with(&pod, container, &self.settings).map_err(refused)? else {
                return Ok(());
            };
            match self.pods().replace_ephemeral_containers(&pod.name_any(), &PostParams::default(), &changed).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(said("add a container to the job's pod", &error)),
            }
        }
        Err(RuntimeError::Transient("the job's pod changes too fast to add a container to it".to_owned()))
    }

    /// Waits until an added container runs. One that is over already has run.
    async fn until_it_runs(&self, attempt: &AttemptId, wanted: &ContainerName) -> Result<(), RuntimeError> {
        let mut events = self.watch(attempt);
        while let Some(event) = events.next().await {
            match event {
                GroupEvent::State { container, state } if container == *wanted => match state {
                    ContainerState::Waiting { .. } => {}
                    ContainerState::Running | ContainerState::Terminated { .. } => return Ok(()),
                },
                GroupEvent::Failed { kind, message } => return Err(RuntimeError::Refused { kind, message }),
                GroupEvent::Gone => break,
                _ => {}
            }
        }
        Err(RuntimeError::NotRunning(names::pod(attempt)))
    }

    async fn remove(&self, attempt: &AttemptId) -> Result<(), RuntimeError> {
        let found = self.find(attempt).await?;
        self.known.forget(attempt);
        let Some(pod) = found else { return Ok(()) };
        let events = self.watch(attempt);
        let only_it = Preconditions { uid: pod.uid(), resource_version: None };
        let how = DeleteParams { preconditions: Some(only_it), ..DeleteParams::default() };
        match self.pods().delete(&pod.name_any(), &how).await {
            Ok(_) => {}
            // Somebody was faster; and what has the name now is another pod.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => return Ok(()),
            Err(error) => return Err(said("delete the job's pod", &error)),
        }
        events.filter(|event| std::future::ready(*event == GroupEvent::Gone)).next().await;
        Ok(())
    }
}

impl Runtime for Kubernetes {
    type Stream = ExecStream;
    type Events = Events;

    async fn create(&self, spec: &GroupSpec) -> Result<(), RuntimeError> {
        let hold = self.patiently(|| self.hold(&spec.egress));
        // One that is there runs nothing of the job's yet, so that both may happen at once.
        let ((), has_one) = tokio::try_join!(hold, self.patiently(|| self.has_one(spec)))?;
        if !has_one {
            self.patiently(|| self.make(spec)).await?;
        }
        self.wishes.see(spec, &self.settings);
        Ok(())
    }

    async fn add(&self, attempt: &AttemptId, container: &ContainerSpec) -> Result<(), RuntimeError> {
        self.patiently(|| self.place(attempt, container)).await?;
        let runs = self.until_it_runs(attempt, &container.name);
        tokio::time::timeout(ADDED, runs).await.unwrap_or_else(|_| {
            let message = format!("the container {} did not start within {ADDED:?}", container.name);
            Err(RuntimeError::Refused { kind: GroupFailure::Infra, message })
        })
    }

    async fn open(&self, attempt: &AttemptId, container: &ContainerName) -> Result<ExecStream, RuntimeError> {
        // An exec in a container that does not run yet succeeds, and its stream ends at once. Whoever asked would ask again, and
        // later than the cluster can tell.
        if !self.known.has_run(attempt, container) {
            self.whose(attempt).await?;
            let runs = tokio::time::timeout(SOON, self.until_it_runs(attempt, container)).await;
            runs.unwrap_or_else(|_| Err(RuntimeError::Transient(format!("{container} does not run yet"))))?;
            self.known.note_running(attempt, container);
        }
        self.exec(attempt, container).await
    }

    fn watch(&self, attempt: &AttemptId) -> Events {
        let graces = Graces { image: self.settings.pull_grace, node: self.settings.node_grace };
        follow::follow(self.pods(), &names::selector(attempt, &self.settings.instance), graces)
    }

    async fn delete(&self, attempt: &AttemptId) -> Result<(), RuntimeError> {
        self.patiently(|| self.remove(attempt)).await
    }

    async fn list(&self) -> Result<Vec<FoundGroup>, RuntimeError> {
        let pods = self.patiently(|| self.ours()).await?;
        Ok(pods.iter().filter_map(found).collect())
    }

    async fn whereabouts(&self, attempt: &AttemptId) -> String {
        let pod = self.find(attempt).await.ok().flatten();
        let Some(name) = pod.and_then(|pod| pod.spec?.node_name) else { return String::new() };
        let nodes: Api<Node> = Api::all(self.client.clone());
        let known = nodes.get_opt(&name).await.ok().flatten().and_then(|node| node.status?.node_info);
        known.map_or_else(
            || format!("the node {name}"),
            |info| format!("the node {name} ({}, Linux {})", info.container_runtime_version, info.kernel_version),
        )
    }
}

fn is_of(pod: &Pod, spec: &GroupSpec) -> Result<(), RuntimeError> {
    match Told::of_pod(pod) {
        Some(told) if told.nonce == spec.nonce => Ok(()),
        _ => Err(refused(KubeError::Foreign(pod.name_any()))),
    }
}

/// Applies the policy of all pods and the one of a profile, before a pod of it exists: a pod without a policy in force could
/// reach everything.
pub(crate) async fn hold(client: &Client, place: (&str, &str), wanted: &EgressPolicy) -> Result<(), RuntimeError> {
    let (namespace, instance) = place;
    let profile = policy::of_profile_in(wanted, namespace, instance).map_err(refused)?;
    for policy in [policy::default_deny_in(namespace, instance), profile] {
        apply(client, &policy).await?;
    }
    Ok(())
}

async fn apply(client: &Client, policy: &policy::CiliumNetworkPolicy) -> Result<(), RuntimeError> {
    let policies: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &policy.metadata.namespace, &policy::resource());
    let how = PatchParams::apply(MANAGER).force().validation_strict();
    match policies.patch(&policy.metadata.name, &how, &Patch::Apply(policy)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(refused(KubeError::NoPolicies)),
        Err(error) => Err(said("apply a network policy", &error)),
    }
}

fn found(pod: &Pod) -> Option<FoundGroup> {
    let attempt = names::attempt(pod.labels())?;
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    Some(FoundGroup { attempt, running: !matches!(phase, Some("Succeeded" | "Failed")) })
}
