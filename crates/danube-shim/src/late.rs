//! A shim that was started ahead, before anybody knew for which job: it has its step's program started ahead as well,
//! and serves nobody until it is told the rest. That happens once, so it belongs to one job only.

use std::ffi::CString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::PoisonError;
use std::time::Duration;

use danube_core::runtime::{Assigned, HEARTBEAT, shim_env};
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{Argv, StartRequest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::config::{Config, Late};
use crate::error::Error;
use crate::harden::inherited;
use crate::listen::Listener;
use crate::process::plan::{Plan, Stdio};
use crate::process::reaper::send;
use crate::process::spawn::{self, Main};
use crate::step::context::Context;
use crate::step::life::pipe;
use crate::step::prepare::prepare;

/// Bytes of the line at most.
const LONGEST: usize = 4096;
/// Bytes that the program may be told at most: so much a pipe takes in at once, whoever reads.
const TOLD: usize = 60 * 1024;
/// Tells the program that it is to wait (`danube-runner.py`).
const WAITS: &str = "DANUBE_WAITS";

/// A stream after the line that says for which job, and the job. Until then it hears every few seconds that somebody is here
/// (an empty line): whoever opened it ahead knows that it still leads here, and what lies between does not take it for
/// forgotten. None when it ends before, or begins with something else.
pub async fn introduction(mut stream: UnixStream) -> Option<(UnixStream, Assigned)> {
    let (mut read_half, mut write_half) = stream.split();
    let heartbeat = async {
        while write_half.write_all(b"\n").await.is_ok() {
            sleep(HEARTBEAT).await;
        }
    };
    let said = tokio::select! {
        said = read(&mut read_half) => said?,
        () = heartbeat => return None,
    };
    Some((stream, said))
}

/// Waits until it is known for which job this shim is. False when it is for none.
pub async fn told(config: &mut Config, context: &Context, listener: &mut Listener) -> Result<bool, Error> {
    let Some(late) = config.late else { return Ok(true) };
    // Taken in first: nothing that is started may inherit it.
    let stream = if let Late::Inherited(fd) = late { Some(stream(fd)?) } else { None };
    if !config.ready.is_empty() {
        let ready = Ready::start(context, std::mem::take(&mut config.ready)).await;
        *context.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
    }
    let assigned = match (late, stream) {
        (Late::Socket(patience), _) => listener.introduced(patience).await,
        (Late::Inherited(_), Some(mut stream)) => read(&mut stream).await,
        (Late::Inherited(_), None) => None,
    };
    let Some(assigned) = assigned else { return Ok(false) };
    config.nonce = assigned.nonce;
    config.orphan_grace = Duration::from_secs(assigned.orphan_grace_s);
    Ok(true)
}

fn stream(fd: i32) -> Result<UnixStream, Error> {
    let stream = StdStream::from(inherited(shim_env::LATE_FD, fd)?);
    let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
    stream.map_err(Error::system("wait for a job"))
}

/// The line that says for which job, and not a byte beyond it. None when there is none.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Assigned> {
    let mut line = Vec::new();
    while line.len() < LONGEST {
        match stream.read_u8().await.ok()? {
            b'\n' => return serde_json::from_slice(&line).ok(),
            byte => line.push(byte),
        }
    }
    None
}

/// A program that runs already, and waits on its standard input for where and in which environment it shall go on.
#[derive(Debug)]
pub struct Ready {
    argv: Vec<String>,
    main: Main,
    wake: OwnedFd,
    output: OwnedFd,
}

impl Ready {
    /// Starts it as a step is started, in a directory that is always there. Without it a job only starts later.
    async fn start(context: &Context, argv: Vec<String>) -> Option<Self> {
        let request = StartRequest {
            command: Some(Command::Argv(Argv { args: argv.clone() })),
            env: [(WAITS.to_owned(), "1".to_owned())].into(),
            ..StartRequest::default()
        };
        let mut prepared = prepare(context, &request).ok()?;
        prepared.plan.cwd = c"/".to_owned();
        let ((stdin, wake), (output, stdout)) = (pipe().ok()?, pipe().ok()?);
        let stderr = stdout.try_clone().ok()?;
        let stdio = Stdio { stdin, stdout, stderr, terminal: false };
        let main = spawn::spawn(&prepared.plan, stdio, &context.reaper, &context.badness).await.ok()?;
        Some(Self { argv, main, wake, output })
    }

    /// Lets it go on as the step of this request, if it is that; gives its process and its output. One that cannot is
    /// ended, and the step is started as any other.
    pub fn go_on(self, request: &StartRequest, plan: &Plan) -> Option<(Main, OwnedFd)> {
        let told = self.is_for(request).then(|| told_of(plan)).filter(|told| told.len() <= TOLD);
        let told = told.and_then(|told| std::fs::File::from(self.wake).write_all(&told).ok());
        if told.is_none() {
            send(self.main.pid, libc::SIGKILL);
            return None;
        }
        Some((self.main, self.output))
    }

    /// Only a step that asks for nothing out of the ordinary.
    fn is_for(&self, request: &StartRequest) -> bool {
        let plain = request.cwd.is_empty() && request.user.is_empty() && request.secret_files.is_empty();
        let same = matches!(&request.command, Some(Command::Argv(argv)) if argv.args == self.argv);
        plain && same && !request.tty && !request.separate
    }
}

/// The working directory, then the environment, each ended by a NUL.
fn told_of(plan: &Plan) -> Vec<u8> {
    let parts = [&plan.cwd].into_iter().chain(&plan.environment);
    parts.map(CString::as_bytes_with_nul).collect::<Vec<_>>().concat()
}

/// Takes the program that waits, for the one step that may be it.
pub fn take(context: &Context, request: &StartRequest, plan: &Plan) -> Option<(Main, OwnedFd)> {
    let ready = context.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
    ready?.go_on(request, plan)
}
