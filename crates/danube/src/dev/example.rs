//! The example that is served where there is no danubefile.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// A file of the example and its content.
macro_rules! file {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../../examples/python/", $name)))
    };
}

/// Every file of it that a job needs.
const FILES: [(&str, &str); 10] = [
    file!("danubefile.py"),
    file!("pyproject.toml"),
    file!("README.md"),
    file!("src/tidemark/__init__.py"),
    file!("src/tidemark/__main__.py"),
    file!("src/tidemark/ranges.py"),
    file!("src/tidemark/version.py"),
    file!("tests/test_command.py"),
    file!("tests/test_version.py"),
    file!("tools/package.py"),
];

/// Writes what is not there yet: who changed a file of it wants to see the change.
pub fn unpack(dir: &Path) -> Result<PathBuf, CliError> {
    for (name, content) in FILES {
        let path = dir.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| match path.exists() {
            true => Ok(()),
            false => fs::write(&path, content),
        });
        written.map_err(|error| CliError::infra(format!("cannot write the example to {}: {error}", path.display())))?;
    }
    Ok(dir.to_owned())
}
