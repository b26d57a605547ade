//! Cuts output into text and escape sequences.
//!
//! Nothing can hide: a sequence that has no end within its line, or is too long, is text. So each line begins outside
//! of any sequence, and a log can be read from any line on.

use memchr::memchr;

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
/// Bytes of a sequence. A longer one is text.
pub const LONGEST: usize = 4096;

/// A piece of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// What is not part of a sequence: characters, and control characters such as `\r`. An ESC in it began nothing.
    Text(&'a [u8]),
    /// A control sequence, `ESC [ params end`.
    Csi {
        /// What is between `[` and the end.
        params: &'a [u8],
        /// The last byte, which says what it does.
        end: u8,
    },
    /// An operating system command, `ESC ] words ST`: a link, a title.
    Osc(&'a [u8]),
    /// The terminal is set back to its beginning.
    Reset,
}

/// Cuts output into tokens. Texts come in pieces, which depend on how the output is fed; everything else does not.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    state: State,
    /// The sequence so far, with its ESC.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and what stands between it and the last byte.
    Intermediate,
    Csi,
    /// In the words of a command. Only those of an operating system command are of use.
    Words,
    /// In words, after ESC: `\` ends them.
    WordsEscape,
}

/// What a byte is to a sequence.
enum Step {
    /// It belongs to it, and there is more.
    More(State),
    /// It is its last.
    Ends,
    /// It does not belong to it, so the sequence is none.
    Breaks,
}

impl Parser {
    /// Takes more output. What begins a sequence at the end of it is held.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Token<'_>)) {
        let mut at = 0;
        while at < bytes.len() {
            if self.state != State::Text {
                at += usize::from(self.step(bytes[at], &mut take));
                continue;
            }
            let end = memchr(ESC, &bytes[at..]).map_or(bytes.len(), |found| at + found);
            if end > at {
                take(Token::Text(&bytes[at..end]));
            }
            if end < bytes.len() {
                self.begin();
            }
            at = end + 1;
        }
    }

    /// There is no more output: a sequence that has no end is text.
    pub fn finish(&mut self, mut take: impl FnMut(Token<'_>)) {
        if self.state != State::Text {
            self.give_up(&mut take);
        }
    }

    /// The sequence that is not whole yet.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    fn begin(&mut self) {
        self.state = State::Escape;
        self.held.clear();
        self.held.push(ESC);
    }

    /// Takes a byte within a sequence; false if it is to be looked at again, as what comes after.
    fn step(&mut self, byte: u8, take: &mut impl FnMut(Token<'_>)) -> bool {
        let step = if self.held.len() == LONGEST { Step::Breaks } else { self.state.step(byte) };
        match step {
            Step::More(state) => {
                self.held.push(byte);
                self.state = state;
            }
            Step::Ends => {
                self.held.push(byte);
                if let Some(token) = self.token() {
                    take(token);
                }
                self.state = State::Text;
                self.held.clear();
            }
            Step::Breaks => {
                self.break_off(take);
                return false;
            }
        }
        true
    }

    /// The sequence is none. An ESC that should have ended its words may begin another one.
    fn break_off(&mut self, take: &mut impl FnMut(Token<'_>)) {
        if self.state != State::WordsEscape {
            return self.give_up(take);
        }
        self.held.pop();
        take(Token::Text(&self.held));
        self.begin();
    }

    fn give_up(&mut self, take: &mut impl FnMut(Token<'_>)) {
        take(Token::Text(&self.held));
        self.state = State::Text;
        self.held.clear();
    }

    /// What a whole sequence is; none if it means nothing to a log.
    fn token(&self) -> Option<Token<'_>> {
        let (end, before) = self.held.split_last()?;
        match self.held.get(1)? {
            b'[' => Some(Token::Csi { params: &before[2..], end: *end }),
            b']' => Some(Token::Osc(before[2..].strip_suffix(&[ESC]).unwrap_or(&before[2..]))),
            b'c' => Some(Token::Reset),
            _ => None,
        }
    }
}

impl State {
    /// What `byte` is to a sequence in this state.
    fn step(self, byte: u8) -> Step {
        match (self, byte) {
            (Self::Escape, b'[') => Step::More(Self::Csi),
            (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Step::More(Self::Words),
            (Self::Escape | Self::Intermediate, 0x20..=0x2f) => Step::More(Self::Intermediate),
            (Self::Escape | Self::Intermediate, 0x30..=0x7e) => Step::Ends,
            (Self::Csi, 0x20..=0x3f) => Step::More(Self::Csi),
            (Self::Csi, 0x40..=0x7e) => Step::Ends,
            (Self::Words, BEL) | (Self::WordsEscape, b'\\') => Step::Ends,
            (Self::Words, ESC) => Step::More(Self::WordsEscape),
            (Self::Words, b'\t' | 0x20..) => Step::More(Self::Words),
            _ => Step::Breaks,
        }
    }
}
