//! What a character is in a log: how wide, and whether it may be shown as it is.

/// What a character is in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One column.
    Narrow,
    /// Two columns.
    Wide,
    /// It belongs to the character before it.
    Mark,
    /// It controls, hides or turns text: its number is shown, in a box.
    Boxed,
}

/// What `c` is. Where it follows `before` matters to what joins emoji.
pub(super) fn kind(c: char, before: Option<char>) -> Kind {
    match c {
        ' '..='~' => Kind::Narrow,
        '\u{200d}' if before.is_some_and(is_pictograph) => Kind::Mark,
        _ if is_boxed(c) => Kind::Boxed,
        '\u{1f3fb}'..='\u{1f3ff}' if before.is_some_and(is_pictograph) => Kind::Mark,
        _ if is_mark(c) => Kind::Mark,
        _ if is_wide(c) => Kind::Wide,
        _ => Kind::Narrow,
    }
}

/// Control characters; what changes the direction of text; what is invisible, or a space that is none.
pub(crate) const fn is_boxed(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// What stands above, below or inside of the character before it, or chooses its form.
const fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}' | '\u{93c}' | '\u{941}'..='\u{94d}'
        | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{302a}'..='\u{302f}' | '\u{3099}' | '\u{309a}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

const fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115e}' | '\u{231a}' | '\u{231b}' | '\u{23e9}'..='\u{23ec}' | '\u{23f0}' | '\u{23f3}'
        | '\u{25fd}' | '\u{25fe}' | '\u{2614}' | '\u{2615}' | '\u{2648}'..='\u{2653}' | '\u{267f}' | '\u{2693}'
        | '\u{26a1}' | '\u{26aa}' | '\u{26ab}' | '\u{26bd}' | '\u{26be}' | '\u{26c4}' | '\u{26c5}' | '\u{26ce}'
        | '\u{26d4}' | '\u{26ea}' | '\u{26f2}' | '\u{26f3}' | '\u{26f5}' | '\u{26fa}' | '\u{26fd}' | '\u{2705}'
        | '\u{270a}' | '\u{270b}' | '\u{2728}' | '\u{274c}' | '\u{274e}' | '\u{2753}'..='\u{2755}' | '\u{2757}'
        | '\u{2795}'..='\u{2797}' | '\u{27b0}' | '\u{27bf}' | '\u{2b1b}' | '\u{2b1c}' | '\u{2b50}' | '\u{2b55}'
        | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{3163}' | '\u{3165}'..='\u{a4cf}' | '\u{a960}'..='\u{a97c}'
        | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}' | '\u{1f004}' | '\u{1f0cf}' | '\u{1f18e}' | '\u{1f191}'..='\u{1f19a}'
        | '\u{1f200}'..='\u{1f320}' | '\u{1f32d}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f7e0}'..='\u{1f7f0}' | '\u{1f90c}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}

const fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_is_boxed() {
        for c in "\0\u{7}\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{e0041}\u{e0100}".chars() {
            assert_eq!(kind(c, Some('a')), Kind::Boxed, "{:x}", c as u32);
        }
    }

    #[test]
    fn ordinary_text_is_not() {
        for c in " aäßЖ的한é✓✔✗→█▁🦀ا\u{fffd}\u{a0}".chars() {
            assert!(matches!(kind(c, None), Kind::Narrow | Kind::Wide), "{c}");
        }
        assert_eq!([kind('的', None), kind('🦀', None), kind('✓', None)], [Kind::Wide, Kind::Wide, Kind::Narrow]);
        assert_eq!(kind('\u{301}', Some('e')), Kind::Mark);
        assert_eq!(kind('\u{fe0f}', Some('✔')), Kind::Mark);
        assert_eq!(kind('\u{200d}', Some('👩')), Kind::Mark, "it joins two emoji to one");
    }
}
