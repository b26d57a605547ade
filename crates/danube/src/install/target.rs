//! The system that is installed into: this machine, or one that lies in a folder (an image, a chroot seen from outside).

use std::ffi::OsStr;
use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::CliError;

/// Where administrators' programs are, which `sudo` and `su` may not have in their PATH.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A system, by its root folder.
pub struct Target {
    root: PathBuf,
}

impl Target {
    /// The system below this folder.
    pub fn new(root: &Path) -> Result<Self, CliError> {
        let root = fs::canonicalize(root).map_err(|error| {
            CliError::config(format!("--root {}: {error}", root.display())).hint("name a folder that is there")
        })?;
        Ok(Self { root })
    }

    /// Where a path of that system is.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What a file of ours is called in that system.
    pub fn inner(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).map_or_else(|_| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// Whether it is the one that runs here.
    pub fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Whether systemd runs it now; in a chroot it does not.
    pub fn runs_systemd(&self) -> bool {
        self.is_here() && Path::new("/run/systemd/system").is_dir()
    }

    /// The option by which Debian's programs work on another root.
    pub fn option(&self, name: &str) -> Option<String> {
        (!self.is_here()).then(|| format!("{name}={}", self.root.display()))
    }

    /// Refuses early what would end in the middle.
    pub fn check(&self, dry: bool) -> Result<(), CliError> {
        if self.is_here() && !has("systemctl") {
            return Err(CliError::config("this system has no systemd, which is to start the server").hint(
                "without it: `danube init-config FILE`, then `danube serve --config FILE` by what starts services here",
            ));
        }
        if self.is_here() && !dry && !is_root() {
            return Err(CliError::config("only root may make accounts and units")
                .hint("sudo danube …; --dry-run says what it would do; --root DIR works on a folder of yours"));
        }
        Ok(())
    }
}

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether there is such a program.
pub fn has(program: &str) -> bool {
    std::env::split_paths(PROGRAMS).any(|folder| folder.join(program).is_file())
}

/// Runs a program of the system to its end.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Result<(), CliError> {
    let output = Command::new(program).args(arguments).env("PATH", PROGRAMS).env("LC_ALL", "C.UTF-8").output();
    let output = output.map_err(|error| CliError::infra(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(CliError::infra(format!("{program} ended with {}: {said}", output.status))
        .hint("mend that, then run this again"))
}

/// What a failed change means and what to do.
pub fn failed(path: &Path, error: &Error) -> CliError {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => "run it as root, or name a --root that is yours",
        ErrorKind::ReadOnlyFilesystem => {
            "mount it writable; a system that is an image is changed in the image, by --root DIR"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, then run this again",
        _ => "mend that, then run this again: what is done already is left as it is",
    };
    CliError::config(format!("cannot change {}: {error}", path.display())).hint(hint)
}
