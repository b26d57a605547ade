//! As much of XML as reports of tests need, read as a stream from somebody who may be hostile. There are no DTDs, so
//! nothing can grow and nothing is fetched; nesting, names and attributes are bounded; a text comes in pieces, so that no
//! part of a file is ever held whole. Characters that XML forbids are replaced, as many writers do not know of them.

use std::io::{self, BufRead};

/// Elements within each other.
const DEEPEST: usize = 100;
/// Bytes of the name of an element or attribute.
const LONGEST_NAME: usize = 256;
/// Attributes of one element.
const MOST_ATTRIBUTES: usize = 100;
/// Bytes of an attribute's value that are kept.
const LONGEST_VALUE: usize = 64 * 1024;
/// Bytes of a text that are given at once.
const PIECE: usize = 8 * 1024;
/// Bytes between `&` and `;`.
const LONGEST_REFERENCE: usize = 12;
/// Stands for what is no character.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Why a file is no XML that is read here.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// It is written wrongly, or asks for what is not read.
    #[error("line {line}: {what}")]
    Wrong {
        /// Counted from 1.
        line: u64,
        /// What is wrong there, and what would be right.
        what: String,
    },
    /// This machine cannot read it.
    #[error("the received file cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// An element's name and its attributes, without their prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Without its prefix.
    pub name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// An element begins.
    Begin(Element),
    /// Text within it, maybe not all of it.
    Text(String),
    /// The innermost element ends.
    End,
    /// The document ends.
    Eof,
}

/// A document that is read.
pub struct Xml<R> {
    input: R,
    line: u64,
    /// Names of the elements that are open, with their prefixes.
    open: Vec<Vec<u8>>,
    /// `<a/>` is a begin and an end.
    ends_too: bool,
    begun: bool,
    /// Within `<![CDATA[`.
    in_cdata: bool,
    /// So many `]` in there may begin its end.
    brackets: usize,
}

