//! What is searched for in a log: a text, in any case unless it has a capital letter, or an expression. Both take time in
//! proportion to the text only, whatever the expression.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of what is searched for.
const LONGEST: usize = 256;
/// Bytes of the machine that an expression becomes.
const MACHINE: usize = 1 << 20;
/// Marks in one line.
const MOST: usize = 200;

/// What is searched for.
#[derive(Clone, Debug)]
pub(crate) struct Needle(Regex);

/// Whether case matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Only if there is a capital letter in what is searched for.
    Smart,
    /// Never.
    Any,
}

impl Needle {
    /// A text as it is.
    pub(crate) fn text(text: &str, case: Case) -> Result<Self, String> {
        check_length(text)?;
        let ignores = case == Case::Any || !text.chars().any(char::is_uppercase);
        build(&regex::escape(text), ignores).map_err(|_| "The text cannot be searched for.".to_owned())
    }

    /// An expression.
    pub(crate) fn expression(text: &str) -> Result<Self, String> {
        check_length(text)?;
        // A capital letter after a backslash is a class, and no letter that is searched for.
        let mut letters = text.split('\\').enumerate().flat_map(|(at, part)| part.chars().skip(usize::from(at > 0)));
        build(text, !letters.any(char::is_uppercase)).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "The expression is too large: make it shorter.".to_owned(),
            other => {
                let words = other.to_string();
                let last = words.lines().last().unwrap_or_default();
                format!("The expression cannot be read: {}.", last.trim_start_matches("error: "))
            }
        })
    }

    /// Whether a line has it.
    pub(crate) fn is_in(&self, line: &[u8]) -> bool {
        self.0.is_match(line)
    }

    /// Where a line has it first.
    pub(crate) fn place(&self, line: &[u8]) -> usize {
        self.0.find(line).map_or(0, |found| found.start())
    }

    /// Where a line has it.
    pub(crate) fn ranges(&self, line: &str) -> Vec<Range<usize>> {
        let found = self.0.find_iter(line.as_bytes()).map(|found| found.range());
        found.filter(|range| !range.is_empty() && is_whole(line, range)).take(MOST).collect()
    }
}

fn is_whole(line: &str, range: &Range<usize>) -> bool {
    line.is_char_boundary(range.start) && line.is_char_boundary(range.end)
}

fn check_length(text: &str) -> Result<(), String> {
    let fits = (1..=LONGEST).contains(&text.len()) && !text.contains('\n');
    fits.then_some(()).ok_or_else(|| format!("What is searched for has 1 to {LONGEST} bytes and no line end."))
}

fn build(pattern: &str, ignores_case: bool) -> Result<Needle, regex::Error> {
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(ignores_case).size_limit(MACHINE).dfa_size_limit(MACHINE).nest_limit(50);
    builder.build().map(Needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capital_letter_makes_case_matter() {
        let finds = |text: &str, case, line: &str| Needle::text(text, case).unwrap().is_in(line.as_bytes());
        assert!(finds("error", Case::Smart, "an ERROR") && !finds("Error", Case::Smart, "an ERROR"));
        assert!(finds("Error", Case::Any, "an ERROR") && finds("ärger", Case::Smart, "ÄRGER"));
        assert!(finds("a.b", Case::Smart, "a.b") && !finds("a.b", Case::Smart, "axb"), "no expression");
        let expression = |text: &str, line: &str| Needle::expression(text).unwrap().is_in(line.as_bytes());
        assert!(expression(r"fail\S", "FAILx") && !expression("Fail", "FAIL") && expression("^a.*z$", "A to Z"));
    }

    #[test]
    fn what_cannot_be_searched_for_is_refused_in_words() {
        assert!(Needle::text("", Case::Smart).is_err() && Needle::text(&"x".repeat(257), Case::Smart).is_err());
        assert_eq!(Needle::expression("a(").unwrap_err(), "The expression cannot be read: unclosed group.");
        let large = Needle::expression("((a{100}){100}){100}").unwrap_err();
        assert_eq!(large, "The expression is too large: make it shorter.");
    }

    #[test]
    fn marks_are_whole_characters_and_have_a_length() {
        assert_eq!(Needle::expression("x*").unwrap().ranges("axxbx"), [1..3, 4..5]);
        assert!(Needle::expression("(?-u:\\xa4)").unwrap().ranges("ä").is_empty(), "half a character");
        assert_eq!(Needle::text("ab", Case::Smart).unwrap().ranges("ab AB"), [0..2, 3..5]);
    }

    #[test]
    fn no_expression_takes_more_than_its_share_of_time() {
        let evil = Needle::expression("(a|a)*(a|a)*(a|a)*(a|a)*b$").unwrap();
        let line = "a".repeat(100_000);
        assert!(!evil.is_in(line.as_bytes()), "and this test ends");
    }
}
