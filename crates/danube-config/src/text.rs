//! A file as text with lines: where in it something stands, and how that is shown.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Diagnostics, Excerpt};

/// A decoded file.
pub(crate) struct Text {
    /// As the caller names it.
    pub(crate) path: String,
    /// Without a byte order mark.
    pub(crate) text: String,
    /// Byte offset at which each line starts.
    lines: Vec<usize>,
}

impl Text {
    /// Decodes UTF-8.
    pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Self, Diagnostics> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let valid = String::from_utf8_lossy(bytes);
        let valid_bytes = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        let text = Self { path: path.to_owned(), lines: line_starts(&valid), text: valid.into_owned() };
        if valid_bytes < bytes.len() {
            let message = format!("the byte {:#04x} is not UTF-8", bytes[valid_bytes]);
            return Err(text.error_at(valid_bytes, message, "save the file as UTF-8"));
        }
        Ok(text)
    }

    /// One mistake at a byte offset, the last word on this file.
    pub(crate) fn error_at(&self, offset: usize, message: String, help: &str) -> Diagnostics {
        let (line, column) = self.position(offset);
        let excerpt = Some(Excerpt::new(self.line(line), column - 1, 1));
        let (path, help) = (self.path.clone(), Some(help.to_owned()));
        Diagnostics(vec![Diagnostic { path, line, column, message, help, excerpt }])
    }

    /// One mistake at a range of bytes.
    pub(crate) fn diagnostic(&self, range: Range<usize>, message: String, help: Option<String>) -> Diagnostic {
        let (line, column) = self.position(range.start);
        let excerpt = Some(Excerpt::new(self.line(line), column - 1, self.chars_on_line(range)));
        Diagnostic { path: self.path.clone(), line, column, message, help, excerpt }
    }

    /// Line and column of an offset, both counted from 1, the column in characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset);
        let before = self.text.get(self.lines[line - 1]..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// The text of a line, counted from 1, without its end.
    pub(crate) fn line(&self, line: usize) -> &str {
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        self.text.get(self.lines[line - 1]..end).unwrap_or("").trim_end_matches(['\r', '\n'])
    }

    /// Byte offsets at which lines start.
    pub(crate) fn line_starts(&self) -> &[usize] {
        &self.lines
    }

    /// How many characters of a range lie on its first line.
    fn chars_on_line(&self, range: Range<usize>) -> usize {
        let text = self.text.get(range).unwrap_or("");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_of_python_ends_a_line() {
        assert_eq!(line_starts("a\r\nb\rc\n"), [0, 3, 5, 7]);
    }
}
