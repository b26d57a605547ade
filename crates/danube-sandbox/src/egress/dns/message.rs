//! DNS messages, as far as a resolver with one answer needs them (RFC 1035, 6891, 8914).
//!
//! Questions come from hostile programs: one question, no compression in it, everything bounded, and a reply that is
//! always shorter than 512 bytes, so none is ever truncated.

use std::net::Ipv4Addr;

/// The longest message that is read; real questions have some 60 bytes.
pub(super) const MAX_MESSAGE: usize = 4096;
/// Seconds that an address may be remembered. It holds for the whole job; the rest is habit.
const TTL: u32 = 300;
const HEADER: usize = 12;
const MAX_RECORDS: u32 = 16;
const MAX_WIRE_NAME: usize = 255;
const CLASS_IN: u16 = 1;
const CLASS_ANY: u16 = 255;
const TYPE_OPT: u16 = 41;

/// What is asked for, as far as answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address: allowed names have none inside the job.
    Aaaa,
    /// Hints for services, which tools ask for beside the address (SRV, SVCB, HTTPS).
    Service,
    /// Anything else.
    Other,
}

/// A well-formed question.
#[derive(Debug)]
pub(super) struct Query<'a> {
    header: [u8; 4],
    /// The question as it was asked, to be repeated byte by byte (resolvers hide random bits in its letters' case).
    question: &'a [u8],
    edns: bool,
    /// The name as text; bytes that no host name has are written `\123`, so they match no rule.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// Not a question at all: no reply, so that nobody can be made to talk to himself.
    Ignored,
    /// A question that is refused before its name matters; the reply is ready.
    Refused(Vec<u8>),
    /// A question to decide about.
    Query(Query<'a>),
}

/// The answers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The name has this address.
    Address(Ipv4Addr),
    /// The name exists and has nothing of the kind asked for.
    Nothing,
    /// The name does not exist.
    NoName,
    /// The policy refuses it. The same code as for a name that does not exist, because that is what makes every
    /// tool stop at once instead of asking again; who asks with EDNS is told the reason.
    Blocked(&'static str),
    /// It could not be found out, or there is no address left.
    Failed,
}

#[derive(Clone, Copy)]
enum Code {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NoSuchName = 3,
    NotImplemented = 4,
    BadVersion = 16,
}

/// Reads a message.
pub(super) fn read(message: &[u8]) -> Incoming<'_> {
    let (Some(&header), Some(counts)) = (message.first_chunk::<4>(), message.get(4..HEADER)) else {
        return Incoming::Ignored;
    };
    let is_reply = header[2] & 0x80 != 0;
    if is_reply {
        return Incoming::Ignored;
    }
    let refuse = |code| Incoming::Refused(Reply::new(header, &[], code).finish());
    if header[2] & 0x78 != 0 {
        return refuse(Code::NotImplemented);
    }
    if counts[..2] != [0, 1] {
        return refuse(Code::FormatError);
    }
    let records = counts[2..].chunks_exact(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    match question(header, message, records) {
        Some(Ok(query)) => Incoming::Query(query),
        Some(Err(code)) => refuse(code),
        None => refuse(Code::FormatError),
    }
}

fn question(header: [u8; 4], message: &[u8], records: u32) -> Option<Result<Query<'_>, Code>> {
    let mut at = HEADER;
    let name = question_name(message, &mut at)?;
    let kind = u16_at(message, &mut at)?;
    let class = u16_at(message, &mut at)?;
    let question = message.get(HEADER..at)?;
    let edns_version = edns_version(message, at, records)?;
    if edns_version.is_some_and(|version| version != 0) {
        return Some(Err(Code::BadVersion));
    }
    if !matches!(class, CLASS_IN | CLASS_ANY) {
        return Some(Err(Code::NotImplemented));
    }
    Some(Ok(Query { header, question, edns: edns_version.is_some(), name, kind: Kind::from_wire(kind) }))
}

impl Kind {
    fn from_wire(kind: u16) -> Self {
        match kind {
            1 | 255 => Self::A,
            28 => Self::Aaaa,
            33 | 64 | 65 => Self::Service,
            _ => Self::Other,
        }
    }
}

/// The name in a question: labels only, because nothing stands before it that a pointer could lead to.
fn question_name(message: &[u8], at: &mut usize) -> Option<String> {
    let (mut name, start) = (String::new(), *at);
    loop {
        let length = usize::from(*message.get(*at)?);
        if length > 63 || *at + length + 1 - start > MAX_WIRE_NAME {
            return None;
        }
        let label = message.get(*at + 1..*at + 1 + length)?;
        *at += 1 + length;
        if length == 0 {
            return Some(name);
        }
        if !name.is_empty() {
            name.push('.');
        }
        label.iter().for_each(|byte| push_text(&mut name, *byte));
    }
}

