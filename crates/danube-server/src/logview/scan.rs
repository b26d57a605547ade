//! Looks for something in every line of a log: in what the line shows, so that colours in the middle of a word do not
//! hide it. The file is read once, a block at a time.

use danube_core::ansi::{Parser, Token};
use danube_engine::logs::{LogError, LogReader};

use super::glyph::{Kind, kind};
use super::{Needle, Output, Shown};

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;
/// A longer line is looked at in parts of so many bytes.
const LONGEST: usize = 1024 * 1024;
/// As much of a line is written as a terminal would; of a longer one only the sequences are left out.
const WRITTEN: usize = 8 * 1024;

/// A line that has it.
pub(crate) struct Found<'a> {
    /// Counts from 0.
    pub line: u64,
    /// What it shows.
    pub text: &'a [u8],
}

/// Gives every line of a log that has the needle, until `take` says that it is enough; false if it did. `goes_on` is asked
/// from time to time.
pub(crate) fn scan(
    log: &LogReader,
    needle: &Needle,
    goes_on: impl Fn() -> bool,
    mut take: impl FnMut(Found<'_>) -> bool,
) -> Result<bool, LogError> {
    let mut lines = Lines { needle, line: 0, was_found: false, shown: Vec::new() };
    let (mut bytes, mut offset) = (Vec::new(), 0);
    loop {
        let before = bytes.len();
        bytes.resize(before + BLOCK, 0);
        let read = log.read(offset, &mut bytes[before..])?;
        bytes.truncate(before + read);
        offset += read as u64;
        if read == 0 {
            return Ok(bytes.is_empty() || lines.look(&bytes, true, &mut take));
        }
        let end = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        if !bytes[..end].split_inclusive(|byte| *byte == b'\n').all(|line| lines.look(line, true, &mut take)) {
            return Ok(false);
        }
        bytes.drain(..end);
        if bytes.len() > LONGEST {
            if !lines.look(&bytes, false, &mut take) {
                return Ok(false);
            }
            bytes.clear();
        }
        if !goes_on() {
            return Ok(false);
        }
    }
}

struct Lines<'n> {
    needle: &'n Needle,
    line: u64,
    /// An earlier part of this line had it.
    was_found: bool,
    shown: Vec<u8>,
}

impl Lines<'_> {
    /// Looks at a line, or at a part of one that does not `end` yet.
    fn look(&mut self, line: &[u8], ends: bool, take: &mut impl FnMut(Found<'_>) -> bool) -> bool {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = if is_simple(text) { text } else { show(text, &mut self.shown) };
        let is_new = !self.was_found && self.needle.is_in(text);
        let goes_on = !is_new || take(Found { line: self.line, text });
        self.was_found = !ends && (self.was_found || is_new);
        self.line += u64::from(ends);
        goes_on
    }
}

/// What a line shows.
fn show<'s>(line: &[u8], shown: &'s mut Vec<u8>) -> &'s [u8] {
    shown.clear();
    if !strip(line, shown) && line.len() <= WRITTEN {
        shown.clear();
        shown.extend_from_slice(Shown::new(Output { text: line, ..Output::default() }).text.as_bytes());
    }
    shown
}

/// Whether a line shows exactly its bytes, because there is nothing in it but ordinary characters.
fn is_simple(line: &[u8]) -> bool {
    if line.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return true;
    }
    if line.iter().any(|byte| *byte < b' ' && *byte != b'\t') {
        return false;
    }
    let is_plain = |c: char| c == '\t' || matches!(kind(c, None), Kind::Narrow | Kind::Wide);
    std::str::from_utf8(line).is_ok_and(|text| text.chars().all(is_plain))
}

/// Leaves out the sequences; false if that is not all that stands between the bytes and what they show.
fn strip(line: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut parser, mut is_all) = (Parser::default(), true);
    let mut take = |token: Token<'_>| match token {
        Token::Text(text) => {
            is_all &= is_simple(text);
            out.extend_from_slice(text);
        }
        Token::Csi { end, .. } => is_all &= !matches!(end, b'C' | b'D' | b'G' | b'K'),
        _ => {}
    };
    parser.feed(line, &mut take);
    parser.finish(&mut take);
    is_all
}

#[cfg(test)]
mod tests {
    use danube_testutils::{Random, seed};

    use super::*;

    #[test]
    fn the_short_ways_show_the_same_as_the_long_one() {
        let mut random = Random(seed());
        let pieces: &[&[u8]] =
            &[b"word", b" ", b"\t", b"\x1b[31m", b"\x1b[K", b"\r", b"\xff", b"\x08", b"\0", b"\x1b["];
        let marks: &[&[u8]] = &["€的".as_bytes(), "e\u{301}".as_bytes(), "\u{202e}".as_bytes(), b"\x1b]8;;x\x07"];
        for _ in 0..20_000 {
            let line: Vec<u8> = (0..random.below(9))
                .flat_map(|_| {
                    let from = if random.below(3) == 0 { marks } else { pieces };
                    from[random.below(from.len())].to_vec()
                })
                .collect();
            let mut out = Vec::new();
            let shown = Shown::new(Output { text: &line, ..Output::default() }).text;
            let found = if is_simple(&line) { &line } else { show(&line, &mut out) };
            assert_eq!(String::from_utf8_lossy(found), shown, "{}", line.escape_ascii());
        }
    }
}
