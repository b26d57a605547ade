//! One line as a terminal would leave it: cells that later output overwrites.

use danube_core::ansi::{Parser, Style, Token};

use super::glyph::{Kind, kind};
use super::link;

/// Columns of a line that are shown.
pub(crate) const COLUMNS: usize = 8192;
/// As far beyond the text a sequence can move.
const FARTHEST: usize = 512;
/// Marks on one character: more would run over the lines around it.
const MARKS: usize = 4;
/// A tab goes to the next multiple.
const TAB: usize = 8;

/// One column.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub glyph: Glyph,
    pub style: Style,
    /// Of [`Canvas::links`], from 1; 0 is none.
    pub link: u16,
    /// Of [`Canvas::marks`], from 1; 0 is none.
    pub marks: u16,
}

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyph {
    Char(char),
    /// A character that is shown as its number.
    Boxed(char),
    /// The rest of the character before it.
    Rest,
}

impl Default for Glyph {
    fn default() -> Self {
        Self::Char(' ')
    }
}

/// A line that is being written.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    pub cells: Vec<Cell>,
    pub links: Vec<String>,
    pub marks: Vec<String>,
    /// How often what was written was written over.
    pub rewrites: u64,
    /// There is more than could be shown.
    pub is_cut: bool,
    at: usize,
    style: Style,
    link: u16,
    /// Text that no sequence interrupted yet.
    text: Vec<u8>,
    /// The next character begins a rewrite, if there is something already.
    is_back: bool,
    /// Something was erased since the last rewrite.
    is_erased: bool,
}

impl Canvas {
    /// Begins with a style.
    pub(super) fn new(style: Style) -> Self {
        Self { style, ..Self::default() }
    }

    /// Writes all of a line. However often it is called, the line is the same.
    pub(super) fn write(&mut self, parser: &mut Parser, bytes: &[u8]) {
        parser.feed(bytes, |token| self.take(&token));
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, parser: &mut Parser) {
        parser.finish(|token| self.take(&token));
        self.flush();
    }

    /// Goes on as if the line began anew, with this style: what was before was written over.
    pub(super) fn start_over(&mut self, style: Style, rewrites: u64) {
        self.flush();
        self.cells.clear();
        (self.at, self.link, self.style) = (0, 0, style);
        (self.is_back, self.is_erased, self.is_cut) = (false, false, false);
        self.rewrites = self.rewrites.saturating_add(rewrites);
    }

