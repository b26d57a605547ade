//! What a terminal would make of output's escape sequences, as far as a log shows it: colours and a few attributes.
//!
//! [`Parser`] cuts output into text and sequences, wherever its chunks are cut. [`Style`] is what a sequence of colours
//! leaves behind, [`Tracker`] both together: what must be known to begin in the middle of a log.

mod colour;
mod parser;
mod style;

pub use colour::{nearest, rgb};
pub use parser::{LONGEST, Parser, Token};
pub use style::{Attribute, Style};

/// Follows the style through output.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    parser: Parser,
    style: Style,
}

impl Tracker {
    /// Begins with this style, between two sequences.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self { parser: Parser::default(), style }
    }

    /// Goes on over `bytes`.
    pub fn feed(&mut self, bytes: &[u8]) {
        let style = &mut self.style;
        self.parser.feed(bytes, |token| style.take(&token));
    }

    /// The style after what was fed, without the sequence that is not whole yet.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Bytes of the sequence that is not whole yet: who begins so many bytes earlier with [`style`](Self::style) misses
    /// nothing.
    #[must_use]
    pub fn held(&self) -> usize {
        self.parser.held().len()
    }
}

#[cfg(test)]
mod tests;
