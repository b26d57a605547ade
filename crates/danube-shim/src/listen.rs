//! Where masters come in.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use danube_core::runtime::{Assigned, shim_env};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::Stream;

use crate::config::Listen;
use crate::connection::{Link, Masters};
use crate::error::Error;
use crate::harden::inherited;
use crate::late;
use crate::roots::open_root;

/// After a failed accept (no descriptors left) the next try waits.
const BREATH: Duration = Duration::from_millis(50);
/// Whoever comes must say for which job within this time, if it must at all.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// The listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    /// A socket with a path can be reached by steps: only processes from outside the container may speak.
    outsiders_only: bool,
    /// The stream by which it was told for which job this shim is.
    first: Option<UnixStream>,
    /// What every stream begins with then.
    assigned: Option<Assigned>,
}

impl Listener {
    /// Takes the inherited socket, or makes one.
    pub fn open(listen: &Listen, pid_one: bool) -> Result<Self, Error> {
        let (socket, by_path) = match listen {
            Listen::Inherited(fd) => (StdListener::from(inherited(shim_env::LISTEN_FD, *fd)?), false),
            Listen::Path(path) => (bind(path, 0o600)?, true),
        };
        let outsiders_only = by_path && pid_one;
        Ok(Self { socket: asynchronous(socket)?, outsiders_only, first: None, assigned: None })
    }

    /// Waits for the first stream that says for which job this shim is. None when nobody has said so for so long.
    pub async fn introduced(&mut self, patience: Duration) -> Option<Assigned> {
        let said = async {
            loop {
                let Some(mut stream) = self.accept().await else {
                    tokio::time::sleep(BREATH).await;
                    continue;
                };
                if let Some(assigned) = introduction(&mut stream).await {
                    return (stream, assigned);
                }
            }
        };
        let (stream, assigned) = tokio::time::timeout(patience, said).await.ok()?;
        (self.first, self.assigned) = (Some(stream), Some(assigned.clone()));
        Some(assigned)
    }

    /// Every connection, for ever.
    pub fn incoming(mut self, masters: Arc<Masters>) -> impl Stream<Item = std::io::Result<Link>> {
        let (give, take) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            if let Some(first) = self.first.take() {
                let _ = give.send(Ok(masters.admit(first))).await;
            }
            while !give.is_closed() {
                let Some(stream) = self.accept().await else {
                    tokio::time::sleep(BREATH).await;
                    continue;
                };
                // One that says nothing holds up no other.
                let (expected, give, masters) = (self.assigned.clone(), give.clone(), masters.clone());
                tokio::spawn(async move {
                    if let Some(stream) = expected_of(stream, expected).await {
                        let _ = give.send(Ok(masters.admit(stream))).await;
                    }
                });
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(take)
    }

    async fn accept(&self) -> Option<UnixStream> {
        let (stream, _) = self.socket.accept().await.ok()?;
        (!self.outsiders_only || comes_from_outside(&stream)).then_some(stream)
    }
}

async fn introduction(stream: &mut UnixStream) -> Option<Assigned> {
    tokio::time::timeout(INTRODUCTION, late::read(stream)).await.ok()?
}

/// A stream that begins as it must, after its beginning.
async fn expected_of(mut stream: UnixStream, expected: Option<Assigned>) -> Option<UnixStream> {
    match expected {
        None => Some(stream),
        expected => (introduction(&mut stream).await == expected).then_some(stream),
    }
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
