//! The engine's line to a running monitor: one connection per request, one JSON line each way.

use std::os::fd::AsRawFd;

use danube_core::runtime::{ContainerSpec, GroupFailure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::asked::{Made, Refusal};
use crate::error::{Doing, SandboxError};
use crate::group::folder::GroupFolder;

/// The socket's name in the group's folder.
pub const CONTROL: &str = "control";
/// Bytes of a request at most.
const LONGEST: u64 = 64 * 1024;

/// The monitor's answer to a request for another container.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// It runs.
    Runs,
    /// It cannot be made.
    Refused(GroupFailure, String),
}

/// The monitor's end.
pub struct Control(UnixListener);

/// A request for another container.
pub struct Request {
    /// What is asked for.
    pub spec: ContainerSpec,
    stream: UnixStream,
}

impl Control {
    /// Opens the socket.
    pub fn open(folder: &GroupFolder) -> Result<Self, SandboxError> {
        let dir = folder.open()?;
        let path = format!("/proc/self/fd/{}/{CONTROL}", dir.as_raw_fd());
        UnixListener::bind(path).map(Self).doing(|| "open the monitor's control socket")
    }

    /// The next request. Only the caller can connect, so what is not a request is a broken engine's and dropped.
    pub async fn next(&self) -> Request {
        loop {
            let Ok((mut stream, _)) = self.0.accept().await else { return std::future::pending().await };
            let mut line = String::new();
            let read = BufReader::new((&mut stream).take(LONGEST)).read_line(&mut line).await;
            if let (Ok(_), Ok(spec)) = (read, serde_json::from_str(&line)) {
                return Request { spec, stream };
            }
        }
    }
}

impl Request {
    /// Answers it as soon as it is known what became of the container.
    pub async fn answer(mut self, made: Made) {
        let answer = match made.outcome().await {
            Ok(()) => Answer::Runs,
            Err(Refusal { kind, message }) => Answer::Refused(kind, message),
        };
        let line = serde_json::to_vec(&answer).unwrap_or_default();
        // An engine that has gone away asks again.
        let _ = self.stream.write_all(&line).await;
    }
}

/// The engine's end: asks a group's monitor for another container.
pub async fn ask_to_add(folder: &GroupFolder, spec: &ContainerSpec) -> Result<(), SandboxError> {
    let not_running = || SandboxError::NotRunning(format!("the group in {}", folder.path().display()));
    let dir = folder.open().map_err(|_| not_running())?;
    let path = format!("/proc/self/fd/{}/{CONTROL}", dir.as_raw_fd());
    let mut stream = UnixStream::connect(path).await.map_err(|_| not_running())?;
    let said = || format!("ask the monitor for {}", spec.name);
    let mut line = serde_json::to_vec(spec).doing(said)?;
    line.push(b'\n');
    stream.write_all(&line).await.doing(said)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.doing(said)?;
    // A monitor that died on the way has not answered; who watches the group is told why.
    if answer.is_empty() {
        return Err(not_running());
    }
    match serde_json::from_slice(&answer).doing(said)? {
        Answer::Runs => Ok(()),
        Answer::Refused(GroupFailure::Image, words) => Err(SandboxError::Image(words)),
        Answer::Refused(GroupFailure::Config, words) => Err(SandboxError::Config(words)),
        Answer::Refused(_, words) => Err(SandboxError::Reported(words)),
    }
}
