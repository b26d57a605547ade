//! The forms in which a secret may show up in output: as it is, line by line, and as common tools encode it.

use super::SHORTEST;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Columns after which `base64` and `openssl base64` break a line.
const WRAPS: [usize; 2] = [76, 64];

/// Every form of one secret that is long enough to be searched for. May hold the same form twice.
pub(super) fn of(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = lines(secret);
    let values = [secret, trimmed(secret)];
    for value in &values[..if values[0] == values[1] { 1 } else { 2 }] {
        forms.push(value.to_vec());
        forms.push(replace(value, b'\n', b"\r\n"));
        forms.extend(base64_forms(value));
        forms.extend(percent_forms(value));
        forms.extend(json_forms(value));
        forms.extend(shell_forms(value));
        forms.extend([hex(value, b"0123456789abcdef"), hex(value, b"0123456789ABCDEF")]);
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// The secret without the line end that an editor or `echo` left on it.
pub(super) fn trimmed(secret: &[u8]) -> &[u8] {
    let end = secret.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &secret[..end]
}

/// Each line without the white space around it, as programs print a key or a JSON document in pieces.
fn lines(secret: &[u8]) -> Vec<Vec<u8>> {
    secret.split(|&byte| byte == b'\n').map(|line| line.trim_ascii().to_vec()).collect()
}

fn replace(value: &[u8], what: u8, with: &[u8]) -> Vec<u8> {
    encode(value, |byte, out| if byte == what { out.extend_from_slice(with) } else { out.push(byte) })
}

fn encode(value: &[u8], mut each: impl FnMut(u8, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    value.iter().for_each(|&byte| each(byte, &mut out));
    out
}

fn hex(value: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    encode(value, |byte, out| out.extend([digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]))
}

/// Alone (padded or not, broken into lines or not), and inside a longer text that was encoded as a whole.
fn base64_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for alphabet in [STANDARD, URL_SAFE] {
        forms.extend((0..3).map(|shift| base64_inside(value, shift, alphabet)));
        let alone = base64(value, alphabet);
        let mut padded = alone.clone();
        padded.resize(alone.len().next_multiple_of(4), b'=');
        for columns in WRAPS {
            forms.push(padded.chunks(columns).collect::<Vec<_>>().join(&b'\n'));
            forms.extend(padded.chunks(columns).filter(|piece| piece.len() < padded.len()).map(<[u8]>::to_vec));
        }
        forms.extend([alone, padded]);
    }
    forms
}

fn base64(value: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len().div_ceil(3) * 4);
    for three in value.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        out.extend((0..=three.len()).map(|at| alphabet[bits >> (18 - 6 * at) & 63]));
    }
    out
}

/// The characters that `value` alone decides when `shift` bytes (modulo 3) stand before it.
fn base64_inside(value: &[u8], shift: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let text = base64(&[&[0; 2][..shift], value].concat(), alphabet);
    let (first, end) = ((shift * 8).div_ceil(6), (shift + value.len()) * 8 / 6);
    text[first..end].to_vec()
}

/// As URL libraries differ: what they leave alone, the case of the digits, and the plus for a space.
fn percent_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
        for kept in [&b""[..], b"/", b"!'()*", b"!$&'()*+,;=:@/?"] {
            forms.push(percent(value, kept, digits));
        }
        forms.push(replace(&percent(value, b" ", digits), b' ', b"+"));
    }
    forms
}

fn percent(value: &[u8], kept: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    encode(value, |byte, out| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || kept.contains(&byte) {
            out.push(byte);
        } else {
            out.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    })
}

/// Inside a JSON string: the least that is needed; also `/` (PHP); also `<>&` (Go); also all but ASCII (Python).
fn json_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(value) else { return Vec::new() };
    let escapes: [fn(char) -> bool; 3] = [|_| false, |c| matches!(c, '<' | '>' | '&'), |c| !c.is_ascii()];
    let mut forms: Vec<_> = escapes.iter().map(|numeric| json(text, *numeric)).collect();
    forms.push(replace(&forms[0], b'/', b"\\/"));
    forms.push(replace(&forms[2], b'/', b"\\/"));
    forms
}

fn json(text: &str, numeric: fn(char) -> bool) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || numeric(c) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
            c => out.push(c),
        }
    }
    out.into_bytes()
}

/// Between the quotes that a shell prints (`set -x`, `printf %q`, `declare -p`), or that a program puts for one.
fn shell_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let backslash = |special: fn(u8) -> bool| {
        encode(value, |byte, out| {
            if special(byte) {
                out.push(b'\\');
            }
            out.push(byte);
        })
    };
    vec![
        replace(value, b'\'', b"'\\''"),
        replace(value, b'\'', b"'\"'\"'"),
        backslash(|byte| b"\"\\$`".contains(&byte)),
        backslash(|byte| b"\"\\$`!".contains(&byte)),
        backslash(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"%+-./:=@_".contains(&byte)),
        ansi_c(value),
    ]
}

/// Inside `$'…'`, in which shells print a value with control characters.
fn ansi_c(value: &[u8]) -> Vec<u8> {
    encode(value, |byte, out| match byte {
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        b'\'' | b'\\' => out.extend([b'\\', byte]),
        _ => out.push(byte),
    })
}
