//! Removes what the ids of a range own, after the monitor is gone: only someone in a user namespace with the same
//! range may.

use std::process::ExitCode;

use crate::group::folder::GroupFolder;

/// Argument, before the folder, that makes the program remove a group's files.
pub const SWEEP: &str = "--sweep";

/// Removes the tenants' files of a group.
pub fn main(folder: &GroupFolder) -> ExitCode {
    match crate::keeper::sweep::run(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
