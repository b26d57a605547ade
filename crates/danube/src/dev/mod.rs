//! `danube dev`: a master for the checkout here, its first job at once, and the job's log in this terminal. Everything
//! shown comes by the same API that the other commands use.

mod example;
mod keys;
mod port;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use danube_core::job::ExitClass;
use danube_engine::master::{Stop, Submission};
use danube_store::pipelines::PipelineRow;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::checkout::{self, Terms, Which};
use crate::cli::DevArgs;
use crate::client;
use crate::error::CliError;
use crate::local::instance::{self, Announced, Kind};
use crate::local::stops::Stops;
use crate::local::{self, Jobs, Local, Settings, needs};
use crate::place::Place;
use keys::{Key, Keys};

/// How long is waited for what should take no time.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a checkout is run by unless it says otherwise.
const DANUBEFILE: &str = "danubefile.py";

/// Runs the command.
pub fn main(arguments: DevArgs) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::infra)?;
    runtime.block_on(dev(&arguments))?;
    Ok(ExitCode::from(ExitClass::Success.code()))
}

async fn dev(arguments: &DevArgs) -> Result<(), CliError> {
    let place = Place::find(arguments.how.data_dir.as_deref())?;
    instance::refuse_a_second(&place)?;
    let python = needs::python()?;
    say(&format!("python {} is {}", python.version, python.path.display()));
    say(&needs::git_version()?);
    let dir = checkout_or_example(arguments, &place)?;
    let pipeline = pipeline(arguments, &dir)?;
    let settings = Settings {
        dir: place.master(),
        terms: Terms::own(&arguments.how),
        jobs: Jobs::Here { python, warm: arguments.warm.into() },
        limits: needs::limits(arguments.jobs, None),
        listener: port::listen(arguments.port).await?,
        hosts: Vec::new(),
        api_token: None,
        place: place.clone(),
    };
    let mut local = local::start(settings).await?;
    local.register(pipeline.clone()).await?;
    let _announced = Announced::write(Kind::Dev, place.dir(), &local.url, &local.token)?;
    say(&format!("{} is the pipeline `{}`", dir.display(), pipeline.name));
    welcome(arguments, &local);
    let outcome = session(arguments, &mut local, &pipeline.name).await;
    local.close().await;
    outcome
}

/// The folder that was named, the one here, or the bundled example where there is nothing to run.
fn checkout_or_example(arguments: &DevArgs, place: &Place) -> Result<PathBuf, CliError> {
    let here = arguments.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    if arguments.dir.is_some() || here.join(DANUBEFILE).exists() {
        return here.canonicalize().map_err(|error| {
            CliError::config(format!("{}: {error}", here.display())).hint("name the folder that holds the danubefile")
        });
    }
    say(&format!("no {DANUBEFILE} here: this is the bundled example (`danube init` writes one for your project)"));
    example::unpack(&place.dir().join("example"))
}

fn pipeline(arguments: &DevArgs, dir: &Path) -> Result<PipelineRow, CliError> {
    let which = Which { dir, file: &arguments.file, commit: None };
    let request = checkout::read(which, &arguments.params, &Terms::own(&arguments.how))?;
    Ok(PipelineRow {
        name: request.danubefile.name,
        dir: dir.to_string_lossy().into_owned(),
        entry_point: request.entry_point,
        branch: None,
        warm: 0,
        registered_ms: crate::run::now_ms(),
    })
}

fn welcome(arguments: &DevArgs, local: &Local) {
    let usual = local.url.ends_with(&format!(":{}", port::USUAL));
    let moved = if usual || arguments.port.is_some() { String::new() } else { format!(" ({} is taken)", port::USUAL) };
    say(&format!("\nDanube is at {}{moved}", local.url));
    say(&format!("  open {}   once, within 10 minutes\n", local.link()));
}

/// Runs jobs and shows them until somebody stops it.
async fn session(arguments: &DevArgs, local: &mut Local, pipeline: &str) -> Result<(), CliError> {
    let mut stops = Stops::listen().map_err(CliError::infra)?;
    let mut keys = Keys::read();
    let mut shown = JoinSet::new();
    if !arguments.no_run {
        submit(arguments, local, pipeline, &mut shown).await;
    }
    loop {
        tokio::select! {
            () = stops.next() => break,
            ended = local.ended() => return ended,
            Some(seen) = shown.join_next() => seen_to_its_end(&keys, seen),
            key = keys.next() => match key {
                Key::Run => submit(arguments, local, pipeline, &mut shown).await,
                Key::Link => say(&format!("  open {}   once, within 10 minutes", local.link())),
                Key::Quit => break,
            },
        }
    }
    say("stopping: running jobs are cancelled and may clean up; Ctrl-C once more kills them");
    local.stop(Stop::Cancel);
    let ended = tokio::select! {
        ended = local.ended() => ended,
        () = stops.next() => {
            local.stop(Stop::Kill);
            timeout(PATIENCE, local.ended()).await.unwrap_or_else(|_| Err(given_up()))
        }
    };
    // How they ended is durable: it is shown at once, or not at all.
    let rest = async { while shown.join_next().await.is_some() {} };
    let _ = timeout(PATIENCE, rest).await;
    ended
}

fn given_up() -> CliError {
    CliError::infra("some jobs did not end: they are left running")
        .hint("the next `danube dev` takes them up; without one they end by themselves within an hour")
}

/// Runs the checkout as it stands now, and shows it beside what is shown already.
async fn submit(arguments: &DevArgs, local: &Local, pipeline: &str, shown: &mut JoinSet<Result<(), CliError>>) {
    let submission = Submission {
        pipeline: pipeline.to_owned(),
        params: arguments.params.clone(),
        trigger: "dev",
        actor: std::env::var("USER").ok(),
        ..Submission::default()
    };
    match local.master.submit(submission).await {
        Ok(job) => {
            shown.spawn(client::watch(local.url.clone(), local.token.clone(), job.id.to_string()));
        }
        // Whoever edits a danubefile makes mistakes: the next try is a key away.
        Err(error) => say(&format!("error: {error}")),
    }
}

fn seen_to_its_end(keys: &Keys, seen: Result<Result<(), CliError>, tokio::task::JoinError>) {
    match seen {
        Ok(Err(error)) => drop(error.report()),
        Err(died) => say(&format!("error: {died}")),
        Ok(Ok(())) if keys.are_read() => say("\nr run again · l link to log in · q stop"),
        Ok(Ok(())) => {}
    }
}

/// Nobody may be listening.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
