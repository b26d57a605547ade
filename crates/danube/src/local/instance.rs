//! How other commands find a master that runs on this machine: a file in the data directory, for its owner's eyes only.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::place::Place;

/// Which command a master was started by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `danube dev`.
    Dev,
    /// `danube serve`.
    Serve,
}

impl Kind {
    /// All of them. One data directory has one master at a time.
    pub const ALL: [Self; 2] = [Self::Dev, Self::Serve];

    /// As it is typed.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Dev => "danube dev",
            Self::Serve => "danube serve",
        }
    }

    /// Where its file stands in the data directory.
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            Self::Dev => "dev.json",
            Self::Serve => "serve.json",
        })
    }
}

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Where it is spoken to.
    pub url: String,
    /// What lets in.
    pub token: String,
    /// Its process.
    pub pid: u32,
}

/// The file, as long as the master runs.
pub struct Announced(PathBuf);

impl Announced {
    /// Writes it.
    pub fn write(kind: Kind, dir: &Path, url: &str, token: &str) -> Result<Self, CliError> {
        let path = kind.path(dir);
        let instance = Instance { url: url.to_owned(), token: token.to_owned(), pid: std::process::id() };
        write(&path, &instance)
            .map_err(|error| CliError::infra(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // The process is gone soon, which whoever reads the file finds out.
        let _ = fs::remove_file(&self.0);
    }
}

/// Who starts a second one wants to know where the first one is.
pub fn refuse_a_second(place: &Place) -> Result<(), CliError> {
    if !danube_store::is_locked(&place.master()) {
        return Ok(());
    }
    let files = Kind::ALL.map(|kind| (kind, std::fs::read(kind.path(place.dir())).ok()));
    let running = files.into_iter().find_map(|(kind, text)| {
        let instance = serde_json::from_slice::<Instance>(&text?).ok()?;
        Some(format!("`{}` runs already at {} (process {})", kind.command(), instance.url, instance.pid))
    });
    let running = running.unwrap_or_else(|| "another Danube is using it".to_owned());
    Err(CliError::config(format!("{}: {running}", place.dir().display()))
        .hint("use that one, stop it, or give this one a data directory of its own"))
}

fn write(path: &Path, instance: &Instance) -> std::io::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(instance)?)?;
    fs::rename(new, path)
}
