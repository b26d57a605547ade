//! What a master needs of this machine, looked at before anything is started.

use std::num::NonZeroUsize;
use std::process::Command;

use danube_core::queue::Limits;
use danube_sandbox::{Python, find_python};

use crate::error::CliError;

/// The Python that runs danubefiles.
pub fn python() -> Result<Python, CliError> {
    find_python(&std::env::var("PATH").unwrap_or_default()).map_err(CliError::infra)
}

/// What Git says of itself.
pub fn git_version() -> Result<String, CliError> {
    let asked = Command::new("git").arg("version").output();
    let missing = |error| CliError::config(format!("git: {error}")).hint("install it: Debian: apt install git");
    let output = asked.map_err(missing)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How many jobs run at once: as many as was said, else as many as there are processors.
pub fn limits(overall: Option<NonZeroUsize>, per_pipeline: Option<NonZeroUsize>) -> Limits {
    let cores = || std::thread::available_parallelism().map_or(2, NonZeroUsize::get).max(2);
    let overall = overall.map_or_else(cores, NonZeroUsize::get);
    Limits { overall, per_pipeline: per_pipeline.map_or(overall, NonZeroUsize::get) }
}
