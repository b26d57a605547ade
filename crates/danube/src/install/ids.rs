//! Subordinate ids: the numbers that the users of images have on this machine, a range that is nobody else's.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use danube_sandbox::ids::{RANGE, sub_range};

use super::account::NAME;
use super::changes::{Changes, Kind};
use super::files;
use super::target::{Target, failed};
use crate::error::CliError;

/// The files of users' and of groups' ranges.
pub const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];
/// Above what systemd gives to containers and useradd to people.
const FIRST: u32 = 2_000_000_000;

/// Gives the account a range in both files, where it has none.
pub fn ensure(target: &Target, user: Option<u32>, changes: &mut Changes) -> Result<(), CliError> {
    let texts = FILES.map(|file| fs::read_to_string(target.at(file)).unwrap_or_default());
    let line = format!("{NAME}:{}:{RANGE}\n", texts.iter().map(|text| free(text)).fold(FIRST, u32::max));
    for (file, text) in FILES.iter().zip(&texts) {
        // A file without it may still name the user by its number; an account to come has none yet.
        if sub_range(text, NAME, user.unwrap_or(u32::MAX)).is_none() {
            let path = target.at(file);
            changes.apply(Kind::Make, format_args!("{}: {}", path.display(), line.trim_end()), || {
                change(&path, |text| format!("{}{line}", whole_lines(text)))
            })?;
        }
    }
    Ok(())
}

/// Takes the account's ranges away. userdel has done so, where there was an account.
pub fn remove(target: &Target, changes: &mut Changes) -> Result<(), CliError> {
    let is_ours = |line: &str| line.split(':').next() == Some(NAME);
    for path in FILES.map(|file| target.at(file)) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.lines().any(is_ours) {
            changes.apply(Kind::Remove, format_args!("{}: the range of {NAME}", path.display()), || {
                change(&path, |text| text.split_inclusive('\n').filter(|line| !is_ours(line)).collect())
            })?;
        }
    }
    Ok(())
}

/// The first number above every range of the file.
fn free(text: &str) -> u32 {
    let ends = text.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(1).map(|field| field.trim().parse::<u32>().ok());
        fields.next()??.checked_add(fields.next()??)
    });
    ends.max().unwrap_or(0)
}

fn whole_lines(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// Changes the file under the lock that shadow's programs take, keeping its mode.
fn change(path: &Path, to: impl FnOnce(&str) -> String) -> Result<(), CliError> {
    let lock = path.with_extension("lock");
    let held = OpenOptions::new().write(true).create_new(true).open(&lock);
    let mut held = held.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            CliError::infra(format!("{}: another program is changing {} now", lock.display(), path.display()))
                .hint("run this again; if no useradd or usermod runs, remove the lock first")
        }
        _ => failed(path, &error),
    })?;
    // They look whether whoever holds it still lives.
    let _ = write!(held, "{}", std::process::id());
    let changed = || {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| failed(path, &error))?,
        };
        let mode = path.metadata().map_or(0o644, |facts| facts.permissions().mode() & 0o777);
        files::write(path, to(&text).as_bytes(), mode)
    };
    let outcome = changed();
    let _ = fs::remove_file(&lock);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_above_all_others() {
        assert_eq!(free(""), 0);
        assert_eq!(free("a:100000:65536\nb:300000:65536\nnonsense\nc:4294967295:9\nd:1\n"), 365_536);
    }

    #[test]
    fn an_unfinished_line_is_finished_first() {
        assert_eq!(
            (whole_lines("a:1:2"), whole_lines("a:1:2\n"), whole_lines("")),
            ("a:1:2\n".into(), "a:1:2\n".into(), String::new())
        );
    }
}
