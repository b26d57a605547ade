//! Where masters come in.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use danube_core::runtime::shim_env;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::Stream;

use crate::config::Listen;
use crate::connection::{Link, Masters};
use crate::error::Error;
use crate::harden::inherited;
use crate::roots::open_root;

/// After a failed accept (no descriptors left) the next try waits.
const BREATH: Duration = Duration::from_millis(50);

/// The listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    /// A socket with a path can be reached by steps: only processes from outside the container may speak.
    outsiders_only: bool,
}

impl Listener {
    /// Takes the inherited socket, or makes one.
    pub fn open(listen: &Listen, pid_one: bool) -> Result<Self, Error> {
        let (socket, by_path) = match listen {
            Listen::Inherited(fd) => (StdListener::from(inherited(shim_env::LISTEN_FD, *fd)?), false),
            Listen::Path(path) => (bind(path, 0o600)?, true),
        };
        Ok(Self { socket: asynchronous(socket)?, outsiders_only: by_path && pid_one })
    }

    /// Every connection, for ever.
    pub fn incoming(self, masters: Arc<Masters>) -> impl Stream<Item = std::io::Result<Link>> {
        let (give, take) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let Some(stream) = self.accept().await else {
                    tokio::time::sleep(BREATH).await;
                    continue;
                };
                if give.send(Ok(masters.admit(stream))).await.is_err() {
                    return;
                }
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(take)
    }

    async fn accept(&self) -> Option<UnixStream> {
        let (stream, _) = self.socket.accept().await.ok()?;
        (!self.outsiders_only || comes_from_outside(&stream)).then_some(stream)
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
