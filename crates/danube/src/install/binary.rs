//! The program itself, in its place.

use std::fs;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::changes::{Changes, Kind};
use super::files::{self, MARK};
use super::target::{Target, failed};
use crate::error::CliError;

/// Where it is put, unless a package has put it somewhere.
pub const PLACE: &str = "/usr/local/bin/danube";
/// Where packages put it: there it stays.
const PACKAGED: [&str; 3] = ["/usr/bin", "/nix/store", "/opt"];
/// This very file, even if it has been replaced meanwhile.
const ITSELF: &str = "/proc/self/exe";

/// Puts it in its place; the path by which that system starts it.
pub fn ensure(target: &Target, changes: &mut Changes) -> Result<PathBuf, CliError> {
    let own = std::env::current_exe().map_err(CliError::infra)?;
    let inner = target.inner(&own);
    if PACKAGED.iter().any(|folder| inner.starts_with(folder)) && (target.is_here() || inner != own) {
        return plain(inner);
    }
    let place = target.at(PLACE);
    let wanted = fs::read(ITSELF).map_err(|error| failed(Path::new(ITSELF), &error))?;
    match read(&place)? {
        Some(found) if found == wanted => {}
        Some(found) if !is_ours(&found) => {
            return Err(CliError::config(format!("{}: it is another program, and stays as it is", place.display()))
                .hint("move it away, then run this again"));
        }
        found => {
            let kind = if found.is_some() { Kind::Replace } else { Kind::Make };
            changes.apply(kind, place.display(), || files::write(&place, &wanted, 0o755))?;
        }
    }
    Ok(PLACE.into())
}

/// Removes it from there.
pub fn remove(target: &Target, changes: &mut Changes) -> Result<(), CliError> {
    let place = target.at(PLACE);
    match read(&place)? {
        None => Ok(()),
        Some(found) if is_ours(&found) => changes
            .apply(Kind::Remove, place.display(), || fs::remove_file(&place).map_err(|error| failed(&place, &error))),
        Some(_) => {
            changes.keep(place.display(), "it is another program");
            Ok(())
        }
    }
}

fn read(place: &Path) -> Result<Option<Vec<u8>>, CliError> {
    match fs::read(place) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(place, &error)),
    }
}

/// Every Danube can write the mark, so it has it in it.
fn is_ours(program: &[u8]) -> bool {
    program.starts_with(b"\x7fELF") && memmem::find(program, MARK.as_bytes()).is_some()
}

/// In a unit and in a profile a percent sign and a space mean something.
fn plain(path: PathBuf) -> Result<PathBuf, CliError> {
    let is_plain =
        |text: &str| !text.contains(|c: char| c.is_control() || c.is_whitespace() || "%\"'\\$@{}[]*?^".contains(c));
    if path.to_str().is_some_and(is_plain) {
        return Ok(path);
    }
    Err(CliError::config(format!("{}: systemd cannot be told such a path", path.display()))
        .hint("put the program elsewhere, and install from there"))
}
