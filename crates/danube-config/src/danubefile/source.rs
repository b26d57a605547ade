//! The file's bytes as text, as Python would decode them.

use super::LONGEST_FILE;
use crate::diagnostic::{Diagnostics, shown};
use crate::text::Text;

/// Decodes as Python would, refusing every encoding but UTF-8.
pub(super) fn decode(path: &str, bytes: &[u8]) -> Result<Text, Diagnostics> {
    if bytes.len() > LONGEST_FILE {
        let message = format!("the file has {} bytes; at most {LONGEST_FILE} are read", bytes.len());
        let help = "move data out of the danubefile, or code into modules beside it";
        return Err(Diagnostics::of_file(path, message, help));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(other) = declared_encoding(bytes).filter(|name| !is_utf8(name)) {
        let message = format!("the file declares the encoding `{}`; only UTF-8 is read", shown(&other));
        return Err(Diagnostics::of_file(path, message, "save it as UTF-8 and remove the `coding:` comment"));
    }
    let source = Text::decode(path, bytes)?;
    match source.text.find('\0') {
        Some(at) => Err(source.error_at(at, "the file has a NUL byte".into(), "remove it; Python refuses it too")),
        None => Ok(source),
    }
}

/// The encoding that one of the first two lines declares (PEP 263). The second counts only under a blank or comment line.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()).take(2);
    let first = lines.next()?;
    cookie(first).or_else(|| if is_comment(first) { cookie(lines.next()?) } else { None })
}

fn is_comment(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#'))
}

fn cookie(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line.get(..400).unwrap_or(line)).into_owned();
    let comment = line.trim_start_matches([' ', '\t', '\u{c}']).strip_prefix('#')?.to_owned();
    comment.match_indices("coding").find_map(|(at, word)| {
        let rest = comment[at + word.len()..].strip_prefix([':', '='])?.trim_start_matches([' ', '\t']);
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
        (!name.is_empty()).then_some(name)
    })
}

/// Python's names for UTF-8. ASCII is a part of it.
fn is_utf8(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    matches!(name.as_str(), "utf-8" | "utf8" | "utf-8-sig" | "u8" | "ascii" | "us-ascii") || name.starts_with("utf-8-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_declared_as_python_reads_it() {
        let declared = |text: &str| declared_encoding(text.as_bytes());
        assert_eq!(declared("# -*- coding: latin-1 -*-\n").as_deref(), Some("latin-1"));
        assert_eq!(declared("#!/usr/bin/env python\r\n# vim: set fileencoding=cp1252 :\n").as_deref(), Some("cp1252"));
        assert_eq!(declared("x = 1\n# coding: latin-1\n"), None);
        assert_eq!(declared("x = 'coding: latin-1'\n"), None);
        assert!(is_utf8("UTF_8") && is_utf8("utf-8-unix") && !is_utf8("utf-16"));
    }
}
