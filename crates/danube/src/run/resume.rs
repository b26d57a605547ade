//! Going on with a run whose engine was killed: its containers live on by themselves for a while, and the rows say how
//! far it was.

use std::sync::Arc;

use danube_store::{Durability, Store, jobs};

use danube_engine::job::Plan;

use super::{Ready, config, note};
use crate::checkout::{python, secrets};
use crate::cli::RunArgs;
use crate::error::CliError;
use crate::local::JobRuntime;
use crate::place::{Place, RunDir};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Says that a run was interrupted, so that nobody wonders what still works.
pub fn mention_interrupted(place: &Place) {
    for run in place.runs().iter().filter(|run| is_interrupted(run)).take(1) {
        note(&format!("note: run {} was interrupted; `danube run --resume` goes on with it", run.job));
    }
}

/// A run with a database, without an end, that no engine works on.
pub fn is_interrupted(run: &RunDir) -> bool {
    is_begun(run) && !danube_store::is_locked(&run.dir)
}

fn is_begun(run: &RunDir) -> bool {
    !run.is_finished() && run.dir.join(danube_store::DATABASE).exists()
}

/// Reads a run's plan from its rows.
pub async fn ready(arguments: &RunArgs, place: &Place, which: &str) -> Result<Ready, CliError> {
    let run = find(place, which)?;
    let store = Store::open_with(&run.dir, Durability::Kill).await.map_err(CliError::infra)?;
    let row = jobs::get(store.read(), &run.job).await.map_err(CliError::infra)?;
    let row = row.ok_or_else(|| CliError::config(format!("run {} was never begun", run.job)))?;
    let plan: Plan = serde_json::from_str(&row.spec).map_err(|error| {
        CliError::infra(format!("the plan of run {} cannot be read: {error}", run.job))
            .hint("it was written by another version of Danube: go on with that one")
    })?;
    let secrets = secrets::read(&arguments.how.secrets)?;
    if let Some(missing) = plan.secrets.iter().find(|name| !secrets.contains_key(*name)) {
        return Err(CliError::config(format!("run {} was begun with the secret {missing}", run.job))
            .hint(format!("secrets are never stored: give it again with --secret {missing}")));
    }
    let python = python::find(&place.python())?;
    let sandbox = danube_sandbox::Sandbox::new(config(arguments, place, &run, python.clone())?);
    let runtime = JobRuntime::Sandbox(Arc::new(sandbox), python.path);
    let heading = vec![format!("{} · going on with run {}", row.pipeline, run.job)];
    Ok(Ready { run, store, plan, secrets, runtime, heading })
}

fn find(place: &Place, which: &str) -> Result<RunDir, CliError> {
    let mut runs = place.runs().into_iter();
    let found = match which {
        // Without an interrupted one, one that is being worked on: opening it says by which process.
        "last" => place.runs().into_iter().find(is_interrupted).or_else(|| runs.find(is_begun)),
        id => runs.find(|run| run.job.as_str() == id),
    };
    match found {
        Some(run) if run.is_finished() => Err(CliError::config(format!("run {} has ended", run.job))),
        Some(run) => Ok(run),
        None => Err(CliError::config(format!("no interrupted run in {}", place.dir().join("runs").display()))
            .hint("a run is kept under the --data-dir it was begun with")),
    }
}
