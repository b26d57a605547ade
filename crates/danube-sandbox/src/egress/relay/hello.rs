//! Reads the server name out of a TLS client's first message (RFC 8446 §4.1.2, RFC 6066 §3).
//!
//! Strict: whatever two readers could understand differently (a second server name, bytes after the end, an alert
//! before the hello) is malformed, so that no server sees a name that was not checked here. With encrypted client
//! hello the outer name is what is seen; the name within is not to be had.

/// What the first bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Too few to say; at least this many more are needed.
    More(usize),
    /// Another protocol.
    NotTls,
    /// A whole hello, and the server name in it.
    Hello(Option<String>),
    /// TLS, but not a hello that is understood.
    Malformed,
}

const HANDSHAKE: u8 = 22;
const MAX_RECORD: usize = 16 * 1024;
const MAX_MESSAGE: usize = 16 * 1024;

/// Looks at the bytes that a client sent first.
pub(super) fn see(bytes: &[u8]) -> Seen {
    // Every TLS record begins with its type (20 to 24) and the version 3.0 to 3.4.
    if !bytes.iter().zip([20..=24, 3..=3, 0..=4]).all(|(byte, range)| range.contains(byte)) {
        return Seen::NotTls;
    }
    if bytes.len() < 3 {
        return Seen::More(3 - bytes.len());
    }
    match message(bytes) {
        Ok(message) => server_name(&message).map_or(Seen::Malformed, Seen::Hello),
        Err(Some(more)) => Seen::More(more),
        Err(None) => Seen::Malformed,
    }
}

/// The body of the first handshake message, put together from its records; else how many bytes it lacks, or
/// nothing if it cannot become a hello.
fn message(mut bytes: &[u8]) -> Result<Vec<u8>, Option<usize>> {
    const CLIENT_HELLO: u8 = 1;
    let mut message = Vec::new();
    loop {
        if let Some(&[kind, high, middle, low]) = message.first_chunk::<4>() {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if kind != CLIENT_HELLO || length > MAX_MESSAGE {
                return Err(None);
            }
            if message.len() >= 4 + length {
                return Ok(message[4..4 + length].to_vec());
            }
            if bytes.is_empty() {
                return Err(Some(4 + length - message.len()));
            }
        }
        let Some((&[kind, _, _, high, low], rest)) = bytes.split_first_chunk::<5>() else {
            return Err(if bytes.first().is_none_or(|kind| *kind == HANDSHAKE) { Some(5 - bytes.len()) } else { None });
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || !(1..=MAX_RECORD).contains(&length) {
            return Err(None);
        }
        let (part, rest) = rest.split_at(length.min(rest.len()));
        message.extend_from_slice(part);
        if part.is_empty() {
            return Err(Some(1));
        }
        bytes = rest;
    }
}

/// The server name in a hello's body: none if it is malformed.
fn server_name(body: &[u8]) -> Option<Option<String>> {
    let mut body = Reader(body);
    body.take(2 + 32)?; // version, random
    body.with_short_length()?; // session
    body.with_length()?; // cipher suites
    body.with_short_length()?; // compression methods
    if body.0.is_empty() {
        return Some(None);
    }
    let mut extensions = Reader(body.with_length()?);
    if !body.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let data = extensions.with_length()?;
        if kind == 0 && found.replace(single_name(data)?).is_some() {
            return None;
        }
    }
    Some(found)
}

/// The one host name that a server name extension holds.
fn single_name(data: &[u8]) -> Option<String> {
    let mut data = Reader(data);
    let mut list = Reader(data.with_length()?);
    let is_host_name = list.take(1)? == [0];
    let name = list.with_length()?;
    let alone = data.0.is_empty() && list.0.is_empty();
    if is_host_name && alone { String::from_utf8(name.to_vec()).ok() } else { None }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn with_short_length(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn with_length(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
