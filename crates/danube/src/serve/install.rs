//! `danube install --systemd`: the files by which systemd starts the server.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use danube_config::server::{USUAL_PATH, starter};

use super::init_config::write_new;
use crate::cli::InstallArgs;
use crate::error::CliError;

const UNIT: &str = include_str!("danube.service");
/// Makes the account. Its home is where registries' passwords are looked for.
const ACCOUNT: &str = "# Written by `danube install`, which replaces it.\nu danube - \"Danube\" /var/lib/danube\n";
/// What stands in every file that may be replaced.
const MARK: &str = "# Written by `danube install`";
/// What only an administrator decides.
const NEXT: &str = "\
next:
  systemd-sysusers                               make the account danube
  usermod --add-subuids 2000000000-2000065535 --add-subgids 2000000000-2000065535 danube
                                                 give it ids for the users of images (package uidmap)
  $EDITOR /etc/danube/danube.toml                name the configuration repository
  systemctl daemon-reload && systemctl enable --now danube
  sudo -u danube danube login                    a link for your browser";

/// Runs the command.
pub fn main(arguments: &InstallArgs) -> Result<ExitCode, CliError> {
    let binary = std::env::current_exe().map_err(CliError::infra)?;
    let binary = binary.strip_prefix(&arguments.prefix).map_or(binary.clone(), |below| Path::new("/").join(below));
    let place = |path: &str| arguments.prefix.join(path.trim_start_matches('/'));
    let unit = UNIT.replace("@BINARY@", &unit_path(&binary)?);
    let mut written = Vec::new();
    for (path, text) in
        [("/etc/systemd/system/danube.service", unit.as_str()), ("/etc/sysusers.d/danube.conf", ACCOUNT)]
    {
        replace(&place(path), text)?;
        written.push(place(path));
    }
    let config = place(USUAL_PATH);
    if !config.exists() {
        write_new(&config, &starter())?;
        written.push(config);
    }
    say(&written);
    Ok(ExitCode::SUCCESS)
}

/// In a unit a percent sign and a space mean something.
fn unit_path(binary: &Path) -> Result<String, CliError> {
    let text = binary
        .to_str()
        .filter(|text| !text.contains(|c: char| c.is_control() || c.is_whitespace() || "%\"'\\$".contains(c)));
    text.map(str::to_owned).ok_or_else(|| {
        CliError::config(format!("{}: systemd cannot be told such a path", binary.display()))
            .hint("put the program elsewhere, for example /usr/local/bin/danube, and install from there")
    })
}

/// Writes a file, in place of one of ours only.
fn replace(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::config(format!("cannot write {}: {error}", path.display())).hint("run it as root, or name a --prefix")
    };
    match fs::read_to_string(path) {
        Ok(found) if !found.starts_with(MARK) => {
            let error =
                CliError::config(format!("{}: it is not from `danube install`, and stays as it is", path.display()));
            return Err(error.hint("move it away, then run this again"));
        }
        _ => {}
    }
    path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text)).map_err(failed)
}

fn say(written: &[PathBuf]) {
    let lines: String = written.iter().map(|path| format!("wrote {}\n", path.display())).collect();
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "{lines}{NEXT}");
}
