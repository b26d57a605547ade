//! One line of a log, as much of it as a reader looks at.

use danube_core::ansi::{Style, Tracker};

use super::pieces::Piece;

/// Bytes of one line in a [`Line`] at most; the rest of a longer one is left out, and said to be.
pub const LINE_BYTES: usize = 16 * 1024;

/// One line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Counts from 0.
    pub number: u64,
    /// When its first byte was read, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The stream of its first byte: 1 stdout (or both, merged), 2 stderr, 0 words of Danube's own.
    pub stream: u8,
    /// Its bytes without the line end: any bytes at all.
    pub text: Vec<u8>,
    /// It was longer than [`LINE_BYTES`].
    pub cut: bool,
    /// Its bytes, without the line end: as many as `text` has unless it is cut.
    pub len: u64,
    /// How its text begins to look.
    pub style: Style,
    /// The masker hid something in it, or near it.
    pub masked: bool,
    /// It tells of a failure.
    pub failure: bool,
    /// What a line that is cut wrote over itself last.
    pub last: Option<LastState>,
}

/// The last state of a line that is cut and begins anew, by `\r`, in what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastState {
    /// How its text begins to look.
    pub style: Style,
    /// Its bytes; [`LINE_BYTES`] of them at most.
    pub text: Vec<u8>,
    /// How often the line began anew in what was left out.
    pub rewrites: u64,
    /// What comes next begins it anew.
    begins: bool,
}

impl Line {
    pub(super) fn add(&mut self, piece: &Piece<'_>, tracker: &mut Tracker) {
        self.masked |= piece.masked;
        self.failure |= piece.failure;
        self.len += piece.text.len() as u64;
        let room = LINE_BYTES - self.text.len();
        let (shown, rest) = piece.text.split_at(piece.text.len().min(room));
        self.text.extend_from_slice(shown);
        tracker.feed(shown);
        if !rest.is_empty() {
            self.cut = true;
            self.add_rest(rest, tracker);
        }
        if piece.ends {
            tracker.feed(b"\n");
        }
    }

    /// Keeps what the line wrote over itself last: what is after the last `\r` that has something after it.
    fn add_rest(&mut self, rest: &[u8], tracker: &mut Tracker) {
        for (place, state) in rest.split(|byte| *byte == b'\r').enumerate() {
            if place > 0 {
                tracker.feed(b"\r");
                let last = self.last.get_or_insert_default();
                last.begins = true;
            }
            if let Some(last) = self.last.as_mut().filter(|_| !state.is_empty()) {
                last.add(state, tracker.style());
            }
            tracker.feed(state);
        }
    }
}

impl LastState {
    fn add(&mut self, state: &[u8], style: Style) {
        if std::mem::take(&mut self.begins) {
            *self = Self { style, rewrites: self.rewrites + 1, ..Self::default() };
        }
        self.text.extend_from_slice(&state[..state.len().min(LINE_BYTES - self.text.len())]);
    }
}
