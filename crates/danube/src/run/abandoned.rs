//! Runs that nobody will go on with: their engine was killed, their containers have ended by themselves, and a day has
//! passed. The next run takes them away.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use danube_core::runtime::Runtime;
use danube_sandbox::{Sandbox, SandboxConfig};

use super::{note, resume};
use crate::error::CliError;
use crate::place::{Place, RunDir};
use crate::view;

/// So long `--resume` can go on with a run.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes them, and says so in one line.
pub async fn remove(place: &Place) {
    let mut removed = 0;
    for run in place.runs().iter().filter(|run| resume::is_interrupted(run) && is_old(run)) {
        match remove_one(run).await {
            Ok(true) => removed += 1,
            Ok(false) => {}
            Err(error) => tracing::warn!(run = %run.job, ?error, "an interrupted run was not removed"),
        }
    }
    if removed > 0 {
        note(&format!("note: {} of more than a day ago removed", view::count(removed, "interrupted run")));
    }
}

/// Whether it is gone: a run whose containers still work is left alone.
async fn remove_one(run: &RunDir) -> Result<bool, CliError> {
    let this = std::env::current_exe().map_err(CliError::infra)?;
    // Nothing is started: the set-up only says where groups are, and who removes what other ids wrote.
    let config = SandboxConfig::new(run.dir.clone(), PathBuf::new(), vec![this, crate::MONITOR.into()]);
    let sandbox = Sandbox::new(config);
    let groups = sandbox.list().await.map_err(CliError::infra)?;
    if groups.iter().any(|group| group.running) {
        return Ok(false);
    }
    for group in &groups {
        sandbox.delete(&group.attempt).await.map_err(CliError::infra)?;
    }
    run.discard();
    Ok(!run.dir.exists())
}

/// Nothing in its folder has changed for a day.
fn is_old(run: &RunDir) -> bool {
    let entries = fs::read_dir(&run.dir).into_iter().flatten().flatten();
    let newest = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max();
    newest.is_some_and(|newest| SystemTime::now().duration_since(newest).is_ok_and(|age| age > AGE))
}
