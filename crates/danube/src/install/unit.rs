//! The unit by which systemd starts the server.

use std::fs;
use std::path::Path;

use super::changes::{Changes, Kind};
use super::files;
use super::target::{Target, failed, run};
use crate::error::CliError;

/// Where it is.
pub const PATH: &str = "/etc/systemd/system/danube.service";
/// What `systemctl enable` makes.
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/danube.service";
const TEXT: &str = include_str!("danube.service");

/// Writes it for a program at this place.
pub fn ensure(target: &Target, binary: &Path, changes: &mut Changes) -> Result<(), CliError> {
    let text = TEXT.replace("@BINARY@", &binary.display().to_string());
    let written = files::ensure(&target.at(PATH), &text, changes)?;
    if written { reload(target, changes) } else { Ok(()) }
}

/// Stops the server with its jobs, and removes the unit.
pub fn remove(target: &Target, changes: &mut Changes) -> Result<(), CliError> {
    let path = target.at(PATH);
    if target.runs_systemd() && path.exists() && !is_stopped() {
        changes.apply(Kind::Remove, "danube from what runs now", || {
            run("systemctl", ["stop", "danube.service"])?;
            // Jobs run on by themselves; where none does there is nothing to kill, which is an error to it.
            let _ = run("systemctl", ["kill", "--signal=SIGKILL", "danube.service"]);
            Ok(())
        })?;
    }
    let wanted = target.at(WANTED);
    if wanted.is_symlink() {
        changes.apply(Kind::Remove, wanted.display(), || {
            fs::remove_file(&wanted).map_err(|error| failed(&wanted, &error))
        })?;
    }
    let was_there = path.exists();
    files::remove(&path, changes)?;
    if was_there && !path.exists() { reload(target, changes) } else { Ok(()) }
}

/// Whether the server runs now.
pub fn is_active(target: &Target) -> bool {
    target.runs_systemd() && run("systemctl", ["is-active", "--quiet", "danube.service"]).is_ok()
}

/// Whether neither it nor a job of it runs.
fn is_stopped() -> bool {
    let groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];
    let group = |root: &&str| Path::new(root).join("system.slice/danube.service").exists();
    !groups.iter().any(group) && run("systemctl", ["is-active", "--quiet", "danube.service"]).is_err()
}

fn reload(target: &Target, changes: &Changes) -> Result<(), CliError> {
    if target.runs_systemd() && !changes.is_dry() { run("systemctl", ["daemon-reload"]) } else { Ok(()) }
}
