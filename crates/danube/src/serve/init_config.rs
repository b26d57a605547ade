//! `danube init-config`: a danube.toml to begin with.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use danube_config::server::{USUAL_PATH, starter};

use crate::cli::InitConfigArgs;
use crate::error::CliError;

/// Runs the command.
pub fn main(arguments: &InitConfigArgs) -> Result<ExitCode, CliError> {
    write_new(&arguments.path, &starter())?;
    let shown = arguments.path.display();
    let named = if arguments.path == Path::new(USUAL_PATH) { String::new() } else { format!(" --config {shown}") };
    // Nobody may be listening.
    let _ = writeln!(
        std::io::stdout(),
        "{shown} is written. Name the configuration repository in it (url), then start: danube serve{named}"
    );
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that is not there yet, and the folder around it.
pub fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            CliError::config(format!("{}: it is there already, and stays as it is", path.display()))
                .hint("name another place, or remove it first")
        }
        _ => CliError::config(format!("cannot write {}: {error}", path.display())),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
