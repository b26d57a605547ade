//! How text looks: colours of the palette and attributes, as sequences set them one after another.

use super::{Token, nearest};

/// How text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Style {
    fg: u8,
    bg: u8,
    /// An [`Attribute`] each, and which colours are set.
    bits: u8,
}

/// What text can be, beside coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Attribute {
    /// Heavier.
    Bold = 1,
    /// Fainter.
    Dim = 2,
    /// Slanted.
    Italic = 4,
    /// With a line under it.
    Underline = 8,
    /// With its two colours exchanged.
    Inverse = 16,
    /// With a line through it.
    Strike = 32,
}

const HAS_FG: u8 = 64;
const HAS_BG: u8 = 128;

impl Style {
    /// The colour of the text, unless it is the theme's.
    #[must_use]
    pub fn fg(self) -> Option<u8> {
        (self.bits & HAS_FG != 0).then_some(self.fg)
    }

    /// The colour behind the text, unless it is the theme's.
    #[must_use]
    pub fn bg(self) -> Option<u8> {
        (self.bits & HAS_BG != 0).then_some(self.bg)
    }

    /// Whether the text is so.
    #[must_use]
    pub fn is(self, attribute: Attribute) -> bool {
        self.bits & attribute as u8 != 0
    }

    /// As an index keeps it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 3] {
        [self.fg, self.bg, self.bits]
    }

    /// From what an index kept.
    #[must_use]
    pub fn from_bytes([fg, bg, bits]: [u8; 3]) -> Self {
        let mut style = Self { bits: bits & !(HAS_FG | HAS_BG), ..Self::default() };
        style.set_fg((bits & HAS_FG != 0).then_some(fg));
        style.set_bg((bits & HAS_BG != 0).then_some(bg));
        style
    }

    /// What a token does to it.
    pub fn take(&mut self, token: &Token<'_>) {
        match token {
            Token::Csi { params, end: b'm' } => self.select(params),
            Token::Reset => *self = Self::default(),
            _ => {}
        }
    }

    /// Takes the parameters of `ESC [ … m`. What is unknown changes nothing; a text cannot be made invisible.
    fn select(&mut self, params: &[u8]) {
        if !params.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')) {
            return;
        }
        let mut rest = params.split(|byte| *byte == b';');
        while let Some(group) = rest.next() {
            let mut parts = group.split(|byte| *byte == b':').map(number);
            match parts.next().unwrap_or(0) {
                code @ (38 | 48) => {
                    // With `:` all of a colour is one group, with `;` it is the groups that follow.
                    let colour = if group.contains(&b':') {
                        grouped_colour(parts.collect())
                    } else {
                        colour(&mut rest.by_ref().map(number))
                    };
                    self.set(code, colour);
                }
                4 if parts.next() == Some(0) => self.clear(Attribute::Underline as u8),
                code => self.simple(code),
            }
        }
    }

    fn set(&mut self, code: u32, colour: Option<u8>) {
        match (code, colour) {
            (38, Some(_)) => self.set_fg(colour),
            (48, Some(_)) => self.set_bg(colour),
            _ => {}
        }
    }

    fn simple(&mut self, code: u32) {
        let colour = |base: u32| u8::try_from(code - base).ok();
        match code {
            0 => *self = Self::default(),
            1 => self.bits |= Attribute::Bold as u8,
            2 => self.bits |= Attribute::Dim as u8,
            3 => self.bits |= Attribute::Italic as u8,
            4 => self.bits |= Attribute::Underline as u8,
            7 => self.bits |= Attribute::Inverse as u8,
            9 => self.bits |= Attribute::Strike as u8,
            22 => self.clear(Attribute::Bold as u8 | Attribute::Dim as u8),
            23 => self.clear(Attribute::Italic as u8),
            24 => self.clear(Attribute::Underline as u8),
            27 => self.clear(Attribute::Inverse as u8),
            29 => self.clear(Attribute::Strike as u8),
            30..=37 => self.set_fg(colour(30)),
            39 => self.set_fg(None),
            40..=47 => self.set_bg(colour(40)),
            49 => self.set_bg(None),
            90..=97 => self.set_fg(colour(82)),
            100..=107 => self.set_bg(colour(92)),
            _ => {}
        }
    }

    fn clear(&mut self, bits: u8) {
        self.bits &= !bits;
    }

    fn set_fg(&mut self, colour: Option<u8>) {
        self.fg = colour.unwrap_or(0);
        self.bits = self.bits & !HAS_FG | if colour.is_some() { HAS_FG } else { 0 };
    }

    fn set_bg(&mut self, colour: Option<u8>) {
        self.bg = colour.unwrap_or(0);
        self.bits = self.bits & !HAS_BG | if colour.is_some() { HAS_BG } else { 0 };
    }
}

/// A parameter; nothing is 0, and what is too large means nothing.
fn number(digits: &[u8]) -> u32 {
    let add = |number: u32, digit: &u8| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    digits.iter().fold(0, add)
}

/// A colour after 38 or 48: `5 n` or `2 r g b`.
fn colour(parts: &mut impl Iterator<Item = u32>) -> Option<u8> {
    let mut value = || parts.next().and_then(|part| u8::try_from(part).ok());
    match value()? {
        5 => value(),
        2 => match (value(), value(), value()) {
            (Some(red), Some(green), Some(blue)) => Some(nearest(red, green, blue)),
            _ => None,
        },
        _ => None,
    }
}

/// Likewise in one group, where `2` may have the name of a colour space before its three values.
fn grouped_colour(mut parts: Vec<u32>) -> Option<u8> {
    if parts.first() == Some(&2) && parts.len() > 4 {
        parts.remove(1);
    }
    colour(&mut parts.into_iter())
}
