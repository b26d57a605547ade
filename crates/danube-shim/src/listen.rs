//! Where masters come in.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use danube_core::runtime::{Assigned, shim_env};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_stream::Stream;

use crate::config::Listen;
use crate::connection::{Link, Masters};
use crate::error::Error;
use crate::harden::inherited;
use crate::late;
use crate::roots::open_root;

/// After a failed accept (no descriptors left) the next try waits.
const BREATH: Duration = Duration::from_millis(50);
/// Whoever comes must say for which job within this time, once that is known.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// The listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    /// A socket with a path can be reached by steps: only processes from outside the container may speak.
    outsiders_only: bool,
    /// The stream by which it was told for which job this shim is.
    first: Option<UnixStream>,
    /// How a stream must begin.
    beginning: Beginning,
    /// Streams that have not begun yet.
    silent: JoinSet<Option<(UnixStream, Assigned)>>,
}

/// How a stream must begin.
#[derive(Debug)]
enum Beginning {
    /// As it likes: this shim was not started ahead.
    Any,
    /// With a job, whichever that is.
    WithAJob,
    /// With this one.
    With(Assigned),
}

impl Listener {
    /// Takes the inherited socket, or makes one.
    pub fn open(listen: &Listen, pid_one: bool) -> Result<Self, Error> {
        let (socket, by_path) = match listen {
            Listen::Inherited(fd) => (StdListener::from(inherited(shim_env::LISTEN_FD, *fd)?), false),
            Listen::Path(path) => (bind(path, 0o600)?, true),
        };
        let outsiders_only = by_path && pid_one;
        let (socket, silent) = (asynchronous(socket)?, JoinSet::new());
        Ok(Self { socket, outsiders_only, first: None, beginning: Beginning::Any, silent })
    }

    /// Waits for the first stream that says for which job this shim is. None when nobody has said so for so long.
    pub async fn introduced(&mut self, patience: Duration) -> Option<Assigned> {
        self.beginning = Beginning::WithAJob;
        let (stream, assigned) = timeout(patience, self.next()).await.ok()?;
        let assigned = assigned?;
        (self.first, self.beginning) = (Some(stream), Beginning::With(assigned.clone()));
        Some(assigned)
    }

    /// Every connection, for ever.
    pub fn incoming(mut self, masters: Arc<Masters>) -> impl Stream<Item = std::io::Result<Link>> {
        let (give, take) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let mut next = self.first.take();
            while !give.is_closed() {
                let stream = match next.take() {
                    Some(first) => first,
                    None => self.next().await.0,
                };
                let _ = give.send(Ok(masters.admit(stream))).await;
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(take)
    }

    /// The next stream that has begun as it must, and with what. One that says nothing holds up no other.
    async fn next(&mut self) -> (UnixStream, Option<Assigned>) {
        loop {
            tokio::select! {
                accepted = accept(&self.socket, self.outsiders_only) => match (accepted, &self.beginning) {
                    (None, _) => sleep(BREATH).await,
                    (Some(stream), Beginning::Any) => return (stream, None),
                    (Some(stream), Beginning::WithAJob) => drop(self.silent.spawn(late::introduction(stream))),
                    (Some(stream), Beginning::With(_)) => {
                        let said = timeout(INTRODUCTION, late::introduction(stream));
                        self.silent.spawn(async move { said.await.ok().flatten() });
                    }
                },
                Some(said) = self.silent.join_next() => if let Ok(Some((stream, assigned))) = said
                    && self.is_expected(&assigned)
                {
                    return (stream, Some(assigned));
                },
            }
        }
    }

    fn is_expected(&self, assigned: &Assigned) -> bool {
        !matches!(&self.beginning, Beginning::With(job) if job != assigned)
    }
}

async fn accept(socket: &UnixListener, outsiders_only: bool) -> Option<UnixStream> {
    let (stream, _) = socket.accept().await.ok()?;
    (!outsiders_only || comes_from_outside(&stream)).then_some(stream)
}

/// A listening socket at a path, whoever was there before. A socket's address is short, its path need not be: the
/// folder is walked to first.
pub fn bind(path: &Path, mode: u32) -> Result<StdListener, Error> {
    // What is missing or in the way shows at bind.
    let _ = path.parent().map(std::fs::create_dir_all);
    let _ = std::fs::remove_file(path);
    let folder = open_root(path.parent().unwrap_or(Path::new("."))).map_err(Error::path("listen on", path))?;
    let short =
        Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(path.file_name().unwrap_or_default());
    let socket = StdListener::bind(short).map_err(Error::path("listen on", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(Error::path("protect", path))?;
    Ok(socket)
}

/// Hands a socket to the event loop.
pub fn asynchronous(socket: StdListener) -> Result<UnixListener, Error> {
    socket.set_nonblocking(true).map_err(Error::system("listen"))?;
    UnixListener::from_std(socket).map_err(Error::system("listen"))
}

/// A process that the runtime put into the container has its parent outside: number 0 in here. Steps descend from
/// PID 1, and so do their orphans.
fn comes_from_outside(stream: &UnixStream) -> bool {
    let Some(pid) = stream.peer_cred().ok().and_then(|peer| peer.pid()) else { return false };
    pid == 0 || crate::process::tree::parent(pid) == Some(0) && pid != 1
}
