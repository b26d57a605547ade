//! AppArmor's profile, where it keeps user namespaces from programs without one (Ubuntu 24.04 and later).

use std::fs;
use std::path::Path;

use super::changes::Changes;
use super::files::{self, Found};
use super::target::{Target, has, run};
use crate::error::CliError;

/// Where it is.
pub const PATH: &str = "/etc/apparmor.d/danube";
const TEXT: &str = include_str!("danube.apparmor");
const RESTRICTS: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";

/// Writes and loads it, if it was asked for or this kernel asks for it.
pub fn ensure(target: &Target, binary: &Path, wanted: bool, changes: &mut Changes) -> Result<(), CliError> {
    if !(wanted || target.is_here() && says(RESTRICTS, "1")) {
        return Ok(());
    }
    let path = target.at(PATH);
    let text = TEXT.replace("@BINARY@", &binary.display().to_string());
    if files::ensure(&path, &text, changes)? && !changes.is_dry() && is_loaded_here(target) {
        run("apparmor_parser", [Path::new("--replace"), &path])?;
    }
    Ok(())
}

/// Unloads and removes it.
pub fn remove(target: &Target, changes: &mut Changes) -> Result<(), CliError> {
    let path = target.at(PATH);
    if matches!(files::find(&path)?, Found::Ours(_)) && !changes.is_dry() && is_loaded_here(target) {
        // One that was never loaded is nothing to unload, which is an error to it.
        let _ = run("apparmor_parser", [Path::new("--remove"), &path]);
    }
    files::remove(&path, changes)
}

fn is_loaded_here(target: &Target) -> bool {
    target.is_here() && says(ENABLED, "Y") && has("apparmor_parser")
}

fn says(file: &str, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.trim() == word)
}