fn push_text(name: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
        name.push(char::from(byte.to_ascii_lowercase()));
    } else {
        name.push_str(&format!("\\{byte:03}"));
    }
}

/// Walks the records after the question. The inner option is the version of EDNS, where it is spoken.
fn edns_version(message: &[u8], mut at: usize, records: u32) -> Option<Option<u8>> {
    let mut version = None;
    if records > MAX_RECORDS {
        return None;
    }
    for _ in 0..records {
        skip_name(message, &mut at)?;
        let kind = u16_at(message, &mut at)?;
        let fixed = message.get(at..at + 6)?; // class, then time to live, whose second byte is the version
        at += 6;
        let length = usize::from(u16_at(message, &mut at)?);
        message.get(at..at + length)?;
        at += length;
        if kind == TYPE_OPT && version.replace(fixed[3]).is_some() {
            return None;
        }
    }
    Some(version)
}

/// Steps over a name. A pointer ends it and is not followed, so there is no loop to fall into.
fn skip_name(message: &[u8], at: &mut usize) -> Option<()> {
    loop {
        let length = usize::from(*message.get(*at)?);
        match length {
            0 => *at += 1,
            1..=63 => *at += 1 + length,
            0xc0..=0xff => *at += 2,
            _ => return None,
        }
        if !(1..=63).contains(&length) {
            return Some(());
        }
    }
}

fn u16_at(message: &[u8], at: &mut usize) -> Option<u16> {
    let bytes = message.get(*at..)?.first_chunk::<2>()?;
    *at += 2;
    Some(u16::from_be_bytes(*bytes))
}

impl Query<'_> {
    /// The reply that carries this answer.
    pub(super) fn reply(&self, answer: Answer) -> Vec<u8> {
        let code = match answer {
            Answer::Address(_) | Answer::Nothing => Code::NoError,
            Answer::NoName | Answer::Blocked(_) => Code::NoSuchName,
            Answer::Failed => Code::ServerFailure,
        };
        let mut reply = Reply::new(self.header, self.question, code);
        if let Answer::Address(address) = answer {
            reply.address(address);
        }
        if self.edns {
            reply.edns(match answer {
                Answer::Blocked(why) => Some(why),
                _ => None,
            });
        }
        reply.finish()
    }
}

struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    /// The header (response, recursion available, what was asked for kept) and the question.
    fn new([id_high, id_low, flags, _]: [u8; 4], question: &[u8], code: Code) -> Self {
        let code = code as u8;
        let questions = u8::from(!question.is_empty());
        let mut bytes = vec![id_high, id_low, flags & 0x79 | 0x80, 0x80 | code & 0xf, 0, questions, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(question);
        let mut reply = Self { bytes };
        if code > 0xf {
            reply.option_record(code >> 4, &[]);
        }
        reply
    }

    fn address(&mut self, address: Ipv4Addr) {
        self.bytes[7] += 1;
        self.bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]); // the question's name, A, IN
        self.bytes.extend_from_slice(&TTL.to_be_bytes());
        self.bytes.extend_from_slice(&[0, 4]);
        self.bytes.extend_from_slice(&address.octets());
    }

    /// The EDNS record, with the extended error "blocked" where there is a reason to tell.
    fn edns(&mut self, blocked: Option<&'static str>) {
        const EXTENDED_ERROR: u8 = 15;
        const BLOCKED: u8 = 15;
        let mut options = Vec::new();
        if let Some(why) = blocked {
            let length = u8::try_from(why.len() + 2).unwrap_or(2);
            options.extend_from_slice(&[0, EXTENDED_ERROR, 0, length, 0, BLOCKED]);
            options.extend_from_slice(&why.as_bytes()[..usize::from(length) - 2]);
        }
        self.option_record(0, &options);
    }

    fn option_record(&mut self, code_high: u8, options: &[u8]) {
        self.bytes[11] += 1;
        self.bytes.extend_from_slice(&[0, 0, TYPE_OPT as u8, 4, 208, code_high, 0, 0, 0]); // root, 1232 bytes, version 0
        self.bytes.extend_from_slice(&u16::try_from(options.len()).unwrap_or(0).to_be_bytes());
        self.bytes.extend_from_slice(options);
    }

    fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
