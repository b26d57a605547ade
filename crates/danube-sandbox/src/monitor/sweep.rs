//! Removes what the ids of a range own, after the monitor is gone: only someone in a user namespace with the same
//! range may.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use crate::error::SandboxError;
use crate::group::folder::GroupFolder;
use crate::ids::DEFAULT_BASE;
use crate::keeper::wire::Order;
use crate::keeper::{Network, Setup};

use super::keeper;

/// Argument, before the folder, that makes the program remove a group's files.
pub const SWEEP: &str = "--sweep";

/// Argument that makes the program empty the directory that is its standard input.
pub const CLEAR: &str = "--clear";

/// Removes the tenants' files of a group.
pub fn main(folder: &GroupFolder) -> ExitCode {
    end(sweep(folder))
}

/// Empties a directory of unpacked files.
pub fn clear_stdin() -> ExitCode {
    end(clear(std::io::stdin().as_fd()))
}

/// The exit code, and why.
pub fn end(done: Result<(), SandboxError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A keeper that is given no container, only this order.
fn sweep(folder: &GroupFolder) -> Result<(), SandboxError> {
    let started = keeper::start(&Setup { shim: None, network: Network::Host }, DEFAULT_BASE, None)?;
    keeper::ask_now(&started.channel, &Order::Remove(folder.path().to_owned()), &[])
}

fn clear(dir: BorrowedFd<'_>) -> Result<(), SandboxError> {
    let started = keeper::start(&Setup { shim: None, network: Network::Host }, DEFAULT_BASE, None)?;
    keeper::ask_now(&started.channel, &Order::Clear, &[dir])
}
