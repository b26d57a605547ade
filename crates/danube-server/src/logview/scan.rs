//! Looks for something in every line of a log: in what the line shows, so that colours in the middle of a word do not
//! hide it.

use danube_engine::logs::{LogError, LogReader};

use super::Needle;
use super::cutter::{Cutter, plain};

/// A line that has it.
pub(crate) struct Found<'a> {
    /// Counts from 0.
    pub line: u64,
    /// What it shows.
    pub text: &'a [u8],
}

/// Gives every line of a log that has the needle, until `take` says that it is enough, or `goes_on` says no; false then.
pub(crate) fn scan(
    log: LogReader,
    needle: &Needle,
    goes_on: impl Fn() -> bool,
    mut take: impl FnMut(Found<'_>) -> bool,
) -> Result<bool, LogError> {
    let len = log.len();
    let (mut cutter, mut scratch) = (Cutter::new(log, 0, len), Vec::new());
    let (mut line, mut was_found, mut is_enough) = (0, false, false);
    let mut look = |bytes: &[u8], ends: bool| {
        let text = plain(bytes, &mut scratch);
        // An earlier part of a long line may have had it.
        let is_new = !was_found && needle.is_in(text);
        is_enough = is_new && !take(Found { line, text });
        was_found = !ends && (was_found || is_new);
        line += u64::from(ends);
        !is_enough
    };
    let mut more = true;
    while more {
        more = cutter.next(&mut look)?;
        if more && !goes_on() {
            return Ok(false);
        }
    }
    Ok(!is_enough)
}
