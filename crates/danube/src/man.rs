//! `danube man`: the manual pages, made from the command line itself.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, ManArgs};
use crate::error::CliError;

/// Runs the command.
pub fn main(arguments: &ManArgs) -> Result<ExitCode, CliError> {
    let dir = &arguments.dir;
    let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.map_err(|error| CliError::config(format!("cannot write the manual to {}: {error}", dir.display())))?;
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "the manual is in {}: man {}", dir.display(), dir.join("danube.1").display());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_options() {
        let dir = tempfile::tempdir().expect("folder");
        main(&ManArgs { dir: dir.path().join("man1") }).expect("written");
        let page = |name: &str| fs::read_to_string(dir.path().join("man1").join(name)).expect(name);
        assert!(page("danube.1").contains("Exit codes:") && page("danube.1").contains("danube\\-serve(1)"));
        assert!(page("danube-serve.1").contains("\\-\\-config"), "{}", page("danube-serve.1"));
        for command in Cli::command().get_subcommands() {
            assert!(page(&format!("danube-{}.1", command.get_name())).contains(".TH "), "{}", command.get_name());
        }
    }
}
