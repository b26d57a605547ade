//! The shim from start to exit, in order.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use danube_core::runtime::{Role, shim_env};
use danube_proto::limits::{DEAD_SECONDS, MESSAGE_BYTES, PING_SECONDS};
use danube_proto::v1::shim_server::ShimServer;
use tonic::transport::Server;

use crate::config::{Config, Listen};
use crate::connection::Masters;
use crate::ending::{Ending, Watcher};
use crate::error::Error;
use crate::harden::{self, Badness, Inherited, inherited};
use crate::info;
use crate::late;
use crate::listen::Listener;
use crate::mailbox::{Mailbox, socket};
use crate::process::reaper::{Reaper, send};
use crate::process::signals::{Arrived, Signals};
use crate::process::tree;
use crate::roots::Roots;
use crate::service::Service;
use crate::step::context::Context;
use crate::step::registry::Steps;
use crate::transfer::Transfers;
use crate::unnamed::Unnamed;

/// Flow control: a transfer need not wait for the master's next turn.
const STREAM_WINDOW: u32 = 1 << 20;
/// Of the whole connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Calls at once: every running step followed, and some.
const STREAMS: u32 = 2048;
/// How long the last answers may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Rounds of KILL before the exit of a shim that is not PID 1.
const ROUNDS: usize = 200;

/// Runs until the end; answers the exit code.
pub fn run() -> Result<i32, Error> {
    let config = Config::from_env()?;
    let (limits, badness) = harden::this_process()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .map_err(Error::system("start the event loop"))?;
    let code = runtime.block_on(serve(config, limits, badness))?;
    if !limits.pid_one {
        end_everything();
    }
    Ok(code)
}

async fn serve(mut config: Config, limits: Inherited, badness: Badness) -> Result<i32, Error> {
    let signals = Signals::listen(limits.pid_one).map_err(Error::system("listen to signals"))?;
    let mut listener = Listener::open(&config.listen, limits.pid_one)?;
    let mailbox = open_mailbox(&config, limits.pid_one)?;
    let context = Arc::new(context(&config, limits, badness)?);
    let (masters, ending) = (Arc::new(Masters::default()), Ending::default());
    let steps = Arc::new(Steps::new(context.clone()));
    let watcher = Watcher { steps, context: context.clone(), masters: masters.clone(), ending: ending.clone() };
    let watcher = Arc::new(watcher);
    tokio::spawn(hear(signals, context.reaper.clone(), watcher.clone()));
    let told = tokio::select! {
        told = late::told(&mut config, &context, &mut listener) => told?,
        () = ending.exiting().cancelled_owned() => false,
    };
    if !told {
        return Ok(0);
    }
    let service = Service {
        info: info::observe(&config),
        steps: watcher.steps.clone(),
        transfers: context.transfers.clone(),
        roots: context.roots.clone(),
        mailbox,
        ending: ending.clone(),
    };
    tokio::spawn(async move { watcher.orphan(config.orphan_grace).await });
    serve_masters(service, listener, masters, &ending).await?;
    Ok(ending.code())
}

async fn serve_masters(
    service: Service,
    listener: Listener,
    masters: Arc<Masters>,
    ending: &Ending,
) -> Result<(), Error> {
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(Duration::from_secs(PING_SECONDS)))
        .http2_keepalive_timeout(Some(Duration::from_secs(DEAD_SECONDS - PING_SECONDS)));
    let calls = ShimServer::new(service).max_decoding_message_size(MESSAGE_BYTES);
    let exiting = ending.exiting();
    let incoming = listener.incoming(masters);
    let serving = server.serve_with_incoming_shutdown(calls, incoming, exiting.clone().cancelled_owned());
    let last_words = async {
        exiting.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        served = serving => served.map_err(|e| Error::system("serve")(std::io::Error::other(e))),
        () = last_words => Ok(()),
    }
}

fn open_mailbox(config: &Config, pid_one: bool) -> Result<Option<Arc<Mailbox>>, Error> {
    let Some(listener) = socket::open(config)? else { return Ok(None) };
    let mailbox = Arc::new(Mailbox::default());
    tokio::spawn(socket::serve(listener, mailbox.clone(), config.user.clone(), pid_one));
    Ok(Some(mailbox))
}

fn context(config: &Config, limits: Inherited, badness: Badness) -> Result<Context, Error> {
    let spool = config.spool_fd.map(|fd| inherited(shim_env::SPOOL_FD, fd)).transpose()?;
    let oom = match config.oom_fd {
        Some(fd) => Some(inherited(shim_env::OOM_FD, fd)?),
        None => own_oom_counter(&config.listen),
    };
    let files = Arc::new(Unnamed::new(spool, config.private.clone()));
    let is_coordinator = config.role == Role::Coordinator;
    let roots = Roots {
        workspace: config.workspace.clone(),
        danube: is_coordinator.then(|| config.danube.clone()),
        outbox: config.outbox.clone(),
    };
    Ok(Context {
        environment: config.environment.clone(),
        program: config.program.clone(),
        user: config.user.clone(),
        transfers: Arc::new(Transfers::new(files.clone(), roots.clone(), config.user.clone())),
        roots,
        private: config.private.clone(),
        inherited: limits,
        badness,
        reaper: Arc::new(Reaper::default()),
        files,
        oom,
        claims: Default::default(),
        ready: Default::default(),
    })
}

/// A pod hands over no descriptor, but its containers see their own control group, which no step can write to: of version 2
/// or of version 1.
fn own_oom_counter(listen: &Listen) -> Option<OwnedFd> {
    let places = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];
    let opened = || places.iter().find_map(|place| std::fs::File::open(place).ok());
    matches!(listen, Listen::Path(_)).then(opened).flatten().map(OwnedFd::from)
}

async fn hear(signals: Signals, reaper: Arc<Reaper>, watcher: Arc<Watcher>) {
    while let Ok(arrived) = signals.next().await {
        match arrived {
            Arrived::Child => reaper.reap(),
            Arrived::Terminate => {
                let watcher = watcher.clone();
                tokio::spawn(async move { watcher.evict().await });
            }
            Arrived::Ignored => {}
        }
    }
}

/// With PID 1 the kernel ends its container. Another shim ends what it adopted itself.
fn end_everything() {
    let reaper = Reaper::default();
    for _ in 0..ROUNDS {
        reaper.reap();
        let left = tree::all();
        if left.is_empty() {
            return;
        }
        for signal in [libc::SIGSTOP, libc::SIGKILL] {
            left.iter().for_each(|process| {
                send(process.pid, signal);
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
