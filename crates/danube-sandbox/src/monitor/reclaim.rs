//! Gives a job's workspace back to the caller, after the monitor is gone (`--keep`).

use std::process::ExitCode;

use super::{keeper, sweep};
use crate::error::SandboxError;
use crate::group::folder::GroupFolder;
use crate::group::record::Traces;
use crate::ids::{DEFAULT_BASE, Tier};
use crate::keeper::wire::Order;
use crate::keeper::{Network, Setup, take_back};

/// Argument, before the folder, that makes the program give a group's workspace back.
pub const RECLAIM: &str = "--reclaim";

/// Gives the workspace of a group back.
pub fn main(folder: &GroupFolder) -> ExitCode {
    sweep::end(reclaim(folder))
}

/// With a range of ids only someone in a user namespace with the same range may; root may anyway, and a single id is
/// the caller's own.
fn reclaim(folder: &GroupFolder) -> Result<(), SandboxError> {
    let traces = Traces::read(&folder.traces())?;
    if traces.is_none_or(|traces| traces.ids.tier != Tier::Subuid) {
        let caller = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        return take_back(&folder.workspace(), caller);
    }
    let started = keeper::start(&Setup { shim: None, network: Network::Host }, DEFAULT_BASE, None)?;
    keeper::ask_now(&started.channel, &Order::TakeBack(folder.workspace()), &[])
}
