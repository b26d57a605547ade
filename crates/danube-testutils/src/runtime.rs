//! A runtime in memory: its containers are scripts, its streams are pipes within the process.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{
    ContainerSpec, ContainerState, FoundGroup, GroupEvent, GroupSpec, Role, Runtime, RuntimeError,
};
use danube_proto::limits::MESSAGE_BYTES;
use danube_proto::v1::shim_server::ShimServer;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;

use crate::cut;
use crate::script::{Hello, Script};
use crate::shim::Shim;

/// Bytes under way on a stream.
const BUFFER: usize = 256 * 1024;

/// What the containers of a job do, by its group.
type Scripts = Arc<dyn Fn(&GroupSpec) -> Script + Send + Sync>;

/// The runtime.
pub struct Scripted {
    scripts: Scripts,
    groups: Arc<Mutex<HashMap<AttemptId, Group>>>,
    coordinator_opened: AtomicU64,
    worker_opened: AtomicU64,
    cut: Arc<AtomicU64>,
}

/// One job's containers; also after they were deleted, for whoever asks what they did.
#[derive(Debug)]
struct Group {
    spec: GroupSpec,
    script: Script,
    stands: bool,
    shims: Vec<(ContainerName, Shim)>,
    history: Vec<GroupEvent>,
    watchers: Vec<UnboundedSender<GroupEvent>>,
}

impl Group {
    fn new(spec: &GroupSpec, script: Script) -> Self {
        let (shims, history, watchers) = (Vec::new(), Vec::new(), Vec::new());
        Self { spec: spec.clone(), script, stands: true, shims, history, watchers }
    }

    fn tell(&mut self, event: GroupEvent) {
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
        self.history.push(event);
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Scripted {
    /// A runtime in which every job does the same.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self::each(move |_| script.clone())
    }

    /// A runtime in which each job does what is told for its group.
    #[must_use]
    pub fn each(scripts: impl Fn(&GroupSpec) -> Script + Send + Sync + 'static) -> Self {
        Self {
            scripts: Arc::new(scripts),
            groups: Arc::default(),
            coordinator_opened: AtomicU64::new(0),
            worker_opened: AtomicU64::new(0),
            cut: Arc::default(),
        }
    }

    /// How often each step was started in its container, by id.
    #[must_use]
    pub fn starts(&self) -> Vec<([u8; 16], u32)> {
        self.shims().iter().flat_map(Shim::starts).collect()
    }

    /// What arrived by PutFile, by transfer id.
    #[must_use]
    pub fn received(&self) -> Vec<(String, Vec<u8>)> {
        self.shims().iter().flat_map(Shim::received).collect()
    }

    /// Attaches so far.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.shims().iter().map(Shim::attached).sum()
    }

    /// Attaches that were told nothing so far.
    #[must_use]
    pub fn silenced(&self) -> usize {
        self.shims().iter().map(Shim::silenced).sum()
    }

