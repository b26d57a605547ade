//! What is changed, told line by line; on a dry run only told.

use std::fmt::Display;
use std::io::Write;

use crate::error::CliError;

/// The kinds of changes, as they are told.
#[derive(Clone, Copy)]
pub enum Kind {
    /// What was not there.
    Make,
    /// What was there in another version.
    Replace,
    /// What is no longer wanted.
    Remove,
}

/// Counts and tells.
pub struct Changes {
    dry: bool,
    count: usize,
}

impl Changes {
    /// None yet.
    pub fn new(dry: bool) -> Self {
        Self { dry, count: 0 }
    }

    /// Whether nothing is really changed.
    pub fn is_dry(&self) -> bool {
        self.dry
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Changes something, unless it is only asked what would be.
    pub fn apply<D: Display>(
        &mut self,
        kind: Kind,
        what: D,
        change: impl FnOnce() -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        if !self.dry {
            change()?;
        }
        self.count += 1;
        let done = match (kind, self.dry) {
            (Kind::Make, false) => "made",
            (Kind::Make, true) => "would make",
            (Kind::Replace, false) => "replaced",
            (Kind::Replace, true) => "would replace",
            (Kind::Remove, false) => "removed",
            (Kind::Remove, true) => "would remove",
        };
        say(format_args!("{done} {what}"));
        Ok(())
    }

    /// Tells what is left alone, and why.
    pub fn keep(&self, what: impl Display, why: impl Display) {
        say(format_args!("{} {what}: {why}", if self.dry { "would keep" } else { "kept" }));
    }
}

/// One line on stdout.
pub fn say(line: impl Display) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "{line}");
}
