//! Output as events: text where it is text, in pieces that cut no character.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

/// Bytes of output in an event.
pub(super) const PIECE: usize = 16 * 1024;

/// A piece of a step's output.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Output<'a> {
    pub step: u32,
    /// Where the piece begins, in bytes of the masked raw log.
    pub offset: u64,
    /// The piece, when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    /// The piece, when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// How many of these bytes to tell now. Of a character that is not whole yet the rest may still come, unless this `ends`
/// the output.
pub(super) fn whole(bytes: &[u8], ends: bool) -> usize {
    if ends { bytes.len() } else { bytes.len() - unfinished(bytes) }
}

/// The bytes at the end that may be the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(3);
    let starts = bytes[last..].iter().rposition(|byte| *byte >= 0xc0).map(|at| last + at);
    let Some(start) = starts else { return 0 };
    let tail = &bytes[start..];
    let may_go_on = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if may_go_on { tail.len() } else { 0 }
}

impl<'a> Output<'a> {
    pub(super) fn new(step: u32, offset: u64, bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { step, offset, text: Some(text), base64: None },
            Err(_) => Self { step, offset, text: None, base64: Some(STANDARD.encode(bytes)) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_not_cut_and_nothing_is_held_back_for_nothing() {
        let euro = "€".as_bytes();
        assert_eq!(whole(b"abc", false), 3);
        assert_eq!(whole(&[b"ab", &euro[..1]].concat(), false), 2);
        assert_eq!(whole(&[b"ab", &euro[..2]].concat(), false), 2);
        assert_eq!(whole(&[b"ab", euro].concat(), false), 5);
        assert_eq!(whole(&"💡".as_bytes()[..3], false), 0);
        assert_eq!(whole(&[b"ab", &euro[..2]].concat(), true), 4, "no more will come");
        assert_eq!(whole(&[b'a', 0x80, 0x80], false), 3, "no character begins so");
        assert_eq!(whole(&[b'a', 0xff], false), 2, "no character begins so");
        assert_eq!(whole(&[b'a', 0xe2, b'b'], false), 3);
        assert_eq!(whole(b"", false), 0);
    }
}
