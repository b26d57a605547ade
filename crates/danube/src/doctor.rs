//! `danube doctor`: in one line each, what this machine offers, and what to do about what is missing.

use std::process::{Command, ExitCode};

use crate::cli::DoctorArgs;
use crate::error::CliError;
use crate::place::Place;

/// Runs the command.
pub fn main(arguments: &DoctorArgs) -> Result<ExitCode, CliError> {
    let _ = (arguments, Command::new("git"), Place::find(None)?);
    Ok(danube_sandbox::probe::print())
}