    /// Streams opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.coordinator_opened.load(Ordering::Relaxed) + self.worker_opened.load(Ordering::Relaxed)
    }

    /// Streams that died at the byte at which they were to be cut.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<AttemptId, Group>> {
        lock(&self.groups)
    }

    fn shims(&self) -> Vec<Shim> {
        self.groups().values().flat_map(|group| &group.shims).map(|(_, shim)| shim.clone()).collect()
    }

    fn begin(&self, group: &mut Group, container: &ContainerSpec) {
        let (groups, attempt, name) = (self.groups.clone(), group.spec.attempt.clone(), container.name.clone());
        let seen = group.script.coordinator_exit.filter(|_| name == ContainerName::coordinator());
        let exit = move |code: i32| {
            let exit_code = seen.unwrap_or(code);
            let state = ContainerState::Terminated { exit_code, signal: None, oom: None };
            if let Some(group) = lock(&groups).get_mut(&attempt) {
                group.tell(GroupEvent::State { container: name.clone(), state });
            }
        };
        let shim = Shim::new(container.role, group.spec.nonce.clone(), group.script.clone(), Arc::new(exit));
        group.shims.push((container.name.clone(), shim));
        group.tell(GroupEvent::State { container: container.name.clone(), state: ContainerState::Running });
    }

    /// A container's shim, and its job's script.
    fn shim(&self, attempt: &AttemptId, container: &ContainerName) -> Option<(Shim, Script)> {
        let groups = self.groups();
        let group = groups.get(attempt)?;
        let (_, shim) = group.shims.iter().find(|(name, _)| name == container)?;
        Some((shim.clone(), group.script.clone()))
    }

    /// Counts the containers' streams from 0. A worker may end after its n-th.
    fn count(&self, role: Role, shim: &Shim, script: &Script) -> u64 {
        if role == Role::Coordinator {
            return self.coordinator_opened.fetch_add(1, Ordering::Relaxed);
        }
        let nth = self.worker_opened.fetch_add(1, Ordering::Relaxed);
        if script.worker_ends_after.is_some_and(|most| nth + 1 >= u64::from(most)) {
            shim.exit(137);
        }
        nth
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runtime for Scripted {
    type Stream = DuplexStream;
    type Events = UnboundedReceiverStream<GroupEvent>;

    async fn create(&self, spec: &GroupSpec) -> Result<(), RuntimeError> {
        let mut groups = self.groups();
        if groups.get(&spec.attempt).is_none_or(|group| !group.stands) {
            let mut group = Group::new(spec, (self.scripts)(spec));
            spec.containers.iter().for_each(|container| self.begin(&mut group, container));
            groups.insert(spec.attempt.clone(), group);
        }
        Ok(())
    }

    async fn add(&self, attempt: &AttemptId, container: &ContainerSpec) -> Result<(), RuntimeError> {
        let mut groups = self.groups();
        let group = groups.get_mut(attempt).filter(|group| group.stands);
        let group = group.ok_or_else(|| RuntimeError::NotRunning(container.name.to_string()))?;
        self.begin(group, container);
        Ok(())
    }

    async fn open(&self, attempt: &AttemptId, container: &ContainerName) -> Result<DuplexStream, RuntimeError> {
        let found = self.shim(attempt, container);
        let (shim, script) = found.ok_or_else(|| RuntimeError::NotRunning(container.to_string()))?;
        let role = if *container == ContainerName::coordinator() { Role::Coordinator } else { Role::Worker };
        let nth = self.count(role, &shim, &script);
        let (engine, stream) = tokio::io::duplex(BUFFER);
        if shim.hello_script() == Hello::Garbage {
            tokio::spawn(garbage(stream));
        } else {
            tokio::spawn(serve(shim, stream));
        }
        let cut = script.cuts.as_ref().and_then(|cuts| cuts(role, nth));
        Ok(match cut {
            Some(cut) => cut::through(engine, cut, self.cut.clone()),
            None => engine,
        })
    }

    fn watch(&self, attempt: &AttemptId) -> Self::Events {
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some(group) = self.groups().get_mut(attempt) {
            group.history.iter().for_each(|event| drop(sender.send(event.clone())));
            group.watchers.push(sender);
        }
        UnboundedReceiverStream::new(receiver)
    }

    async fn delete(&self, attempt: &AttemptId) -> Result<(), RuntimeError> {
        if let Some(group) = self.groups().get_mut(attempt) {
            group.stands = false;
            group.tell(GroupEvent::Gone);
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<FoundGroup>, RuntimeError> {
        let groups = self.groups();
        let standing = groups.values().filter(|group| group.stands);
        Ok(standing.map(|group| FoundGroup { attempt: group.spec.attempt.clone(), running: true }).collect())
    }
}

async fn serve(shim: Shim, stream: DuplexStream) {
    let limit = 64 * MESSAGE_BYTES;
    let service = ShimServer::new(shim).max_decoding_message_size(limit).max_encoding_message_size(limit);
    let incoming = tokio_stream::once(Ok::<_, std::io::Error>(stream));
    // A connection that is cut is an error to the server, and the point of the test.
    let _ = Server::builder().serve_with_incoming(service, incoming).await;
}

/// Never anything that could be HTTP/2.
async fn garbage(mut stream: DuplexStream) {
    let noise = Bytes::from_static(&[0xa5; 4096]);
    while stream.write_all(&noise).await.is_ok() {}
}
