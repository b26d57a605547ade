//! A runtime in memory: its containers are scripts, its streams are pipes within the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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

/// The runtime.
#[derive(Debug)]
pub struct Scripted {
    script: Script,
    shared: Arc<Mutex<Shared>>,
    coordinator_opened: AtomicU64,
    worker_opened: AtomicU64,
    cut: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Shared {
    group: Option<GroupSpec>,
    shims: Vec<(ContainerName, Shim)>,
    history: Vec<GroupEvent>,
    watchers: Vec<UnboundedSender<GroupEvent>>,
}

impl Shared {
    fn tell(&mut self, event: GroupEvent) {
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
        self.history.push(event);
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scripted {
    /// A runtime for one job.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self {
            script,
            shared: Arc::default(),
            coordinator_opened: AtomicU64::new(0),
            worker_opened: AtomicU64::new(0),
            cut: Arc::default(),
        }
    }

    /// Tells every watcher.
    pub fn tell(&self, event: GroupEvent) {
        lock(&self.shared).tell(event);
    }

    /// How often each step was started in its container, by id.
    #[must_use]
    pub fn starts(&self) -> Vec<([u8; 16], u32)> {
        lock(&self.shared).shims.iter().flat_map(|(_, shim)| shim.starts()).collect()
    }

    /// What arrived by PutFile, by transfer id.
    #[must_use]
    pub fn received(&self) -> Vec<(String, Vec<u8>)> {
        lock(&self.shared).shims.iter().flat_map(|(_, shim)| shim.received()).collect()
    }

    /// Attaches that were told nothing so far.
    #[must_use]
    pub fn silenced(&self) -> usize {
        lock(&self.shared).shims.iter().map(|(_, shim)| shim.silenced()).sum()
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

    fn begin(&self, spec: &GroupSpec, container: &ContainerSpec) {
        let (shared, name) = (self.shared.clone(), container.name.clone());
        let seen = self.script.coordinator_exit.filter(|_| name == ContainerName::coordinator());
        let exit = move |code: i32| {
            let exit_code = seen.unwrap_or(code);
            let state = ContainerState::Terminated { exit_code, signal: None, oom: None };
            lock(&shared).tell(GroupEvent::State { container: name.clone(), state });
        };
        let shim = Shim::new(container.role, spec.nonce.clone(), self.script.clone(), Arc::new(exit));
        let mut shared = lock(&self.shared);
        shared.shims.push((container.name.clone(), shim));
        shared.tell(GroupEvent::State { container: container.name.clone(), state: ContainerState::Running });
    }

    fn shim(&self, container: &ContainerName) -> Option<Shim> {
        lock(&self.shared).shims.iter().find(|(name, _)| name == container).map(|(_, shim)| shim.clone())
    }

    /// Counts the container's streams from 0. A worker may end after its n-th.
    fn count(&self, role: Role, shim: &Shim) -> u64 {
        if role == Role::Coordinator {
            return self.coordinator_opened.fetch_add(1, Ordering::Relaxed);
        }
        let nth = self.worker_opened.fetch_add(1, Ordering::Relaxed);
        if self.script.worker_ends_after.is_some_and(|most| nth + 1 >= u64::from(most)) {
            shim.exit(137);
        }
        nth
    }
}

impl Runtime for Scripted {
    type Stream = DuplexStream;
    type Events = UnboundedReceiverStream<GroupEvent>;

    async fn create(&self, spec: &GroupSpec) -> Result<(), RuntimeError> {
        if lock(&self.shared).group.replace(spec.clone()).is_none() {
            spec.containers.iter().for_each(|container| self.begin(spec, container));
        }
        Ok(())
    }

    async fn add(&self, _attempt: &AttemptId, container: &ContainerSpec) -> Result<(), RuntimeError> {
        let spec = lock(&self.shared).group.clone();
        let spec = spec.ok_or_else(|| RuntimeError::NotRunning(container.name.to_string()))?;
        self.begin(&spec, container);
        Ok(())
    }

    async fn open(&self, _attempt: &AttemptId, container: &ContainerName) -> Result<DuplexStream, RuntimeError> {
        let shim = self.shim(container).ok_or_else(|| RuntimeError::NotRunning(container.to_string()))?;
        let role = if *container == ContainerName::coordinator() { Role::Coordinator } else { Role::Worker };
        let nth = self.count(role, &shim);
        let (engine, stream) = tokio::io::duplex(BUFFER);
        if shim.hello_script() == Hello::Garbage {
            tokio::spawn(garbage(stream));
        } else {
            tokio::spawn(serve(shim, stream));
        }
        let cut = self.script.cuts.as_ref().and_then(|cuts| cuts(role, nth));
        Ok(match cut {
            Some(cut) => cut::through(engine, cut, self.cut.clone()),
            None => engine,
        })
    }

    fn watch(&self, _attempt: &AttemptId) -> Self::Events {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut shared = lock(&self.shared);
        shared.history.iter().for_each(|event| drop(sender.send(event.clone())));
        shared.watchers.push(sender);
        UnboundedReceiverStream::new(receiver)
    }

    async fn delete(&self, _attempt: &AttemptId) -> Result<(), RuntimeError> {
        let mut shared = lock(&self.shared);
        shared.group = None;
        shared.tell(GroupEvent::Gone);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<FoundGroup>, RuntimeError> {
        let group = lock(&self.shared).group.clone();
        Ok(group.map(|group| FoundGroup { attempt: group.attempt, running: true }).into_iter().collect())
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
