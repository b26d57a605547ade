//! YAML as a stranger may write it: bounded in depth and number, with strict booleans, every mistake at its place.

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, Location};

use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::nearest::nearest;
use crate::text::Text;

/// Every document of a file.
pub(super) fn documents<T: DeserializeOwned>(text: &Text) -> Result<Vec<T>, Diagnostics> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_nodes: 20_000, max_depth: 32, max_aliases: 100 },
    };
    serde_saphyr::from_multiple_with_options(&text.text, options).map_err(|error| Diagnostics(vec![told(text, &error)]))
}

/// A mistake at the place of a value.
pub(super) fn at(text: &Text, place: &Location, message: String, help: &str) -> Diagnostic {
    let (line, column) = (place.line() as usize, place.column() as usize);
    let help = (!help.is_empty()).then(|| help.to_owned());
    match text.line_starts().get(line.wrapping_sub(1)) {
        Some(start) => {
            let before: usize = text.line(line).chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
            let from = start + before;
            let word = text.text[from..].find(['\n', '\r']).map_or(text.text.len(), |end| from + end);
            text.diagnostic(from..word, message, help)
        }
        None => Diagnostic { path: text.path.clone(), line: 0, column: 0, message, help, excerpt: None },
    }
}

fn told(text: &Text, error: &Error) -> Diagnostic {
    let error = error.without_snippet();
    let place = error.location().unwrap_or(Location::UNKNOWN);
    let (message, help) = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let help = match nearest(field, expected.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known are: {}", expected.join(", ")),
            };
            (format!("there is no key `{}` here", shown(field)), help)
        }
        Error::SerdeMissingField { field, .. } => (format!("the key `{field}` is missing here"), String::new()),
        other => (words(&other.to_string()), String::new()),
    };
    at(text, &place, message, &help)
}

/// The parser's words without the place, which is told already, and without advice to programmers.
fn words(said: &str) -> String {
    let said = said.rsplit_once(" at line ").map_or(said, |(words, _)| words);
    let said = said.split_once(", set ").map_or(said, |(words, _)| words);
    said.lines().map(shown).collect::<Vec<_>>().join(" ")
}
