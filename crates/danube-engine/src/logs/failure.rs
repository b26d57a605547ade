//! What looks like a failure in output: words that tools write when something goes wrong. They are signposts for who
//! reads a log, and decide nothing.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// Those that stand for themselves. Some tools change the colour between a word and its colon.
const SIGNS: &[&[u8]] = &[
    b"error:",
    b"error[",
    b"error\x1b[",
    b"Error:",
    b"Error\x1b[",
    b"ERR!",
    b"fatal:",
    b"panic:",
    b"panicked at",
    b"Traceback (most recent",
    b"AssertionError",
    b"Exception in thread",
    b"Segmentation fault",
    b"command not found",
    b"core dumped",
    b"##[error]",
    b"::error",
    b"*** [",
    b"not ok ",
    "✕".as_bytes(),
    "✖".as_bytes(),
    "✗".as_bytes(),
    "✘".as_bytes(),
];
/// Those that do so only as whole words.
const WORDS: &[&[u8]] = &[b"ERROR", b"FAIL", b"FAILED", b"FAILURE", b"FAILURES", b"FATAL"];
/// Bytes of the longest, less one: what of a chunk may be the beginning of one.
pub(super) const OVERLAP: usize = 21;

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let signs = SIGNS.iter().chain(WORDS);
    AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(signs).expect("the signs are few and short")
});

/// Whether there may be a failure in some bytes; `before` is what came before them, as far as [`OVERLAP`].
pub(super) fn may_be_in(before: &[u8], bytes: &[u8]) -> bool {
    let edge = [before, &bytes[..bytes.len().min(OVERLAP)]].concat();
    FINDER.is_match(&edge) || FINDER.is_match(bytes)
}

/// Whether a line tells of a failure.
pub(super) fn is_in(line: &[u8]) -> bool {
    reaches_into(line, 0..line.len())
}

/// Whether a sign of failure in a line reaches into a part of it. What is around that part decides whether it is a word.
pub(super) fn reaches_into(line: &[u8], part: Range<usize>) -> bool {
    FINDER.find_iter(line).filter(|found| found.end() > part.start && found.start() < part.end).any(|found| {
        let is_word = found.pattern().as_usize() >= SIGNS.len();
        let goes_on = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let before = found.start().checked_sub(1).and_then(|at| line.get(at));
        // The last byte of an escape sequence is a letter.
        let after_sequence = before == Some(&b'm');
        !is_word || (!goes_on(before) || after_sequence) && !goes_on(line.get(found.end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_write_is_seen() {
        for line in [
            "error: could not compile `x`",
            "\x1b[1m\x1b[38;5;9merror[E0382]\x1b[0m: borrow",
            "\x1b[31merror\x1b[0m\x1b[1m:\x1b[0m x",
            "TypeError: x is not a function",
            "\x1b[41m FAIL \x1b[0m src/date.test.ts",
            "\x1b[31mFAILED\x1b[0m tests/test_x.py",
            "--- FAIL: TestX (0.00s)",
            "=== FAILURES ===",
            "make: *** [Makefile:2: all] Error 1",
            "thread 'main' panicked at src/main.rs:1:1:",
            "Traceback (most recent call last):",
            "2026-01-01 [ERROR] x",
            "npm ERR! code E404",
            "sh: 1: nope: command not found",
            "  ✕ keeps the zone",
            "not ok 1 - x",
        ] {
            assert!(is_in(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn what_is_none_is_not() {
        for line in ["ok", "0 errors", "test failover ... ok", "-DWITH_ERROR_CHECKS", "FAILOVER=1", "fails", "no_FAIL"]
        {
            assert!(!is_in(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_chunk_cut_anywhere_tells() {
        for sign in SIGNS.iter().chain(WORDS) {
            assert!(sign.len() <= OVERLAP + 1);
            for at in 0..sign.len() {
                assert!(may_be_in(&sign[..at], &sign[at..]), "{}", sign.escape_ascii());
            }
        }
        assert!(!may_be_in(b"err", b"and"));
    }
}
