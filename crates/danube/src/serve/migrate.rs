//! `danube migrate`: the database's schema, looked at or brought up to this version's while no master runs.

use std::io::Write;
use std::process::ExitCode;

use danube_core::job::ExitClass;
use danube_store::schema::{self, Schema};

use crate::cli::MigrateArgs;
use crate::error::CliError;
use crate::place::Place;
use crate::settings;

/// Runs the command. Exit code 1 when there is something to do and it was only asked.
pub fn main(arguments: &MigrateArgs) -> Result<ExitCode, CliError> {
    let dir = Place::at(settings::read(&arguments.config.config)?.data_dir).master();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::infra)?;
    let asked = async { if arguments.check { schema::look(&dir).await } else { schema::migrate(&dir).await } };
    let found = runtime.block_on(asked).map_err(CliError::infra)?;
    let (class, words) = told(found, arguments.check);
    // Nobody may be listening; the exit code still tells.
    let _ = writeln!(std::io::stdout(), "{}: {words}", dir.join(danube_store::DATABASE).display());
    Ok(ExitCode::from(class.code()))
}

fn told(found: Option<Schema>, check: bool) -> (ExitClass, String) {
    match found {
        None => (ExitClass::Success, "there is no database yet; the first start makes it".to_owned()),
        Some(schema) if schema.is_current() => (ExitClass::Success, format!("up to date, schema {}", schema.known)),
        Some(Schema { found, known }) if check => (
            ExitClass::Failed,
            format!("to be brought from schema {found} to {known}: `danube migrate`, or a start, does it"),
        ),
        Some(Schema { found, known }) => (ExitClass::Success, format!("brought from schema {found} to {known}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_from_which_schema_to_which() {
        let old = Some(Schema { found: 3, known: 8 });
        let (asked, words) = told(old, true);
        assert!(asked == ExitClass::Failed && words.starts_with("to be brought from schema 3 to 8"), "{words}");
        assert_eq!(told(old, false), (ExitClass::Success, "brought from schema 3 to 8".to_owned()));
        assert_eq!(told(Some(Schema { found: 8, known: 8 }), true).0, ExitClass::Success);
        assert_eq!(told(None, true).0, ExitClass::Success);
    }
}
