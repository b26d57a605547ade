//! `danube install` and `danube uninstall`: a server on a system with systemd, and its end (docs/install.md).
//!
//! Both can be run again at any time: what is as it should be is left alone.

mod account;
mod apparmor;
mod binary;
mod changes;
mod files;
mod ids;
mod target;
mod uninstall;
mod unit;

use std::process::ExitCode;

use danube_config::server::{USUAL_PATH, starter};

use crate::cli::InstallArgs;
use crate::error::CliError;
use changes::{Changes, Kind, say};
use target::{Target, has};
pub use uninstall::main as uninstall;

/// The folder of danube.toml.
const CONFIG: &str = "/etc/danube";
/// For root's eyes only: systemd hands them to the server (LoadCredential=).
const CREDENTIALS: &str = "/etc/danube/credentials";
/// What jobs need, and Debian's package that has it.
const NEEDS: [(&str, &str); 3] = [("python3", "python3"), ("git", "git"), ("newuidmap", "uidmap")];

/// Runs the command.
pub fn main(arguments: &InstallArgs) -> Result<ExitCode, CliError> {
    let target = Target::new(&arguments.root)?;
    target.check(arguments.dry_run)?;
    let mut changes = Changes::new(arguments.dry_run);
    install(&target, arguments.apparmor, &mut changes)?;
    tell(&target, &changes);
    Ok(ExitCode::SUCCESS)
}

fn install(target: &Target, apparmor: bool, changes: &mut Changes) -> Result<(), CliError> {
    let binary = binary::ensure(target, changes)?;
    let account = account::ensure(target, changes)?;
    let owner = account.map(|account| account.ids);
    ids::ensure(target, owner.map(|(user, _)| user), changes)?;
    // Without an account yet, systemd makes the folder with the first start.
    if owner.is_some() {
        files::ensure_folder(&target.at(account::HOME), 0o700, owner, changes)?;
    }
    files::ensure_folder(&target.at(CONFIG), 0o755, None, changes)?;
    files::ensure_folder(&target.at(CREDENTIALS), 0o700, None, changes)?;
    let config = target.at(USUAL_PATH);
    if !config.exists() {
        let write = || files::write(&config, starter().as_bytes(), 0o644);
        changes.apply(Kind::Make, config.display(), write)?;
    }
    apparmor::ensure(target, &binary, apparmor, changes)?;
    unit::ensure(target, &binary, changes)
}

/// What is next; only an administrator decides it.
fn tell(target: &Target, changes: &Changes) {
    if changes.is_dry() {
        return say(format_args!("nothing is changed: {} to do", counted(changes.count())));
    }
    if changes.count() == 0 {
        say("nothing to do: Danube is installed");
    }
    let lacking: Vec<&str> = NEEDS.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    if target.is_here() && !lacking.is_empty() {
        say(format_args!(
            "jobs need what is not here yet: apt-get install --no-install-recommends {}",
            lacking.join(" ")
        ));
    }
    match (changes.count(), unit::is_active(target)) {
        (0, true) => {}
        (_, true) => say("next: systemctl restart danube     its jobs run on meanwhile"),
        _ => say(NEXT),
    }
}

const NEXT: &str = "\
next:
  $EDITOR /etc/danube/danube.toml      name the configuration repository
  systemctl enable --now danube
  sudo -u danube danube login          a link for your browser";

fn counted(count: usize) -> String {
    if count == 1 { "1 change".to_owned() } else { format!("{count} changes") }
}