    fn take(&mut self, token: &Token<'_>) {
        if let Token::Text(bytes) = token {
            self.text.extend_from_slice(bytes);
            return;
        }
        self.flush();
        self.style.take(token);
        match token {
            Token::Csi { params, end } => self.control(params, *end),
            Token::Osc(words) => self.command(words),
            _ => {}
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        for chunk in text.utf8_chunks() {
            chunk.valid().chars().for_each(|c| self.put(c));
            if !chunk.invalid().is_empty() {
                self.put(char::REPLACEMENT_CHARACTER);
            }
        }
        self.text = text;
        self.text.clear();
    }

    fn put(&mut self, c: char) {
        match c {
            ' '..='~' => self.set(Glyph::Char(c), 1),
            '\r' => self.back_to(0),
            '\u{8}' => self.at = self.at.saturating_sub(1),
            '\t' => self.tab(),
            c => match kind(c, self.before()) {
                Kind::Narrow => self.set(Glyph::Char(c), 1),
                Kind::Wide => self.set(Glyph::Char(c), 2),
                Kind::Boxed => self.set(Glyph::Boxed(c), 1),
                Kind::Mark if self.mark(c) => {}
                Kind::Mark => self.set(Glyph::Boxed(c), 1),
            },
        }
    }

    /// `ESC [ params end`: moves within the line and erases. What would leave the line does nothing.
    fn control(&mut self, params: &[u8], end: u8) {
        let Some(number) = first_number(params) else { return };
        let farthest = self.cells.len().max(self.at).saturating_add(FARTHEST).min(COLUMNS);
        match end {
            b'C' => self.at = self.at.saturating_add(number.max(1)).min(farthest),
            b'D' => self.back_to(self.at.saturating_sub(number.max(1))),
            b'G' => self.back_to(number.max(1).saturating_sub(1).min(farthest)),
            b'K' => self.erase(number),
            _ => {}
        }
    }

    /// `ESC ] 8 ; params ; address`: a link, or the end of one.
    fn command(&mut self, words: &[u8]) {
        let Some(rest) = words.strip_prefix(b"8;") else { return };
        let address = rest.iter().position(|byte| *byte == b';').map_or(&rest[..0], |at| &rest[at + 1..]);
        let address = std::str::from_utf8(address).ok().filter(|address| link::is_address(address));
        self.link = 0;
        if let (Some(address), Ok(next)) = (address, u16::try_from(self.links.len() + 1)) {
            self.links.push(address.to_owned());
            self.link = next;
        }
    }

    fn back_to(&mut self, at: usize) {
        self.at = at;
        self.is_back = true;
    }

    fn erase(&mut self, what: usize) {
        let len = self.cells.len();
        match what {
            0 => {
                self.blank(self.at.min(len), len);
                self.cells.truncate(self.at);
            }
            1 => self.blank(0, (self.at + 1).min(len)),
            2 => self.cells.clear(),
            _ => return,
        }
        self.is_erased |= self.cells.len() < len;
    }

    fn blank(&mut self, from: usize, to: usize) {
        self.free(from, to);
        self.cells[from..to].fill(Cell::default());
    }

    /// Moves to the next stop. Where there is nothing yet the tab itself is kept, so that it can be copied.
    fn tab(&mut self) {
        let stop = (self.at / TAB + 1) * TAB;
        if self.at == self.cells.len() && stop <= COLUMNS {
            let cell = Cell { glyph: Glyph::Char('\t'), ..self.cell() };
            self.cells.push(cell);
            self.cells.resize(stop, Cell { glyph: Glyph::Rest, ..cell });
        }
        self.at = stop.min(COLUMNS);
    }

    fn cell(&self) -> Cell {
        Cell { style: self.style, link: self.link, ..Cell::default() }
    }

    fn set(&mut self, glyph: Glyph, width: usize) {
        let end = self.at + width;
        if end > COLUMNS {
            self.is_cut = true;
            return;
        }
        if std::mem::take(&mut self.is_back) && (self.is_erased || self.at < self.cells.len()) {
            self.rewrites += 1;
            self.is_erased = false;
        }
        if self.cells.len() < end {
            self.cells.resize(end, Cell::default());
        }
        self.free(self.at, end);
        let cell = self.cell();
        self.cells[self.at] = Cell { glyph, ..cell };
        self.cells[self.at + 1..end].fill(Cell { glyph: Glyph::Rest, ..cell });
        self.at = end;
    }

    /// Makes columns free to be written. What reaches into them from outside becomes spaces.
    fn free(&mut self, from: usize, to: usize) {
        if self.cells.get(from).is_some_and(Cell::is_rest) {
            let head = self.cells[..from].iter().rposition(|cell| !cell.is_rest()).unwrap_or(0);
            self.cells[head..from].fill(Cell::default());
        }
        let beyond = self.cells.iter_mut().skip(to);
        beyond.take_while(|cell| cell.is_rest()).for_each(|cell| *cell = Cell::default());
    }

    /// The character before the cursor: the last that was put on it, if there are any.
    fn before(&self) -> Option<char> {
        let cell = self.cells.get(self.head()?)?;
        let mark = usize::from(cell.marks).checked_sub(1).and_then(|marks| self.marks[marks].chars().next_back());
        mark.or(if let Glyph::Char(c) = cell.glyph { Some(c) } else { None })
    }

    /// The column where the character before the cursor begins.
    fn head(&self) -> Option<usize> {
        let before = self.cells.get(..self.at)?;
        before.iter().rposition(|cell| !cell.is_rest())
    }

    /// Puts a mark on the character before the cursor; false if it bears no more.
    fn mark(&mut self, c: char) -> bool {
        let Some(head) = self.head().filter(|head| matches!(self.cells[*head].glyph, Glyph::Char(_))) else {
            return false;
        };
        let Some(marks) = usize::from(self.cells[head].marks).checked_sub(1) else {
            let Ok(next) = u16::try_from(self.marks.len() + 1) else { return false };
            self.marks.push(c.into());
            self.cells[head].marks = next;
            return true;
        };
        let bears = self.marks[marks].chars().count() < MARKS;
        if bears {
            self.marks[marks].push(c);
        }
        bears
    }
}

impl Cell {
    fn is_rest(&self) -> bool {
        self.glyph == Glyph::Rest
    }
}

/// The first parameter; 0 if it is not written. None if the sequence means something else.
fn first_number(params: &[u8]) -> Option<usize> {
    let first = params.split(|byte| *byte == b';').next().unwrap_or_default();
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    first.iter().try_fold(0_usize, |number, byte| Some(number.saturating_mul(10).saturating_add(digit(byte)?)))
}
