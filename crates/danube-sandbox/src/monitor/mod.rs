//! The monitor: one process per group, the parent of its containers, outliving the engine that started it.
//!
//! `start` runs before there is any thread: it makes the keeper and the namespaces. `serve` is the life of the
//! group: it launches containers, watches them, relays their network, writes the journal. `ending` is its end.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::error::SandboxError;
use crate::group::folder::GroupFolder;
use crate::ids::{DEFAULT_BASE, Ids};
use crate::keeper::wire::Order;
use crate::keeper::{Network, Setup};

mod asked;
mod cgroups;
mod container;
mod control;
mod ground;
mod images;
mod keeper;
mod maps;
mod plain;
mod pull;
mod reclaim;
mod serve;
mod spare;
mod start;
mod sweep;

pub use control::{CONTROL, ask_to_add};
pub use reclaim::RECLAIM;
pub use spare::{END, STANDS};
pub use start::SPARE;
pub use sweep::{CLEAR, SWEEP};

/// What trying to make namespaces came to.
pub struct Tried {
    /// The ids that a job would have.
    pub ids: Ids,
    /// Whether an image can be overlaid, or why not.
    pub overlay: Result<(), String>,
}

/// Makes a job's namespaces, without a job. Forks: call it before any thread is started.
///
/// # Errors
/// When the machine allows none.
pub fn try_namespaces() -> Result<Tried, SandboxError> {
    let started = keeper::start(&Setup { shim: None, network: Network::Host }, DEFAULT_BASE, None)?;
    let overlay = keeper::ask_now(&started.channel, &Order::TryOverlay, &[]).map_err(|error| error.to_string());
    Ok(Tried { ids: started.ids, overlay })
}

/// The monitor's whole life. The program calls this with the arguments after its hidden subcommand, before it has
/// started any thread or runtime.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match arguments.as_slice() {
        [clear] if clear == CLEAR => sweep::clear_stdin(),
        [sweep, dir] if sweep == SWEEP => sweep::main(&GroupFolder::at(dir.into())),
        [reclaim, dir] if reclaim == RECLAIM => reclaim::main(&GroupFolder::at(dir.into())),
        [spare, dir] if spare == SPARE => start::spare(&GroupFolder::at(dir.into())),
        [dir] => start::main(&GroupFolder::at(dir.into())),
        _ => {
            eprintln!("a monitor is started by Danube itself, with the folder of a group");
            ExitCode::from(2)
        }
    }
}
