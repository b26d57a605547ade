//! Files that know who wrote them: the first line has a hash of the rest, so that what an administrator changed is told
//! from what an older version wrote.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::changes::{Changes, Kind};
use super::target::failed;
use crate::error::CliError;

/// How every such file begins.
pub const MARK: &str = "# Written by `danube install`";
const CHANGED: &str = "it is not as `danube install` wrote it";

/// What stands under a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// What some version of ours wrote, unchanged.
    Ours(Vec<u8>),
    /// Anything else.
    Others,
}

/// The text with its first line.
pub fn sealed(text: &str) -> String {
    format!("{MARK}, which replaces or removes it as long as it is unchanged: {}\n{text}", hash(text))
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

/// Looks.
pub fn find(path: &Path) -> Result<Found, CliError> {
    match fs::read(path) {
        Ok(bytes) => Ok(if is_sealed(&bytes) { Found::Ours(bytes) } else { Found::Others }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(failed(path, &error)),
    }
}

fn is_sealed(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split_once('\n').is_some_and(|(first, rest)| first.starts_with(MARK) && first.ends_with(&hash(rest)))
}

/// Writes the text, sealed, unless it is there or somebody has changed it. Says whether it was written.
pub fn ensure(path: &Path, text: &str, changes: &mut Changes) -> Result<bool, CliError> {
    let text = sealed(text);
    let kind = match find(path)? {
        Found::Ours(bytes) if bytes == text.as_bytes() => return Ok(false),
        Found::Others => {
            changes.keep(path.display(), format!("{CHANGED}; for this version's, move it away and run this again"));
            return Ok(false);
        }
        Found::Ours(_) => Kind::Replace,
        Found::Nothing => Kind::Make,
    };
    changes.apply(kind, path.display(), || write(path, text.as_bytes(), 0o644))?;
    Ok(true)
}

/// Removes it, unless somebody has changed it.
pub fn remove(path: &Path, changes: &mut Changes) -> Result<(), CliError> {
    match find(path)? {
        Found::Nothing => Ok(()),
        Found::Others => {
            changes.keep(path.display(), CHANGED);
            Ok(())
        }
        Found::Ours(_) => {
            changes.apply(Kind::Remove, path.display(), || fs::remove_file(path).map_err(|error| failed(path, &error)))
        }
    }
}

/// Writes a file so that it is there whole or not at all, whatever happens.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CliError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = || {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    written().map_err(|error| {
        // It may never have come to be.
        let _ = fs::remove_file(&partial);
        failed(path, &error)
    })
}

/// Makes a folder, if there is none.
pub fn ensure_folder(path: &Path, mode: u32, owner: Option<(u32, u32)>, changes: &mut Changes) -> Result<(), CliError> {
    if path.is_dir() {
        return Ok(());
    }
    changes.apply(Kind::Make, format_args!("{}/", path.display()), || {
        let made = || {
            fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            owner.map_or(Ok(()), |(user, group)| chown(path, Some(user), Some(group)))
        };
        made().map_err(|error| failed(path, &error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_told_from_an_older_one() {
        assert!(is_sealed(sealed("[Unit]\n").as_bytes()) && is_sealed(sealed("").as_bytes()));
        assert!(!is_sealed(sealed("[Unit]\n").replace("Unit", "unit").as_bytes()));
        assert!(!is_sealed(format!("{}\n", sealed("[Unit]\n")).as_bytes()));
        assert!(!is_sealed(b"[Unit]\n") && !is_sealed(b"") && !is_sealed(b"\xff\n"));
    }
}
