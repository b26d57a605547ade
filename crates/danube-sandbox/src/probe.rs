//! What this machine allows.

use std::process::ExitCode;

/// Prints what the machine allows.
#[must_use]
pub fn print() -> ExitCode {
    ExitCode::SUCCESS
}
