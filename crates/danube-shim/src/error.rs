//! What can go wrong before the shim serves. Afterwards every error is an answer to the master.

use std::io;
use std::path::PathBuf;

/// Why the shim cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable that the runtime must set is missing.
    #[error("{0} is not set: the runtime that starts the shim must set it (docs/shim.md)")]
    Missing(&'static str),
    /// A variable has a value the shim cannot use.
    #[error("{name}={value:?} is not {expected}: correct it where the shim is started (docs/shim.md)")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The system refused something the shim needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The same with a path.
    #[error("cannot {what} {}: {source}", path.display())]
    Path {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A bridge under somebody's control would be that somebody's way to the shim.
    #[error("this process is traced: nothing will pass here")]
    Traced,
    /// The command line.
    #[error("usage: danube-shim | danube-shim install DIR | danube-shim bridge SOCKET | danube-shim --version")]
    Usage,
}

impl Error {
    /// For `map_err`: the system refused `what`.
    pub fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { what, source: source.into() }
    }

    /// For `map_err`: the system refused `what` with this file.
    pub fn path<E: Into<io::Error>>(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        move |source| Self::Path { what, path: path.into(), source: source.into() }
    }
}
