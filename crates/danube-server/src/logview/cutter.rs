//! Cuts a log into lines, a block at a time, and says what a line shows without its colours.

use danube_core::ansi::{Parser, Token};
use danube_engine::logs::{LogError, LogReader};

use super::glyph::{Kind, kind};
use super::{Output, Shown};

/// Bytes read at once.
const BLOCK: usize = 256 * 1024;
/// A longer line comes in parts of about so many bytes.
const LONGEST: usize = 1024 * 1024;
/// As much of a line is written as a terminal would; of a longer one only the sequences are left out.
const WRITTEN: usize = 8 * 1024;

/// A part of a log, line by line.
pub(crate) struct Cutter {
    log: LogReader,
    offset: u64,
    end: u64,
    bytes: Vec<u8>,
}

impl Cutter {
    /// From a line's beginning to an offset.
    pub(crate) fn new(log: LogReader, from: u64, to: u64) -> Self {
        Self { log, offset: from, end: to, bytes: Vec::new() }
    }

    /// Gives the lines of the next block, without their ends, and whether each of them ends there; until that says that
    /// it is enough. False at the end, or when it was enough.
    pub(crate) fn next(&mut self, mut take: impl FnMut(&[u8], bool) -> bool) -> Result<bool, LogError> {
        if !self.read()? {
            let last = std::mem::take(&mut self.bytes);
            if !last.is_empty() {
                take(&last, true);
            }
            return Ok(false);
        }
        let end = memchr::memrchr(b'\n', &self.bytes).map_or(0, |at| at + 1);
        let mut lines = self.bytes[..end].split_inclusive(|byte| *byte == b'\n');
        if !lines.all(|line| take(&line[..line.len() - 1], true)) {
            return Ok(false);
        }
        self.bytes.drain(..end);
        if self.bytes.len() > LONGEST {
            return Ok(take(&std::mem::take(&mut self.bytes), false));
        }
        Ok(true)
    }

    fn read(&mut self) -> Result<bool, LogError> {
        let before = self.bytes.len();
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(BLOCK);
        self.bytes.resize(before + left.min(BLOCK), 0);
        let read = self.log.read(self.offset, &mut self.bytes[before..])?;
        self.bytes.truncate(before + read);
        self.offset += read as u64;
        Ok(read > 0)
    }
}

/// What a line shows; `scratch` is for lines that do not show exactly their bytes.
pub(crate) fn plain<'a>(line: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if is_simple(line) {
        return line;
    }
    scratch.clear();
    if !strip(line, scratch) && line.len() <= WRITTEN {
        scratch.clear();
        scratch.extend_from_slice(Shown::new(Output { text: line, ..Output::default() }).text.as_bytes());
    }
    scratch
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
            let (shown, mut scratch) = (Shown::new(Output { text: &line, ..Output::default() }).text, Vec::new());
            assert_eq!(String::from_utf8_lossy(plain(&line, &mut scratch)), shown, "{}", line.escape_ascii());
        }
    }
}
