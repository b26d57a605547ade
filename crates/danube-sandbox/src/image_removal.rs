//! Removes unpacked images, and what was downloaded. Their files belong to the containers' ids: where those are a user's range, only a
//! process within it may.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::SandboxError;
use crate::images::registry::Cache;
use crate::images::{self, Hands, ImageError, ImageStore, ResolvedImage, Unpacked};
use crate::monitor::CLEAR;

/// Removes every image that no container uses; `sweeper` is the monitor's program.
pub fn remove_unused(dir: &Path, sweeper: Command) -> Result<usize, SandboxError> {
    let words = |error: ImageError| SandboxError::Image(error.to_string());
    let store = ImageStore::open(dir).map_err(words)?;
    let mut hands = Sweeping(sweeper);
    store.sweep(&mut hands).map_err(words)?;
    Cache::open(dir).and_then(|cache| cache.shrink(0)).map_err(words)?;
    let mut removed = 0;
    for image in store.list().map_err(words)? {
        match store.remove(&image.key, &mut hands) {
            Ok(gone) => removed += usize::from(gone),
            Err(ImageError::InUse(_)) => {}
            Err(error) => return Err(words(error)),
        }
    }
    Ok(removed)
}

struct Sweeping(Command);

impl Hands for Sweeping {
    fn unpack(&mut self, _: &ResolvedImage, _: BorrowedFd<'_>) -> images::Result<Unpacked> {
        Err(failed("unpack", std::io::ErrorKind::Unsupported.into()))
    }

    fn clear(&mut self, root: BorrowedFd<'_>) -> images::Result<()> {
        if images::clear(root).is_ok() {
            return Ok(());
        }
        let stdin = root.try_clone_to_owned().map_err(|error| failed("clear", error))?;
        let mut command = Command::new(self.0.get_program());
        command.args(self.0.get_args()).arg(CLEAR).stdin(stdin).stderr(Stdio::piped());
        let output = command.output().map_err(|error| failed("clear", error))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed("clear", std::io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())))
    }
}

fn failed(action: &'static str, source: std::io::Error) -> ImageError {
    ImageError::Store { action, path: "an unpacked image".into(), source }
}
