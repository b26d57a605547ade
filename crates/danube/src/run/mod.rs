//! `danube run`: one danubefile on this machine, without a server. Reads what was typed, copies the checkout, runs the
//! job on the embedded runtime by the same engine that a server has, shows it, and gives its exit code.

mod abandoned;
#[cfg(feature = "failpoints")]
mod cutting;
mod interrupt;
mod publish;
mod resume;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use danube_core::egress::EgressPolicy;
use danube_core::job::{ExitClass, Verdict};
use danube_engine::artifacts::ArtifactDir;
use danube_engine::job::progress::Observer;
use danube_engine::job::{Plan, Services};
use danube_engine::logs::LogDir;
use danube_engine::snapshot::{self, Objects, Snapshot};
use danube_sandbox::{Python, Sandbox, SandboxConfig};
use danube_store::jobs::{self, NewJob, Source};
use danube_store::{ARTIFACTS, Durability, LOGS, Store};

use crate::checkout::{self, Cause, Request, Terms, Which, python};
use crate::cli::{Color, Isolation, RunArgs};
use crate::error::CliError;
use crate::local::JobRuntime;
use crate::place::{Place, RunDir};
use crate::view::{self, Json, Terminal, View};

/// Said first, so that nobody takes such a run for another.
const NOT_ISOLATED: &str = "NOT ISOLATED: steps are plain processes of yours, can read and change all that you can, and \
    use this machine's network unrecorded";

/// Runs the command.
pub fn main(arguments: RunArgs) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(CliError::infra)?;
    let class = runtime.block_on(run(&arguments))?;
    Ok(ExitCode::from(class.code()))
}

pub use resume::now_ms;

/// A job that is ready to be run, or to be gone on with.
struct Ready {
    run: RunDir,
    store: Store,
    plan: Plan,
    secrets: std::collections::BTreeMap<String, String>,
    /// The one of `dev` and `serve` too: an engine is compiled once for each kind, and takes long.
    runtime: JobRuntime,
    heading: Vec<String>,
}

async fn run(arguments: &RunArgs) -> Result<ExitClass, CliError> {
    let started = Instant::now();
    let place = Place::find(arguments.how.data_dir.as_deref())?;
    let ready = match &arguments.resume {
        Some(which) => resume::ready(arguments, &place, which).await?,
        None => fresh(arguments, &place).await?,
    };
    let run = ready.run.clone();
    let verdict = execute(arguments, ready, started).await?;
    run.finished();
    place.prune();
    Ok(verdict.reason.map_or(ExitClass::Success, |reason| reason.kind.exit_class()))
}

async fn fresh(arguments: &RunArgs, place: &Place) -> Result<Ready, CliError> {
    let which = Which { dir: &arguments.dir, file: &arguments.file, commit: arguments.clean.then_some("HEAD") };
    let request = checkout::read(which, &arguments.params, &Terms::own(&arguments.how))?;
    abandoned::remove(place).await;
    resume::mention_interrupted(place);
    let run = place.new_run(checkout::new_job()?)?;
    let ready = begin(arguments, place, request, run.clone()).await;
    if ready.is_err() {
        // Nothing ran: what was copied so far may be what fills the disk.
        run.discard();
    }
    ready
}

/// A note beside the results, on stderr. Nobody may be listening.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Makes everything that a job needs, and its rows.
async fn begin(arguments: &RunArgs, place: &Place, request: Request, run: RunDir) -> Result<Ready, CliError> {
    // Python is asked for its version, and the checkout copied, at the same time.
    let memory = place.python();
    let python = tokio::task::spawn_blocking(move || python::find(&memory));
    let snapshot = copy(arguments, &request, &run).await?;
    let python = python.await.map_err(CliError::infra)??;
    let sandbox = Sandbox::new(config(arguments, place, &run, python.clone())?);
    let actor = std::env::var("USER").unwrap_or_default();
    let cause = Cause { trigger: "manual", actor: &actor };
    let plan = request.plan(&run.places(), &cause, &python.path, &snapshot, &sandbox.paths(&run.attempt()))?;
    let store = Store::open_new(&run.dir, Durability::Kill, place.dir()).await.map_err(CliError::infra)?;
    insert_job(&store, &request, &plan, &snapshot).await?;
    let heading = heading(arguments, &request, &snapshot);
    let runtime = JobRuntime::Sandbox(Arc::new(sandbox), python.path);
    Ok(Ready { run, store, plan, secrets: request.secrets, runtime, heading })
}

/// The embedded runtime's set-up.
fn config(arguments: &RunArgs, place: &Place, run: &RunDir, python: Python) -> Result<SandboxConfig, CliError> {
    let mut config = checkout::sandbox(&Terms::own(&arguments.how), place, run.dir.clone(), python)?;
    config.keep = arguments.keep.then(|| run.workspace());
    Ok(config)
}

