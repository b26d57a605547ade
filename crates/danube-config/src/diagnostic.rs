//! Errors in what a user wrote: where, what is wrong, what would be right.

use std::fmt;

use serde::Serialize;

/// More than this many at once help nobody.
const MOST_SHOWN: usize = 20;
/// A longer source line is shown in part.
const WIDEST: usize = 120;

/// One mistake, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file, as the caller names it.
    pub path: String,
    /// Counts from 1; 0 when the mistake is the whole file's.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// The source line with the place marked.
    pub excerpt: Option<Excerpt>,
}

/// A source line and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The line, or the part of a long one, without control characters.
    pub text: String,
    /// Characters of `text` before the mark.
    pub mark_at: usize,
    /// Characters marked; at least 1.
    pub mark_len: usize,
}

impl Excerpt {
    /// The part of `line` around `at`, safe to print: a file cannot send escape codes to a terminal through its errors.
    pub(crate) fn new(line: &str, at: usize, len: usize) -> Self {
        let all: Vec<char> = line.chars().map(printable).collect();
        let at = at.min(all.len());
        let start = if all.len() <= WIDEST { 0 } else { at.saturating_sub(WIDEST / 2) };
        let text: String = all.iter().skip(start).take(WIDEST).collect();
        let mark_at = at - start;
        Self { mark_len: len.min(WIDEST - mark_at.min(WIDEST - 1)).max(1), mark_at, text: text.trim_end().to_owned() }
    }
}

/// The character itself, or a stand-in for one that would move the cursor.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A piece of the user's text for a message: one line, bounded, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(printable).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

impl Diagnostic {
    /// Without the source line.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        let place = if self.line == 0 { String::new() } else { format!(":{}:{}", self.line, self.column) };
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}{place}: {}{help}", self.path, self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.path, self.column, self.message)?,
        }
        let gutter = self.line.to_string();
        let margin = " ".repeat(gutter.len());
        if let Some(excerpt) = &self.excerpt {
            let (before, mark) = (" ".repeat(excerpt.mark_at), "^".repeat(excerpt.mark_len));
            write!(f, "\n  {gutter} | {}\n  {margin} | {before}{mark}", excerpt.text)?;
        }
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  {margin} = {help}"))
    }
}

/// Every mistake of a file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// One mistake that is the whole file's.
    pub(crate) fn of_file(path: &str, message: impl Into<String>, help: &str) -> Self {
        let (message, help) = (message.into(), (!help.is_empty()).then(|| help.to_owned()));
        Self(vec![Diagnostic { path: path.to_owned(), line: 0, column: 0, message, help, excerpt: None }])
    }

    /// A file that cannot be read at all.
    pub(crate) fn unread(path: &str, why: &str) -> Self {
        Self::of_file(path, format!("cannot be read: {why}"), "")
    }

    /// The mistakes in the order of the file.
    pub(crate) fn sorted(mut found: Vec<Diagnostic>) -> Self {
        found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        found.dedup();
        Self(found)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.0.iter().take(MOST_SHOWN).enumerate() {
            write!(f, "{}{diagnostic}", if at > 0 { "\n" } else { "" })?;
        }
        match self.0.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_shown_around_its_mark() {
        let line = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let excerpt = Excerpt::new(&line, 500, 4);
        let marked: String = excerpt.text.chars().skip(excerpt.mark_at).take(excerpt.mark_len).collect();
        assert_eq!(marked, "HERE");
        assert!(excerpt.text.chars().count() <= WIDEST);
    }

    #[test]
    fn no_escape_code_reaches_the_terminal() {
        assert!(!Excerpt::new("x = '\x1b[2J\u{202e}'", 0, 1).text.contains(['\x1b', '\u{202e}']));
        assert!(!shown("\x1b[2J\n").contains(['\x1b', '\n']));
    }

    #[test]
    fn the_mark_stands_under_its_text_after_a_tab() {
        let excerpt = Excerpt::new("\tx = y", 5, 1);
        assert_eq!(excerpt.text.chars().nth(excerpt.mark_at), Some('y'));
    }
}
