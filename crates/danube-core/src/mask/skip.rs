//! Skips what cannot be a form. Every form has at least eight bytes, so it is enough to look at the last two bytes of
//! a window of eight: most pairs are in no form's beginning, and the window moves seven bytes on.

use super::SHORTEST;

/// For each pair of bytes, how far the window may move when it ends with that pair.
pub(super) struct Skips(Box<[u8]>);

impl Skips {
    pub(super) fn new(forms: &[Vec<u8>]) -> Self {
        let farthest = u8::try_from(SHORTEST - 1).unwrap_or(u8::MAX);
        let mut skips = vec![farthest; 1 << 16].into_boxed_slice();
        for form in forms {
            for (left, pair) in (0..farthest).rev().zip(form.windows(2)) {
                let skip = &mut skips[index(pair[0], pair[1])];
                *skip = left.min(*skip);
            }
        }
        Self(skips)
    }

    /// The first place at or after `from` where a form may begin.
    pub(super) fn candidate(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut end = from + SHORTEST;
        while end <= text.len() {
            match self.0[index(text[end - 2], text[end - 1])] {
                0 => return Some(end - SHORTEST),
                skip => end += usize::from(skip),
            }
        }
        None
    }
}

fn index(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}
