//! Addresses in output. Only those of the web become links, and only where a reader sees which host they lead to: no
//! name before `@`, no letters of other scripts in a host's name.

use std::ops::Range;

/// Bytes of an address.
const LONGEST: usize = 2048;

/// Whether all of a text is an address that may be linked.
pub(super) fn is_address(text: &str) -> bool {
    address_at(text) == Some(text.len())
}

/// The host of an address.
pub(super) fn host(address: &str) -> &str {
    let rest = after_scheme(address).map_or("", |at| &address[at..]);
    &rest[..host_end(rest).unwrap_or(0)]
}

/// Whether a text tells its reader to which host this address leads: it is the host, or an address there, and no other.
pub(super) fn names_host(text: &str, address: &str) -> bool {
    let found = find(text);
    let same = |range: &Range<usize>| host(&text[range.clone()]).eq_ignore_ascii_case(host(address));
    if found.is_empty() { text.trim().eq_ignore_ascii_case(host(address)) } else { found.iter().all(same) }
}

/// Addresses in a text.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(at) = memchr::memmem::find(&text.as_bytes()[from..], b"://").map(|at| from + at) {
        from = at + 3;
        let Some(start) = scheme_start(&text[..at]) else { continue };
        if let Some(len) = address_at(&text[start..]) {
            let end = start + sentence_end(&text[start..start + len]);
            if end > from {
                found.push(start..end);
                from = end;
            }
        }
    }
    found
}

/// Where the scheme that ends a text begins, if it is one of the web's and no word goes before it.
fn scheme_start(before: &str) -> Option<usize> {
    let lower = before.len().saturating_sub(5);
    let word = before.get(lower..).or_else(|| before.get(before.len().saturating_sub(4)..))?;
    let len = if word.eq_ignore_ascii_case("https") {
        5
    } else if word.get(word.len().saturating_sub(4)..)?.eq_ignore_ascii_case("http") {
        4
    } else {
        return None;
    };
    let start = before.len() - len;
    let is_word = before[..start].chars().next_back().is_some_and(|c| c.is_alphanumeric());
    (!is_word).then_some(start)
}

/// Bytes of the address that begins a text.
fn address_at(text: &str) -> Option<usize> {
    let start = after_scheme(text)?;
    let host = start + host_end(&text[start..])?;
    let port = host + port_end(&text[host..]);
    let rest = &text[port..];
    let end = if rest.starts_with(['/', '?', '#']) {
        rest.find(|c: char| !may_be_in_path(c)).unwrap_or(rest.len())
    } else if rest.starts_with(['@', '\\', '%']) || rest.starts_with(char::is_alphanumeric) {
        // The host would be another one than it seems.
        return None;
    } else {
        0
    };
    (port + end <= LONGEST).then_some(port + end)
}

fn after_scheme(text: &str) -> Option<usize> {
    let is = |scheme: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    ["https://", "http://"].into_iter().find(|scheme| is(scheme)).map(str::len)
}

/// Where a host's name or number ends.
fn host_end(text: &str) -> Option<usize> {
    if let Some(number) = text.strip_prefix('[') {
        let end = number.find(|c: char| !c.is_ascii_hexdigit() && c != ':' && c != '.')?;
        return (end > 1 && number[end..].starts_with(']')).then_some(end + 2);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_')).unwrap_or(text.len());
    let name = text[..end].trim_end_matches(['.', '-', '_']);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()).then_some(name.len())
}

fn port_end(text: &str) -> usize {
    let Some(digits) = text.strip_prefix(':') else { return 0 };
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    if (1..=5).contains(&count) { count + 1 } else { 0 }
}

fn may_be_in_path(c: char) -> bool {
    c.is_alphanumeric() || "/?#[]@!$&()*+,;=-._~:%".contains(c)
}

/// An address in a sentence ends before the signs that end the sentence, and before a bracket that opened before it.
fn sentence_end(address: &str) -> usize {
    let mut end = address.len();
    while let Some(last) = address[..end].chars().next_back() {
        let within = &address[..end - last.len_utf8()];
        let opens = |open: char, close: char| within.matches(open).count() > within.matches(close).count();
        let stays = match last {
            ')' => opens('(', ')'),
            ']' => opens('[', ']'),
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' => false,
            _ => true,
        };
        if stays {
            break;
        }
        end = within.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        find(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn addresses_are_found_in_sentences() {
        assert_eq!(found("see https://a.example/b?c=d#e."), ["https://a.example/b?c=d#e"]);
        assert_eq!(found("(http://a.example/(b)), http://c"), ["http://a.example/(b)", "http://c"]);
        assert_eq!(found("at http://127.0.0.1:8080: x"), ["http://127.0.0.1:8080"]);
        assert_eq!(found("http://[::1]:80/x 'http://h/'"), ["http://[::1]:80/x", "http://h/"]);
        assert_eq!(found("HTTPS://A.example/ä€x"), ["HTTPS://A.example/ä"]);
        assert_eq!(found("<http://a/b>\"http://a/c\"http://a/d|"), ["http://a/b", "http://a/c", "http://a/d"]);
        assert_eq!(found("see http://a."), ["http://a"]);
        assert_eq!(
            found("https://bank.example:pass@evil.example/"),
            ["https://bank.example"],
            "it leads where it says"
        );
    }

    #[test]
    fn what_deceives_or_is_no_web_address_is_not_linked() {
        for text in [
            "javascript://x/%0aalert(1)",
            "ftp://a/",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "://x",
            "xhttp://a/",
            "https://bank.example@evil.example/",
            "https://bank.example\\@evil.example/",
            "https://b\u{430}nk.example/",
            "http://[x]/",
            "http://%61/",
            "http://-/",
            "ä://x €://x",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
            assert!(!is_address(text));
        }
        assert_eq!(found(&format!("http://a/{}", "x".repeat(LONGEST))), [""; 0]);
    }

    #[test]
    fn the_host_is_told() {
        assert_eq!(host("https://a.example:80/b"), "a.example");
        assert_eq!(host("http://[::1]/"), "[::1]");
        assert!(names_host("a.example", "https://a.example/b"));
        assert!(names_host("at http://A.example/c", "https://a.example/b"));
        for other in ["docs", "https://bank.example/a.example", "a.example.org", "http://a.example http://bank.example"]
        {
            assert!(!names_host(other, "https://a.example/b"), "{other}");
        }
    }
}
