//! Matches paths against globs.
//!
//! | pattern | matches |
//! |---|---|
//! | `?` | one character but `/` |
//! | `*` | any characters but `/` |
//! | `**` | any characters |
//! | `[a-z_]`, `[!0-9]` | one character of a class, or none of it |
//!
//! ```
//! use glob_lite::Glob;
//!
//! let sources = Glob::new("src/**/*.rs")?;
//! assert!(sources.matches("src/main.rs"));
//! assert!(sources.matches("src/a/b.rs"));
//! assert!(!sources.matches("tests/main.rs"));
//! # Ok::<(), glob_lite::ParseError>(())
//! ```

mod class;
mod parse;

pub use parse::ParseError;

use class::Class;

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    AnyCharacter,
    Star,
    /// `**`, which also crosses `/`.
    DoubleStar,
    /// `**/`, which also matches nothing.
    Folders,
    Class(Class),
}

/// A pattern, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When a class is not closed or is empty.
    ///
    /// ```
    /// assert!(glob_lite::Glob::new("[a-z").is_err());
    /// ```
    pub fn new(pattern: &str) -> Result<Self, ParseError> {
        Ok(Self { tokens: parse::tokens(pattern)? })
    }

    /// Whether the whole path matches. Takes time in proportion to the lengths of pattern times path, whatever they are.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        // The places in the pattern that the path read so far can have led to.
        let mut places = vec![false; self.tokens.len() + 1];
        places[0] = true;
        self.skip(&mut places, true);
        for c in path.chars() {
            places = self.step(&places, c);
            self.skip(&mut places, c == '/');
        }
        places[self.tokens.len()]
    }

    fn step(&self, places: &[bool], c: char) -> Vec<bool> {
        let mut next = vec![false; places.len()];
        for (place, token) in self.tokens.iter().enumerate().filter(|(place, _)| places[*place]) {
            match token {
                Token::Literal(wanted) => next[place + 1] |= *wanted == c,
                Token::AnyCharacter => next[place + 1] |= c != '/',
                Token::Class(class) => next[place + 1] |= c != '/' && class.contains(c),
                Token::Star => next[place] |= c != '/',
                Token::DoubleStar | Token::Folders => next[place] = true,
            }
        }
        next
    }

    /// Goes past everything that matches nothing.
    fn skip(&self, places: &mut [bool], after_slash: bool) {
        for (place, token) in self.tokens.iter().enumerate() {
            let passable = match token {
                Token::Star | Token::DoubleStar => true,
                Token::Folders => after_slash,
                _ => false,
            };
            places[place + 1] |= places[place] && passable;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).expect("a pattern").matches(path)
    }

    #[test]
    fn literals_match_themselves() {
        assert!(matches("a/b.rs", "a/b.rs"));
        assert!(!matches("a/b.rs", "a/b.rsx"));
        assert!(!matches("a/b.rs", "a/b"));
        assert!(matches("", ""));
    }

    #[test]
    fn a_star_stays_in_its_folder() {
        assert!(matches("*.rs", "main.rs"));
        assert!(matches("*", ""));
        assert!(!matches("*.rs", "src/main.rs"));
        assert!(matches("a*b*c", "a__b__b__c"));
    }

    #[test]
    fn two_stars_cross_folders() {
        for path in ["src/lib.rs", "src/a/lib.rs", "src/a/b/lib.rs"] {
            assert!(matches("src/**/lib.rs", path), "{path}");
        }
        assert!(!matches("src/**/lib.rs", "src/xlib.rs"));
        assert!(matches("docs/**", "docs/a/b"));
        assert!(matches("**/x", "x"));
    }

    #[test]
    fn classes_match_one_character() {
        assert!(matches("[a-c]?", "bz"));
        assert!(!matches("[!a-c]", "b"));
        assert!(matches("[]]", "]"));
        assert!(!matches("[!a]", "/"));
    }

    #[test]
    fn hard_patterns_take_no_longer() {
        let pattern = "*a".repeat(50);
        assert!(!matches(&pattern, &("a".repeat(5_000) + "b")));
    }

    #[test]
    fn characters_are_not_bytes() {
        assert!(matches("gr?n", "grün"));
        assert!(matches("[à-ü]", "é"));
    }
}
