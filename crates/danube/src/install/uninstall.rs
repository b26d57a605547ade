//! `danube uninstall`: takes away what `danube install` made and nobody changed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use danube_config::server::{USUAL_PATH, read};

use super::changes::{Changes, Kind, say};
use super::target::{Target, failed};
use super::{CONFIG, account, apparmor, binary, ids, unit};
use crate::cli::UninstallArgs;
use crate::error::CliError;

/// Runs the command.
pub fn main(arguments: &UninstallArgs) -> Result<ExitCode, CliError> {
    let target = Target::new(&arguments.root)?;
    target.check(arguments.dry_run)?;
    let mut changes = Changes::new(arguments.dry_run);
    unit::remove(&target, &mut changes)?;
    apparmor::remove(&target, &mut changes)?;
    account::forget(&target, &mut changes)?;
    if arguments.purge {
        purge(&target, &mut changes)?;
    }
    // Last: until then it can be run again.
    binary::remove(&target, &mut changes)?;
    tell(&target, arguments.purge, &changes);
    Ok(ExitCode::SUCCESS)
}

/// Data and configuration, and the account that they belonged to.
fn purge(target: &Target, changes: &mut Changes) -> Result<(), CliError> {
    let data = target.at(account::HOME);
    if let Some(elsewhere) = data_elsewhere(target) {
        changes.keep(&elsewhere, "danube.toml names it as data_dir: remove it by hand, if it is nobody else's");
    }
    remove_folder(&data, changes)?;
    remove_folder(&target.at(CONFIG), changes)?;
    account::remove(target, changes)?;
    // The ranges of an account that stays are its own.
    if account::find(target).is_none() || changes.is_dry() { ids::remove(target, changes) } else { Ok(()) }
}

/// The data directory, if danube.toml names another than ours.
fn data_elsewhere(target: &Target) -> Option<String> {
    let bytes = fs::read(target.at(USUAL_PATH)).ok()?;
    let named = read(USUAL_PATH, &bytes).ok()?.data_dir;
    (named != Path::new(account::HOME)).then(|| named.display().to_string())
}

fn remove_folder(path: &Path, changes: &mut Changes) -> Result<(), CliError> {
    if !path.is_dir() || path.is_symlink() {
        return Ok(());
    }
    changes.apply(Kind::Remove, format_args!("{}/", path.display()), || match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, &error)),
        _ => Ok(()),
    })
}

fn tell(target: &Target, purged: bool, changes: &Changes) {
    if changes.is_dry() {
        return say(format_args!("nothing is changed: {} to do", super::counted(changes.count())));
    }
    if changes.count() == 0 {
        say("nothing to do: Danube is not installed");
    }
    let left = [account::HOME, CONFIG].map(|path| target.at(path)).into_iter().filter(|path| path.exists());
    let left: Vec<String> = left.map(|path| path.display().to_string()).collect();
    if !purged && !left.is_empty() {
        say(format_args!(
            "kept {}, and the account danube: `danube uninstall --purge` removes them too",
            left.join(" and ")
        ));
    }
}