impl<R: BufRead> Xml<R> {
    /// Looks at the first bytes: only UTF-8 is read.
    pub fn new(input: R) -> Result<Self, XmlError> {
        let (open, ends_too, begun) = (Vec::new(), false, false);
        let mut xml = Self { input, line: 1, open, ends_too, begun, in_cdata: false, brackets: 0 };
        let start = xml.input.fill_buf()?;
        if start.is_empty() {
            return Err(xml.wrong("the file is empty"));
        }
        if matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..]) {
            return Err(xml.wrong("it is in UTF-16 or UTF-32: have it written in UTF-8"));
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            xml.input.consume(3);
        }
        Ok(xml)
    }

    /// Names the line that is read.
    pub fn wrong(&self, what: impl Into<String>) -> XmlError {
        XmlError::Wrong { line: self.line, what: what.into() }
    }

    /// What comes next.
    pub fn next(&mut self) -> Result<Token, XmlError> {
        if std::mem::take(&mut self.ends_too) {
            self.open.pop();
            return Ok(Token::End);
        }
        loop {
            let token = match self.peek()? {
                _ if self.in_cdata => self.cdata()?,
                None => return self.eof(),
                Some(b'<') => self.markup()?,
                Some(_) => self.text()?,
            };
            if let Some(token) = token {
                return Ok(token);
            }
        }
    }

    fn eof(&self) -> Result<Token, XmlError> {
        match self.open.last() {
            Some(name) => Err(self.wrong(format!("the file ends within <{}>: was it cut off?", shown(name)))),
            None if !self.begun => Err(self.wrong("there is no XML element in it")),
            None => Ok(Token::Eof),
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, XmlError> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn byte(&mut self) -> Result<Option<u8>, XmlError> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.input.consume(1);
        }
        self.line += u64::from(byte == Some(b'\n'));
        Ok(byte)
    }

    /// A byte that must be there.
    fn some(&mut self) -> Result<u8, XmlError> {
        self.byte()?.ok_or_else(|| self.wrong("the file ends in the middle of a tag: was it cut off?"))
    }

    /// What begins with `<`; none if it is nothing to tell of.
    fn markup(&mut self) -> Result<Option<Token>, XmlError> {
        self.some()?;
        match self.peek()? {
            Some(b'?') => self.instruction(),
            Some(b'!') => self.declaration(),
            Some(b'/') => self.end_tag().map(Some),
            _ => self.begin_tag().map(Some),
        }
    }

    /// `<?xml … encoding="…"?>`, or one of those that nobody needs.
    fn instruction(&mut self) -> Result<Option<Token>, XmlError> {
        let mut kept = Vec::new();
        self.past(b"?>", &mut kept)?;
        let text = String::from_utf8_lossy(&kept).to_lowercase();
        let encoding = text.strip_prefix("?xml ").and_then(|rest| rest.split_once("encoding"));
        if let Some((_, rest)) = encoding {
            let value = rest.trim_start_matches([' ', '\t', '\r', '\n', '=']);
            let value = value.get(1..).and_then(|rest| rest.split(['"', '\'']).next()).unwrap_or_default();
            if !matches!(value, "utf-8" | "utf8" | "us-ascii" | "ascii") {
                return Err(self.wrong(format!("it is in {value:?}: have it written in UTF-8")));
            }
        }
        Ok(None)
    }

    /// `<!--`, `<![CDATA[`; all else is part of a DTD.
    fn declaration(&mut self) -> Result<Option<Token>, XmlError> {
        let mut mark = Vec::new();
        loop {
            mark.push(self.some()?);
            match &mark[..] {
                b"!--" => return self.past(b"-->", &mut Vec::new()).map(|()| None),
                b"![CDATA[" if !self.open.is_empty() => {
                    self.in_cdata = true;
                    return Ok(None);
                }
                mark if b"!--".starts_with(mark) || b"![CDATA[".starts_with(mark) && mark.len() < 8 => {}
                _ => return Err(self.wrong("it has a DTD (<!DOCTYPE or <!ENTITY), which is not read: leave it out")),
            }
        }
    }

    /// Reads up to and with `end`, and keeps its beginning.
    fn past(&mut self, end: &[u8], kept: &mut Vec<u8>) -> Result<(), XmlError> {
        let mut last = Vec::with_capacity(end.len());
        while last != end {
            if last.len() == end.len() {
                last.remove(0);
            }
            let byte = self.some()?;
            last.push(byte);
            if kept.len() < LONGEST_NAME {
                kept.push(byte);
            }
        }
        Ok(())
    }

    fn end_tag(&mut self) -> Result<Token, XmlError> {
        self.some()?;
        let name = self.name()?;
        self.space()?;
        if self.some()? != b'>' {
            return Err(self.wrong(format!("</{} is no end of an element", shown(&name))));
        }
        match self.open.pop() {
            Some(open) if open == name => Ok(Token::End),
            Some(open) => Err(self.wrong(format!("</{}> where </{}> should be", shown(&name), shown(&open)))),
            None => Err(self.wrong(format!("</{}> ends what never began", shown(&name)))),
        }
    }

    fn begin_tag(&mut self) -> Result<Token, XmlError> {
        if self.begun && self.open.is_empty() {
            return Err(self.wrong("there is more after the end of the first element"));
        }
        self.begun = true;
        let name = self.name()?;
        let mut element = Element { name: local(&name), attributes: Vec::new() };
        loop {
            self.space()?;
            match self.some()? {
                b'>' => break,
                b'/' => {
                    if self.some()? != b'>' {
                        return Err(self.wrong(format!("a / within <{}", element.name)));
                    }
                    self.ends_too = true;
                    break;
                }
                first => self.attribute(first, &mut element)?,
            }
        }
        if self.open.len() == DEEPEST {
            return Err(self.wrong(format!("more than {DEEPEST} elements within each other")));
        }
        self.open.push(name);
        Ok(Token::Begin(element))
    }

    fn attribute(&mut self, first: u8, element: &mut Element) -> Result<(), XmlError> {
        if element.attributes.len() == MOST_ATTRIBUTES {
            return Err(self.wrong(format!("more than {MOST_ATTRIBUTES} attributes in <{}>", element.name)));
        }
        let name = self.name_from(Some(first))?;
        self.space()?;
        let equals = self.some()?;
        self.space()?;
        let quote = self.some()?;
        if equals != b'=' || !matches!(quote, b'"' | b'\'') {
            let (tag, name) = (&element.name, shown(&name));
            return Err(self.wrong(format!("the attribute {name} of <{tag}> has no value in quotes")));
        }
        let mut value = Vec::new();
        loop {
            match self.some()? {
                byte if byte == quote => break,
                b'&' => self.reference(&mut value)?,
                byte if value.len() < LONGEST_VALUE => value.push(byte),
                _ => {}
            }
        }
        element.attributes.push((local(&name), clean(&value)));
        Ok(())
    }

    fn space(&mut self) -> Result<(), XmlError> {
        while self.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.byte()?;
        }
        Ok(())
    }

    fn name(&mut self) -> Result<Vec<u8>, XmlError> {
        self.name_from(None)
    }

    /// A name whose first byte may be read already.
    fn name_from(&mut self, first: Option<u8>) -> Result<Vec<u8>, XmlError> {
        let mut name = Vec::from_iter(first);
        while let Some(byte) = self.peek()?.filter(|byte| is_of_name(*byte)) {
            if name.len() == LONGEST_NAME {
                return Err(self.wrong(format!("a name of more than {LONGEST_NAME} bytes")));
            }
            name.push(byte);
            self.byte()?;
        }
        if name.first().is_none_or(|first| !is_of_name(*first) || matches!(first, b'0'..=b'9' | b'-' | b'.')) {
            return Err(self.wrong("a < that begins no element: in a text it is written &lt;"));
        }
        Ok(name)
    }

    fn text(&mut self) -> Result<Option<Token>, XmlError> {
        let mut text = Vec::new();
        while let Some(byte) = self.peek()?.filter(|byte| *byte != b'<' && !is_full(&text, *byte)) {
            self.byte()?;
            if byte == b'&' {
                self.reference(&mut text)?;
            } else {
                text.push(byte);
            }
        }
        if !self.open.is_empty() {
            return Ok(Some(Token::Text(clean(&text))));
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        Err(self.wrong("there is text outside of every element: this is no XML"))
    }

    /// A piece of what stands between `<![CDATA[` and `]]>`.
    fn cdata(&mut self) -> Result<Option<Token>, XmlError> {
        let mut text = Vec::new();
        while let Some(byte) = self.peek()?.filter(|byte| !is_full(&text, *byte)) {
            self.byte()?;
            match (byte, self.brackets) {
                (b'>', 2) => {
                    (self.in_cdata, self.brackets) = (false, 0);
                    return Ok(Some(Token::Text(clean(&text))));
                }
                (b']', 2) => text.push(b']'),
                (b']', _) => self.brackets += 1,
                _ => {
                    text.resize(text.len() + std::mem::take(&mut self.brackets), b']');
                    text.push(byte);
                }
            }
        }
        if self.peek()?.is_none() {
            return Err(self.wrong("the file ends within <![CDATA[: was it cut off?"));
        }
        Ok(Some(Token::Text(clean(&text))))
    }

    /// What `&` stands for: one of five names, or a character's number.
    fn reference(&mut self, out: &mut Vec<u8>) -> Result<(), XmlError> {
        let mut name = Vec::new();
        while let Some(byte) = self.peek()?.filter(|byte| is_of_name(*byte) || *byte == b'#') {
            if name.len() == LONGEST_REFERENCE {
                break;
            }
            name.push(byte);
            self.byte()?;
        }
        let character = character(&name).filter(|_| matches!(self.peek(), Ok(Some(b';'))));
        let Some(character) = character else {
            let name = shown(&name);
            return Err(self.wrong(format!("&{name} stands for nothing that is known: a plain & is written &amp;")));
        };
        self.byte()?;
        if out.len() < LONGEST_VALUE {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }
}

/// Whether a piece ends before this byte: never within a character.
fn is_full(text: &[u8], next: u8) -> bool {
    text.len() >= PIECE && (next & 0xc0 != 0x80 || text.len() >= PIECE + 4)
}

fn character(name: &[u8]) -> Option<char> {
    let name = std::str::from_utf8(name).ok()?;
    let number = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "apos" => return Some('\''),
        "quot" => return Some('"'),
        _ => name.strip_prefix('#')?,
    };
    let number = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    number.ok().map(|number| char::from_u32(number).unwrap_or(REPLACEMENT))
}

/// Text as it may be kept: UTF-8 without control characters but tabs and line ends.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let harmless = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    if text.chars().all(harmless) {
        return text.into_owned();
    }
    text.chars().map(|c| if harmless(c) { c } else { REPLACEMENT }).collect()
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':') || byte >= 0x80
}

/// A name without its prefix.
fn local(name: &[u8]) -> String {
    let from = name.iter().rposition(|byte| *byte == b':').map_or(0, |at| at + 1);
    clean(&name[from..])
}

/// A name as an error has it.
fn shown(name: &[u8]) -> String {
    clean(&name[..name.len().min(60)])
}