async fn copy(arguments: &RunArgs, request: &Request, run: &RunDir) -> Result<Snapshot, CliError> {
    let (dir, workspace, source) = (request.dir.clone(), run.workspace(), run.source());
    let (clean, watched) = (arguments.clean, io::stderr().is_terminal() && !arguments.json);
    let copied = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let progress = |done: u64, all: u64, bytes: u64| {
            if watched && started.elapsed().as_secs() >= 1 && done.is_multiple_of(64) {
                let _ = write!(io::stderr(), "\rcopying the checkout: {done} of {all} files, {} MiB ", bytes >> 20);
            }
        };
        let commit = clean.then_some("HEAD");
        let request = snapshot::Request {
            dir: &dir,
            commit,
            workspace: &workspace,
            source: &source,
            title: false,
            objects: Objects::Borrowed,
        };
        let taken = snapshot::take(&request, &progress);
        if watched && started.elapsed().as_secs() >= 1 {
            note("");
        }
        taken
    });
    copied.await.map_err(CliError::infra)?.map_err(CliError::infra)
}

async fn insert_job(store: &Store, request: &Request, plan: &Plan, snapshot: &Snapshot) -> Result<(), CliError> {
    let job = NewJob {
        id: plan.group.attempt.job.clone(),
        pipeline: plan.group.pipeline.clone(),
        source: Source {
            dir: Some(request.dir.to_string_lossy().into_owned()),
            reference: snapshot.branch.clone(),
            sha: snapshot.commit.clone(),
            dirty: snapshot.dirty,
            title: None,
        },
        trigger: "run".to_owned(),
        actor: Some(plan.context.actor.clone()).filter(|actor| !actor.is_empty()),
        params: serde_json::to_string(&plan.context.params).map_err(CliError::infra)?,
        spec: serde_json::to_string(plan).map_err(CliError::infra)?,
        created_ms: resume::now_ms(),
        rerun_of: None,
        concurrency: None,
        supersedes: false,
    };
    let written = store.write(move |tx| Box::pin(async move { jobs::insert(tx, &job).await })).await;
    written.map(drop).map_err(CliError::infra)
}

/// What is run, in two lines.
fn heading(arguments: &RunArgs, request: &Request, snapshot: &Snapshot) -> Vec<String> {
    let commit = snapshot.commit.as_ref().map(|commit| commit.chars().take(10).collect::<String>());
    let what = match (&snapshot.branch, commit) {
        (Some(branch), Some(commit)) => format!("{branch} at {commit}"),
        (None, Some(commit)) => commit,
        _ => "no Git commit".to_owned(),
    };
    let dirty = if snapshot.dirty && snapshot.commit.is_some() { " with uncommitted changes" } else { "" };
    let files = view::count(usize::try_from(snapshot.files).unwrap_or(usize::MAX), "file");
    let mut lines = vec![format!("{} · {what}{dirty} · {files}", request.danubefile.name)];
    if arguments.how.isolation == Isolation::None {
        lines.push(NOT_ISOLATED.to_owned());
    }
    lines
}

/// Runs the job and shows it; interrupts cancel it.
async fn execute(arguments: &RunArgs, ready: Ready, started: Instant) -> Result<Verdict, CliError> {
    let mut view = view(arguments, ready.plan.group.egress.clone());
    if let View::Terminal(terminal) = &mut view {
        // Nobody may be looking, here as later.
        let _ = ready.heading.iter().try_for_each(|line| terminal.heading(line));
    }
    let logs = LogDir::new(ready.run.dir.join(LOGS));
    let runtime = ready.runtime;
    #[cfg(feature = "failpoints")]
    let runtime = cutting::Cutting::new(runtime);
    if arguments.json && arguments.how.isolation == Isolation::None {
        note(NOT_ISOLATED);
    }
    let artifacts = ArtifactDir::new(ready.run.dir.join(ARTIFACTS));
    let kept = artifacts.clone();
    let services = Services { runtime: Arc::new(runtime), store: ready.store.clone(), logs, artifacts };
    let (observer, progress) = Observer::new();
    let mut orders = interrupt::orders().map_err(CliError::infra)?;
    let (plan, secrets) = (ready.plan, ready.secrets);
    // In a task of its own: a terminal that is stopped blocks this thread, and must not stop the job.
    let job =
        tokio::spawn(async move { danube_engine::job::run(services, plan, secrets, observer, &mut orders).await });
    let shown = view::show(progress, &mut view).await;
    let verdict = job.await.map_err(CliError::infra)?.map_err(CliError::infra)?;
    // A terminal that went away does not change how the job ended.
    if let Ok(mut summary) = shown {
        summary.artifacts_dir = publish::publish(&kept, &ready.run, &summary.artifacts, arguments.artifacts.as_deref());
        summary.workspace = Some(ready.run.workspace()).filter(|dir| arguments.keep && dir.exists());
        let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let _ = view.finished(&summary, &verdict, took);
    }
    ready.store.close().await;
    Ok(verdict)
}

fn view(arguments: &RunArgs, policy: EgressPolicy) -> View {
    if arguments.json {
        return View::Json(Json::new(policy));
    }
    let colors = match arguments.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
    };
    View::Terminal(Terminal::new(colors, policy))
}
