//! The file's bytes as text: size, encoding, lines.

use ruff_text_size::{TextRange, TextSize};

use super::LONGEST_FILE;
use crate::diagnostic::{Diagnostic, Diagnostics, Excerpt, shown};

/// A decoded file.
pub(super) struct Source {
    /// As the caller names it.
    pub(super) path: String,
    /// Without a byte order mark.
    pub(super) text: String,
    /// Byte offset at which each line starts.
    lines: Vec<usize>,
}

impl Source {
    /// Decodes as Python would, refusing every encoding but UTF-8.
    pub(super) fn decode(path: &str, bytes: &[u8]) -> Result<Self, Diagnostics> {
        if bytes.len() > LONGEST_FILE {
            let message = format!("the file has {} bytes; at most {LONGEST_FILE} are read", bytes.len());
            return Err(Self::refuse(path, message, "move data out of the danubefile, or code into modules beside it"));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if let Some(other) = declared_encoding(bytes).filter(|name| !is_utf8(name)) {
            let message = format!("the file declares the encoding `{}`; only UTF-8 is read", shown(&other));
            return Err(Self::refuse(path, message, "save it as UTF-8 and remove the `coding:` comment"));
        }
        let valid = String::from_utf8_lossy(bytes);
        let valid_bytes = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        let source = Self { path: path.to_owned(), lines: line_starts(&valid), text: valid.into_owned() };
        if valid_bytes < bytes.len() {
            let message = format!("the byte {:#04x} is not UTF-8", bytes[valid_bytes]);
            return Err(source.error_at(valid_bytes, message, "save the file as UTF-8"));
        }
        match source.text.find('\0') {
            Some(at) => Err(source.error_at(at, "the file has a NUL byte".into(), "remove it; Python refuses it too")),
            None => Ok(source),
        }
    }

    fn refuse(path: &str, message: String, help: &str) -> Diagnostics {
        let help = Some(help.to_owned());
        Diagnostics(vec![Diagnostic { path: path.to_owned(), line: 0, column: 0, message, help, excerpt: None }])
    }

    /// One mistake at a byte offset, the last word on this file.
    pub(super) fn error_at(&self, offset: usize, message: String, help: &str) -> Diagnostics {
        let (line, column) = self.position(TextSize::new(u32::try_from(offset).unwrap_or(0)));
        let excerpt = Some(Excerpt::new(self.line(line), column - 1, 1));
        let (path, help) = (self.path.clone(), Some(help.to_owned()));
        Diagnostics(vec![Diagnostic { path, line, column, message, help, excerpt }])
    }

    /// Line and column of an offset, both counted from 1, the column in characters.
    pub(super) fn position(&self, offset: TextSize) -> (usize, usize) {
        let offset = offset.to_usize().min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset);
        let before = self.text.get(self.lines[line - 1]..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// The text of a line, counted from 1, without its end.
    pub(super) fn line(&self, line: usize) -> &str {
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        self.text.get(self.lines[line - 1]..end).unwrap_or("").trim_end_matches(['\r', '\n'])
    }

    /// Byte offsets at which lines start.
    pub(super) fn line_starts(&self) -> &[usize] {
        &self.lines
    }

    /// How many characters of a range lie on its first line.
    pub(super) fn chars_on_line(&self, range: TextRange) -> usize {
        let text = self.text.get(range.start().to_usize()..range.end().to_usize()).unwrap_or("");
        text.split(['\r', '\n']).next().unwrap_or("").chars().count()
    }
}

/// `\n`, `\r\n` and `\r` end a line, as in Python.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// The encoding that one of the first two lines declares (PEP 263). The second counts only under a blank or comment line.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()).take(2);
    let first = lines.next()?;
    cookie(first).or_else(|| if is_comment(first) { cookie(lines.next()?) } else { None })
}

fn is_comment(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#'))
}

fn cookie(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line.get(..400).unwrap_or(line)).into_owned();
    let comment = line.trim_start_matches([' ', '\t', '\u{c}']).strip_prefix('#')?.to_owned();
    comment.match_indices("coding").find_map(|(at, word)| {
        let rest = comment[at + word.len()..].strip_prefix([':', '='])?.trim_start_matches([' ', '\t']);
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
        (!name.is_empty()).then_some(name)
    })
}

/// Python's names for UTF-8. ASCII is a part of it.
fn is_utf8(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    matches!(name.as_str(), "utf-8" | "utf8" | "utf-8-sig" | "u8" | "ascii" | "us-ascii") || name.starts_with("utf-8-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_of_python_ends_a_line() {
        assert_eq!(line_starts("a\r\nb\rc\n"), [0, 3, 5, 7]);
    }

    #[test]
    fn an_encoding_is_declared_as_python_reads_it() {
        let declared = |text: &str| declared_encoding(text.as_bytes());
        assert_eq!(declared("# -*- coding: latin-1 -*-\n").as_deref(), Some("latin-1"));
        assert_eq!(declared("#!/usr/bin/env python\r\n# vim: set fileencoding=cp1252 :\n").as_deref(), Some("cp1252"));
        assert_eq!(declared("x = 1\n# coding: latin-1\n"), None);
        assert_eq!(declared("x = 'coding: latin-1'\n"), None);
        assert!(is_utf8("UTF_8") && is_utf8("utf-8-unix") && !is_utf8("utf-16"));
    }
}
