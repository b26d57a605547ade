//! Refuses a file that nests so deep that walking its tree, or dropping it, could overflow the stack.
//!
//! The parser grows its own stack, but the tree it gives is dropped and walked by plain recursion: a megabyte of `-`
//! or of `1+1+1+…` is a tree a million deep. So the depth is bounded from above on the tokens, before any tree exists.
//! Python refuses such files too, at about these limits.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::Mode;
use ruff_python_parser::lexer::lex;

use crate::diagnostic::Diagnostics;
use crate::text::Text;

/// Open brackets and indented blocks.
const MOST_LEVELS: usize = 150;
/// Tokens, other than strings, between two commas or statements, over all open brackets.
const LONGEST_CHAIN: usize = 3000;

/// Refuses a file that nests too deep, at the line where it does.
pub(super) fn check(source: &Text) -> Result<(), Diagnostics> {
    let Some(why) = too_deep(&source.text) else { return Ok(()) };
    let starts = source.line_starts();
    let end_of = |line: usize| starts.get(line + 1).copied().unwrap_or(source.text.len());
    // The lexer does not tell where it is, so the first prefix of lines that is too deep tells the line.
    let (mut low, mut high) = (0, starts.len() - 1);
    while low < high {
        let middle = usize::midpoint(low, high);
        let deep = too_deep(&source.text[..end_of(middle)]).is_some();
        (low, high) = if deep { (low, middle) } else { (middle + 1, high) };
    }
    Err(source.error_at(
        starts[low],
        why.message(),
        "is a closing bracket missing above? Otherwise split the expression",
    ))
}

/// What there is too much of.
#[derive(Clone, Copy)]
enum Excess {
    Levels,
    Chain,
}

impl Excess {
    fn message(self) -> String {
        match self {
            Self::Levels => format!("more than {MOST_LEVELS} brackets or blocks are open here"),
            Self::Chain => format!("one expression has more than {LONGEST_CHAIN} parts without a comma up to here"),
        }
    }
}

/// One open bracket (or the file itself).
#[derive(Default)]
struct Level {
    /// Tokens since the last comma.
    since_comma: usize,
    /// Keywords after which a comma does not end the nesting: `lambda a, b: lambda c, d: …`.
    sticky: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.since_comma + self.sticky
    }
}

/// Where the lexer is in the nesting.
struct Nesting {
    /// The file itself, then every open bracket.
    levels: Vec<Level>,
    /// Indented blocks.
    blocks: usize,
    /// The depth of all levels but the last.
    below: usize,
}

fn too_deep(text: &str) -> Option<Excess> {
    let mut lexer = lex(text, Mode::Module);
    let mut nesting = Nesting { levels: vec![Level::default()], blocks: 0, below: 0 };
    loop {
        let token = lexer.next_token();
        if token == TokenKind::EndOfFile {
            return None;
        }
        nesting.take(token);
        if let Some(excess) = nesting.excess() {
            return Some(excess);
        }
    }
}

impl Nesting {
    fn take(&mut self, token: TokenKind) {
        match token {
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => self.open(),
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace if self.levels.len() > 1 => self.close(),
            TokenKind::Newline | TokenKind::Semi => (self.levels, self.below) = (vec![Level::default()], 0),
            TokenKind::Indent => self.blocks += 1,
            TokenKind::Dedent => self.blocks = self.blocks.saturating_sub(1),
            TokenKind::NonLogicalNewline | TokenKind::Comment | TokenKind::String => {}
            _ => self.count(token),
        }
    }

    fn open(&mut self) {
        self.count(TokenKind::Lpar);
        self.below += self.last();
        self.levels.push(Level::default());
    }

    fn close(&mut self) {
        self.levels.pop();
        self.below -= self.last();
    }

    fn count(&mut self, token: TokenKind) {
        let Some(level) = self.levels.last_mut() else { return };
        match token {
            TokenKind::Comma => level.since_comma = 0,
            TokenKind::Lambda | TokenKind::Yield => level.sticky += 1,
            _ => level.since_comma += 1,
        }
    }

    fn last(&self) -> usize {
        self.levels.last().map_or(0, Level::depth)
    }

    fn excess(&self) -> Option<Excess> {
        if self.levels.len() + self.blocks > MOST_LEVELS {
            return Some(Excess::Levels);
        }
        (self.below + self.last() > LONGEST_CHAIN).then_some(Excess::Chain)
    }
}
