//! What goes wrong before or around a job: a kind, the cause, what to do, an exit code.

use std::io::Write;
use std::process::ExitCode;

use danube_core::job::{ExitClass, FailureKind};
use danube_engine::master::Refused;

/// A command that failed.
#[derive(Debug)]
pub struct CliError {
    class: ExitClass,
    message: String,
    hint: Option<String>,
}

impl CliError {
    /// The user can mend it: usage, configuration, a danubefile that cannot be read.
    pub fn config(message: impl ToString) -> Self {
        Self { class: ExitClass::Config, message: message.to_string(), hint: None }
    }

    /// Danube or the machine failed.
    pub fn infra(message: impl ToString) -> Self {
        Self { class: ExitClass::Infra, message: message.to_string(), hint: None }
    }

    /// The same as a job's reason for its end.
    pub fn refused(&self) -> Refused {
        let kind = if self.class == ExitClass::Infra { FailureKind::Infra } else { FailureKind::Config };
        let hint = self.hint.as_ref().map(|hint| format!("; {hint}"));
        Refused { kind, message: format!("{}{}", self.message, hint.unwrap_or_default()) }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints it and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let mut text = format!("error: {}\n", self.message);
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        // Nobody may be listening; the exit code still tells.
        let _ = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.class.code())
    }

    /// The message alone.
    #[cfg(test)]
    pub fn message(&self) -> &str {
        &self.message
    }
}
