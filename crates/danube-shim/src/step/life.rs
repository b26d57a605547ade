//! A step's task: prepare, start, pump and supervise side by side, record the end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use danube_proto::v1::{End, StartRequest};
use rustix::pipe::PipeFlags;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::end::{self, Around};
use super::prepare::{Prepared, prepare};
use super::pump::{Pump, now_ms};
use super::record::{Command, Record};
use super::supervise::Supervisor;
use crate::late;
use crate::process::plan::Stdio;
use crate::process::spawn::{self, Main, NotStarted};
use crate::process::terminal;
use crate::process::tree::Claim;

/// Size of a step's pipes: a fast writer gets ahead of the shim by so much. Refused to users with many pipes.
const PIPE_BYTES: usize = 256 * 1024;

/// Lives through a step.
pub async fn live(
    context: Arc<Context>,
    record: Arc<Record>,
    request: StartRequest,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let started_ms = now_ms();
    let end = match start(&context, &record, &request).await {
        Ok(running) => running.run(&context, &record, &mut commands, &request).await,
        Err(why) => end::not_started(why, started_ms),
    };
    record.finish(end);
}

struct Running<'a> {
    main: Main,
    prepared: Prepared,
    pumps: Vec<Pump<'a>>,
    started: Instant,
    started_ms: u64,
    oom_kills: u64,
}

async fn start<'a>(context: &Context, record: &'a Record, request: &StartRequest) -> Result<Running<'a>, NotStarted> {
    let failed = |error: io::Error| NotStarted::because("connect its output", &error);
    let oom_kills = context.oom_kills();
    let prepared = prepare(context, request)?;
    let pumps = |sources: Vec<OwnedFd>| {
        let pumps = (1..).zip(sources).map(|(stream, source)| Pump::new(record, stream, source));
        pumps.collect::<io::Result<Vec<_>>>().map_err(failed)
    };
    let (main, pumps) = match late::take(context, request, &prepared.plan) {
        Some((main, output)) => (main, pumps(vec![output])?),
        None => {
            let (stdio, sources) = connect(request, &prepared).map_err(failed)?;
            let pumps = pumps(sources)?;
            (spawn::spawn(&prepared.plan, stdio, &context.reaper, &context.badness).await?, pumps)
        }
    };
    context.claims().push(Claim { main: main.pid, marker: prepared.marker.clone() });
    Ok(Running { main, prepared, pumps, started: Instant::now(), started_ms: now_ms(), oom_kills })
}

impl Running<'_> {
    async fn run(
        self,
        context: &Context,
        record: &Record,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        request: &StartRequest,
    ) -> End {
        let pid = self.main.pid;
        let finish = CancellationToken::new();
        let supervised = async {
            let ended = Supervisor::new(context, record, commands, self.main, request).run().await;
            finish.cancel();
            ended
        };
        let (ended, lost) = tokio::join!(supervised, pump_all(self.pumps, &finish));
        context.claims().retain(|claim| claim.main != pid);
        self.prepared.clean();
        let around = Around {
            started_ms: self.started_ms,
            started: self.started,
            oom_rose: context.oom_kills() > self.oom_kills,
            lost,
            memory_limit: request.memory_limit,
        };
        end::ended(&ended, &around)
    }
}

/// One event loop for all streams of the step.
async fn pump_all(pumps: Vec<Pump<'_>>, finish: &CancellationToken) -> u64 {
    let mut pumps = pumps.into_iter();
    let run = async |pump: Option<Pump<'_>>| match pump {
        Some(pump) => pump.run(finish).await,
        None => 0,
    };
    let (first, second) = (pumps.next(), pumps.next());
    let (first, second) = tokio::join!(run(first), run(second));
    first + second
}

/// The step's descriptors and the shim's ends of them: a terminal, one pipe, or two.
fn connect(request: &StartRequest, prepared: &Prepared) -> io::Result<(Stdio, Vec<OwnedFd>)> {
    let stdin = std::fs::File::open("/dev/null")?.into();
    if request.tty {
        let (shim, step) = terminal::open(&prepared.plan.user)?;
        let stdio = Stdio { stdin, stderr: step.try_clone()?, stdout: step, terminal: true };
        return Ok((stdio, vec![shim]));
    }
    let (read, stdout) = pipe()?;
    if request.separate {
        let (read_err, stderr) = pipe()?;
        return Ok((Stdio { stdin, stdout, stderr, terminal: false }, vec![read, read_err]));
    }
    let stderr = stdout.try_clone()?;
    Ok((Stdio { stdin, stdout, stderr, terminal: false }, vec![read]))
}

/// Its reading and its writing end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let _ = rustix::pipe::fcntl_setpipe_size(&read, PIPE_BYTES);
    Ok((read, write))
}
