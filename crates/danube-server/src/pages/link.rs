//! Addresses of pages.

use std::fmt::Write as _;

/// The page of a pipeline.
pub(super) fn pipeline(name: &str) -> String {
    format!("/pipelines/{}", segment(name))
}

/// The page of a run.
pub(super) fn run(pipeline: &str, number: i64) -> String {
    format!("/pipelines/{}/{number}", segment(pipeline))
}

/// A text as one part of a path, or as a value of a query.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to memory cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_its_part_of_the_path() {
        assert_eq!(run("a b/../ü?#", 7), "/pipelines/a%20b%2F..%2F%C3%BC%3F%23/7");
    }
}
