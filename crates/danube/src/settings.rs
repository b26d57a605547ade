//! danube.toml as commands read it, and where it is.

use std::fs;
use std::path::{Path, PathBuf};

use danube_config::server::{self, ServerConfig, USUAL_PATH};

use crate::error::CliError;

/// Reads the file that was named, or stands in the usual place.
pub fn read(path: &Path) -> Result<ServerConfig, CliError> {
    server::read(&path.display().to_string(), &bytes(path)?).map_err(CliError::config)
}

/// What the file holds.
pub fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| {
        let error = CliError::config(format!("{}: {error}", path.display()));
        error.hint("`danube init-config` writes one; --config or DANUBE_CONFIG names another (docs/danube.toml.md)")
    })
}

/// What this machine's server is told, where there is one and we may know.
pub fn of_this_machine() -> Result<Option<ServerConfig>, CliError> {
    match std::env::var_os("DANUBE_CONFIG") {
        Some(named) => read(&PathBuf::from(named)).map(Some),
        None if fs::File::open(USUAL_PATH).is_ok() => read(Path::new(USUAL_PATH)).map(Some),
        None => Ok(None),
    }
}
