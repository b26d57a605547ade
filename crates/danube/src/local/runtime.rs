//! What runs jobs: sandboxes on this machine, or pods of a cluster. Nothing above it knows which.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{ContainerSpec, FoundGroup, GroupEvent, GroupSpec, Runtime, RuntimeError};
use danube_engine::job::Plan;
use danube_engine::master::Refused;
use danube_engine::snapshot::Objects;
use danube_kube::ExecStream;
use danube_sandbox::{JobPaths, Sandbox};
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::cluster::{self, Cluster, PYTHON};
use crate::checkout::Places;

/// What runs jobs.
pub enum JobRuntime {
    /// Sandboxes on this machine, and the Python in them.
    Sandbox(Arc<Sandbox>, PathBuf),
    /// Pods of a cluster.
    Kubernetes(Box<Cluster>),
}

impl JobRuntime {
    /// What the programs of a job call what they are given.
    pub fn paths(&self, attempt: &AttemptId) -> JobPaths {
        match self {
            Self::Sandbox(sandbox, _) => sandbox.paths(attempt),
            Self::Kubernetes(_) => cluster::paths(),
        }
    }

    /// The program that runs danubefiles, as a coordinator sees it.
    pub fn python(&self) -> &Path {
        match self {
            Self::Sandbox(_, python) => python,
            Self::Kubernetes(_) => Path::new(PYTHON),
        }
    }

    /// Where the Git objects of a job's copy are.
    pub fn objects(&self) -> Objects {
        match self {
            Self::Sandbox(..) => Objects::Borrowed,
            Self::Kubernetes(cluster) => Objects::Own { depth: cluster.depth() },
        }
    }

    /// Makes a plan one for this runtime. May block.
    pub fn fit(&self, plan: &mut Plan, places: &Places) -> Result<(), Refused> {
        match self {
            Self::Sandbox(..) => Ok(()),
            Self::Kubernetes(cluster) => cluster.fit(plan, places),
        }
    }
}

impl Runtime for JobRuntime {
    type Stream = JobStream;
    type Events = JobEvents;

    async fn create(&self, spec: &GroupSpec) -> Result<(), RuntimeError> {
        match self {
            Self::Sandbox(sandbox, _) => sandbox.create(spec).await,
            Self::Kubernetes(cluster) => cluster.pods.create(spec).await,
        }
    }

    async fn add(&self, attempt: &AttemptId, container: &ContainerSpec) -> Result<(), RuntimeError> {
        match self {
            Self::Sandbox(sandbox, _) => sandbox.add(attempt, container).await,
            Self::Kubernetes(cluster) => cluster.pods.add(attempt, &cluster.pinned(container).await?).await,
        }
    }

    async fn open(&self, attempt: &AttemptId, container: &ContainerName) -> Result<JobStream, RuntimeError> {
        match self {
            Self::Sandbox(sandbox, _) => sandbox.open(attempt, container).await.map(JobStream::Sandbox),
            Self::Kubernetes(cluster) => {
                cluster.pods.open(attempt, container).await.map(Box::new).map(JobStream::Kubernetes)
            }
        }
    }

    fn watch(&self, attempt: &AttemptId) -> JobEvents {
        match self {
            Self::Sandbox(sandbox, _) => JobEvents::Sandbox(sandbox.watch(attempt)),
            Self::Kubernetes(cluster) => JobEvents::Kubernetes(cluster.pods.watch(attempt)),
        }
    }

    async fn delete(&self, attempt: &AttemptId) -> Result<(), RuntimeError> {
        match self {
            Self::Sandbox(sandbox, _) => sandbox.delete(attempt).await,
            Self::Kubernetes(cluster) => cluster.pods.delete(attempt).await,
        }
    }

    async fn whereabouts(&self, attempt: &AttemptId) -> String {
        match self {
            Self::Sandbox(sandbox, _) => sandbox.whereabouts(attempt).await,
            Self::Kubernetes(cluster) => cluster.pods.whereabouts(attempt).await,
        }
    }

    async fn list(&self) -> Result<Vec<FoundGroup>, RuntimeError> {
        match self {
            Self::Sandbox(sandbox, _) => sandbox.list().await,
            Self::Kubernetes(cluster) => cluster.pods.list().await,
        }
    }
}

/// A stream to a shim.
pub enum JobStream {
    /// A socket of this machine.
    Sandbox(UnixStream),
    /// An exec of the API server.
    Kubernetes(Box<ExecStream>),
}

/// The events of one group.
pub enum JobEvents {
    /// As the monitor writes them.
    Sandbox(danube_sandbox::Events),
    /// As the cluster tells them.
    Kubernetes(danube_kube::Events),
}

impl Stream for JobEvents {
    type Item = GroupEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<GroupEvent>> {
        match self.get_mut() {
            Self::Sandbox(events) => Pin::new(events).poll_next(context),
            Self::Kubernetes(events) => Pin::new(events).poll_next(context),
        }
    }
}

impl AsyncRead for JobStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Sandbox(stream) => Pin::new(stream).poll_read(context, into),
            Self::Kubernetes(stream) => Pin::new(stream.as_mut()).poll_read(context, into),
        }
    }
}

impl AsyncWrite for JobStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Sandbox(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Kubernetes(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Sandbox(stream) => Pin::new(stream).poll_flush(context),
            Self::Kubernetes(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Sandbox(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Kubernetes(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
