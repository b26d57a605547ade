//! What counts as a host name, for rules and for what a job asks.
//!
//! One reading for both, so that nothing a rule cannot say can be asked for: a text that `getaddrinfo` would take
//! for an address (`127.1`, `0x7f000001`, `2130706433`) is not a name here.

/// The longest host name, without the trailing dot.
pub const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Reads a host name: lower-case, one trailing dot removed.
///
/// # Errors
/// What is wrong and what would be right, in words that complete "`x` is not a host name: …".
pub fn host_name(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err("it is empty; write a host name such as `pip.example`");
    }
    if !name.is_ascii() {
        return Err("names are ASCII; write the punycode form, such as `xn--bcher-kva.example` for `bücher.example`");
    }
    if name.len() > MAX_NAME {
        return Err("it is longer than a host name can be; 253 characters is the most");
    }
    let name = name.to_ascii_lowercase();
    name.split('.').try_for_each(label)?;
    if is_number(name.rsplit('.').next().unwrap_or_default()) {
        return Err("it is an IP address, or read as one; write the host's name, because addresses cannot be allowed");
    }
    Ok(name)
}

/// Whether a name means the asker's own machine (RFC 6761): always the job's own loopback, never the host's.
#[must_use]
pub fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() {
        return Err("a part between two dots is empty; write a host name such as `pip.example`");
    }
    if label.len() > MAX_LABEL {
        return Err("a part between two dots is longer than 63 characters, which no host name has");
    }
    if !label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Err("a host name has only letters, digits, `-`, `_` and dots; write it without a scheme or a path");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a part between two dots starts or ends with `-`, which no host name does");
    }
    Ok(())
}

/// A last label like this makes the whole text an IPv4 address to `inet_aton` and to browsers; no top-level
/// domain looks so.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || label.bytes().all(|b| b.is_ascii_digit())
}
