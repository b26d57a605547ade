//! What of a step's line may reach the terminal: text and colours. Whatever moves the cursor, clears the screen, sets a
//! title or writes to the clipboard is left out: it would garble other steps' lines, or fake Danube's own.

use std::borrow::Cow;

/// Gives the line without its other control characters; `colors` keeps the colours.
pub fn shown(line: &[u8], colors: bool) -> Cow<'_, [u8]> {
    // Nearly every line is plain; looking at all of it without stopping early is what the compiler makes fast.
    if line.iter().fold(false, |found, byte| found | is_control(*byte)) {
        cleaned(line, colors).into()
    } else {
        line.into()
    }
}

fn cleaned(line: &[u8], colors: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| is_control(*byte)) {
        out.extend_from_slice(&rest[..at]);
        let (sequence, after) = control(&rest[at..]);
        if sequence == b"\t" || colors && is_color(sequence) || sequence.first() == Some(&0xc2) && !is_c1(sequence) {
            out.extend_from_slice(sequence);
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// 0xC2 begins the control characters U+0080 to U+009F, which terminals obey too.
const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f || byte == 0xc2
}

fn is_c1(sequence: &[u8]) -> bool {
    matches!(sequence, [0xc2, 0x80..=0x9f])
}

/// `ESC [ … m` with figures only.
fn is_color(sequence: &[u8]) -> bool {
    let figures = sequence.strip_prefix(b"\x1b[").and_then(|rest| rest.strip_suffix(b"m"));
    figures.is_some_and(|figures| figures.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')))
}

/// Splits off the control sequence that stands at the beginning.
fn control(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = match bytes {
        [0x1b, b'[', ..] => csi(bytes),
        // Texts for the terminal: a title, the clipboard, a device's own.
        [0x1b, b']' | b'P' | b'X' | b'^' | b'_', ..] => string(bytes),
        [0x1b, ..] => escape(bytes),
        [0xc2, ..] => 2,
        _ => 1,
    };
    bytes.split_at(length.min(bytes.len()))
}

fn csi(bytes: &[u8]) -> usize {
    let end = bytes.iter().skip(2).position(|byte| !(0x20..0x40).contains(byte));
    end.map_or(bytes.len(), |at| at + 3)
}

fn string(bytes: &[u8]) -> usize {
    let end = bytes.iter().skip(2).position(|byte| matches!(byte, 0x07 | 0x1b)).map(|at| at + 2);
    end.map_or(
        bytes.len(),
        |at| if bytes[at..].starts_with(b"\x1b\\") { at + 2 } else { at + usize::from(bytes[at] == 7) },
    )
}

fn escape(bytes: &[u8]) -> usize {
    let end = bytes.iter().skip(1).position(|byte| !(0x20..0x30).contains(byte));
    end.map_or(bytes.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_colours_stay_and_nothing_else() {
        for (line, with, without) in [
            ("plain ä\t✔", "plain ä\t✔", "plain ä\t✔"),
            ("\x1b[1;32mok\x1b[0m", "\x1b[1;32mok\x1b[0m", "ok"),
            ("\x1b[38:5:1mred\x1b[m", "\x1b[38:5:1mred\x1b[m", "red"),
            ("a\x1b[2Ab\x1b[2Jc\x1b[?25ld", "abcd", "abcd"),
            ("\x1b]0;title\x07a\x1b]52;c;aGk=\x1b\\b", "ab", "ab"),
            ("\x1bPq#0\x1b\\a\x1b(Bb\x1bMc\x1b7d", "abcd", "abcd"),
            ("bell\x07 back\x08 nul\0 del\x7f", "bell back nul del", "bell back nul del"),
            ("c1\u{9b}2Jx £ §", "c12Jx £ §", "c12Jx £ §"),
            ("cut\x1b[3", "cut", "cut"),
            ("cut\x1b]0;never ended", "cut", "cut"),
            ("cut\x1b", "cut", "cut"),
            ("\x1b[>4;2m", "", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&shown(line.as_bytes(), true)), with, "{line:?}");
            assert_eq!(String::from_utf8_lossy(&shown(line.as_bytes(), false)), without, "{line:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        assert_eq!(&*shown(b"\xff\xc2", true), b"\xff\xc2");
        assert_eq!(&*shown(b"\xff\xfe a", false), b"\xff\xfe a");
    }
}
