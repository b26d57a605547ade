//! Reads patterns.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use crate::class::Class;
use crate::Token;

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// A `[` without its `]`.
    Unclosed,
    /// A range whose end is before its start.
    Backwards(char, char),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => write!(f, "a class is not closed: add `]`"),
            Self::Backwards(first, last) => write!(f, "the range {first}-{last} is backwards: write {last}-{first}"),
        }
    }
}

impl std::error::Error for ParseError {}

/// The pieces of a pattern.
pub(crate) fn tokens(pattern: &str) -> Result<Vec<Token>, ParseError> {
    let mut rest = pattern.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '?' => Token::AnyCharacter,
            '*' => star(&mut rest, tokens.last()),
            '[' => Token::Class(class(&mut rest)?),
            c => Token::Literal(c),
        });
    }
    Ok(tokens)
}

fn star(rest: &mut Peekable<Chars<'_>>, before: Option<&Token>) -> Token {
    if rest.next_if_eq(&'*').is_none() {
        return Token::Star;
    }
    let starts_a_part = matches!(before, None | Some(Token::Literal('/') | Token::Folders));
    if starts_a_part && rest.next_if_eq(&'/').is_some() {
        return Token::Folders;
    }
    Token::DoubleStar
}

fn class(rest: &mut Peekable<Chars<'_>>) -> Result<Class, ParseError> {
    let negated = rest.next_if_eq(&'!').is_some();
    let mut ranges = Vec::new();
    loop {
        let first = rest.next().ok_or(ParseError::Unclosed)?;
        // A `]` that comes first is a member.
        if first == ']' && !ranges.is_empty() {
            return Ok(Class { ranges, negated });
        }
        let last = last_of_range(rest, first)?;
        if last < first {
            return Err(ParseError::Backwards(first, last));
        }
        ranges.push((first, last));
    }
}

fn last_of_range(rest: &mut Peekable<Chars<'_>>, first: char) -> Result<char, ParseError> {
    let mut ahead = rest.clone();
    if ahead.next() != Some('-') || ahead.peek() == Some(&']') {
        return Ok(first);
    }
    rest.next();
    rest.next().ok_or(ParseError::Unclosed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said() {
        assert_eq!(tokens("[a"), Err(ParseError::Unclosed));
        assert_eq!(tokens("["), Err(ParseError::Unclosed));
        assert_eq!(tokens("[a-"), Err(ParseError::Unclosed));
        assert_eq!(tokens("[z-a]"), Err(ParseError::Backwards('z', 'a')));
        assert_eq!(ParseError::Backwards('z', 'a').to_string(), "the range z-a is backwards: write a-z");
    }

    #[test]
    fn a_dash_at_the_end_is_a_member() {
        let class = Class { ranges: vec![('a', 'a'), ('-', '-')], negated: false };
        assert_eq!(tokens("[a-]"), Ok(vec![Token::Class(class)]));
    }
}
