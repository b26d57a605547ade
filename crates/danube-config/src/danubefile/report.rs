//! Collects the mistakes of one file, so that all are told at once.

use ruff_text_size::TextRange;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::text::Text;

/// A mistake at a place of the source.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    /// Where.
    pub(super) range: TextRange,
    /// What is wrong.
    pub(super) message: String,
    /// What would be right.
    pub(super) help: Option<String>,
}

impl Wrong {
    /// A mistake with what would be right.
    pub(super) fn new(range: TextRange, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { range, message: message.into(), help: Some(help.into()) }
    }
}

/// The mistakes found so far.
pub(super) struct Report<'s> {
    /// The file.
    pub(super) source: &'s Text,
    found: Vec<Diagnostic>,
}

impl<'s> Report<'s> {
    pub(super) fn new(source: &'s Text) -> Self {
        Self { source, found: Vec::new() }
    }

    /// Notes a mistake.
    pub(super) fn at(&mut self, range: TextRange, message: String, help: Option<String>) {
        self.found.push(self.source.diagnostic(range.start().to_usize()..range.end().to_usize(), message, help));
    }

    /// Notes a mistake.
    pub(super) fn wrong(&mut self, wrong: Wrong) {
        self.at(wrong.range, wrong.message, wrong.help);
    }

    /// Notes a mistake that has no place, such as something missing.
    pub(super) fn missing(&mut self, message: &str, help: &str) {
        let (path, message, help) = (self.source.path.clone(), message.to_owned(), Some(help.to_owned()));
        self.found.push(Diagnostic { path, line: 0, column: 0, message, help, excerpt: None });
    }

    /// The value, or nothing and the mistake noted.
    pub(super) fn take<T>(&mut self, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.wrong(wrong)).ok()
    }

    /// Whether no mistake was noted yet.
    pub(super) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// `value` if there was no mistake.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, Diagnostics> {
        if self.found.is_empty() { Ok(value) } else { Err(Diagnostics::sorted(self.found)) }
    }
}
