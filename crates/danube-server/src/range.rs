//! Parts of files, and files that the caller has already (RFC 9110).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use danube_engine::logs::LogReader;

use crate::answer::{self, BLOCK, Blocks, attachment};
use crate::problem::Problem;

/// Something that is downloaded.
pub(crate) struct Download {
    pub bytes: Source,
    pub len: u64,
    /// Names exactly these bytes; without the quotes.
    pub etag: String,
    /// Under which it is saved.
    pub name: String,
}

/// Where bytes come from.
pub(crate) enum Source {
    /// A step's output.
    Log(LogReader),
    /// A step's output from an offset on.
    LogFrom(LogReader, u64),
    /// A file.
    File(File),
}

/// Which bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    /// From the first up to, not including, the second.
    Part(u64, u64),
    Nothing,
}

impl Download {
    /// Answers with the part that was asked for.
    pub(crate) fn answer(self, headers: &HeaderMap) -> Response {
        let etag = format!("\"{}\"", self.etag);
        if has_it(headers, &etag) {
            return (StatusCode::NOT_MODIFIED, [(header::ETAG, value(&etag))]).into_response();
        }
        match asked(headers, &etag, self.len) {
            Asked::Whole => self.send(StatusCode::OK, 0, None, &etag),
            Asked::Part(from, to) => self.send(StatusCode::PARTIAL_CONTENT, from, Some(to), &etag),
            Asked::Nothing => Problem::bad_request("There are no such bytes.")
                .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
                .with_header(header::CONTENT_RANGE, value(&format!("bytes */{}", self.len)))
                .into_response(),
        }
    }

    fn send(self, status: StatusCode, from: u64, to: Option<u64>, etag: &str) -> Response {
        let end = to.unwrap_or(self.len);
        let mut response = answer::body(Part { source: self.bytes, at: from, end }).into_response();
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if let Some(to) = to {
            let range = format!("bytes {from}-{}/{}", to.saturating_sub(1), self.len);
            headers.insert(header::CONTENT_RANGE, value(&range));
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - from));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_DISPOSITION, attachment(&self.name));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(header::ETAG, value(etag));
        response
    }
}

/// What is put in here has no bytes that a header may not have.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"))
}

/// Whether the caller has the bytes of this tag already.
pub(crate) fn has_it(headers: &HeaderMap, etag: &str) -> bool {
    let texts = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut tags = texts.flat_map(|text| text.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|tag| tag == "*" || tag == etag)
}

/// A header that makes no sense, or asks for several parts, asks for the whole: the protocol allows it.
fn asked(headers: &HeaderMap, etag: &str, len: u64) -> Asked {
    if headers.get(header::IF_RANGE).is_some_and(|given| given.as_bytes() != etag.as_bytes()) {
        return Asked::Whole;
    }
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    range.and_then(|range| parse(range, len)).unwrap_or(Asked::Whole)
}

fn parse(range: &str, len: u64) -> Option<Asked> {
    let (first, last) = range.strip_prefix("bytes=")?.trim().split_once('-')?;
    let (from, to) = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(suffix)) => (len.saturating_sub(suffix), len),
        (Some(from), None) => (from, len),
        (Some(from), Some(last)) if last >= from => (from, last.saturating_add(1).min(len)),
        _ => return None,
    };
    Some(if from < to { Asked::Part(from, to) } else { Asked::Nothing })
}

/// A number, or nothing where nothing is written.
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // More than there can be is as good as the largest.
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    }
}

/// The bytes from `at` up to `end`.
struct Part {
    source: Source,
    at: u64,
    end: u64,
}

impl Blocks for Part {
    fn next_block(&mut self) -> Result<Option<Bytes>, Problem> {
        let wanted = usize::try_from(self.end - self.at).unwrap_or(BLOCK).min(BLOCK);
        if wanted == 0 {
            return Ok(None);
        }
        let mut block = vec![0; wanted];
        let read = self.source.read(self.at, &mut block)?;
        if read == 0 {
            return Err(Problem::internal("a file is shorter than it was when its length was told"));
        }
        block.truncate(read);
        self.at += read as u64;
        Ok(Some(block.into()))
    }
}

impl Source {
    fn read(&self, at: u64, block: &mut [u8]) -> Result<usize, Problem> {
        match self {
            Self::Log(log) => Ok(log.read(at, block)?),
            Self::LogFrom(log, from) => Ok(log.read(from + at, block)?),
            Self::File(file) => file.read_at(block, at).map_err(Problem::internal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_protocol_says() {
        let cases = [
            ("bytes=0-0", Some(Asked::Part(0, 1))),
            ("bytes=2-5", Some(Asked::Part(2, 6))),
            ("bytes=2-", Some(Asked::Part(2, 10))),
            ("bytes=2-99", Some(Asked::Part(2, 10))),
            ("bytes=-3", Some(Asked::Part(7, 10))),
            ("bytes=-99", Some(Asked::Part(0, 10))),
            ("bytes=9-18446744073709551615", Some(Asked::Part(9, 10))),
            ("bytes=0-99999999999999999999999", Some(Asked::Part(0, 10))),
            ("bytes=10-", Some(Asked::Nothing)),
            ("bytes=-0", Some(Asked::Nothing)),
            ("bytes=5-2", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, 10), expected, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Some(Asked::Nothing));
    }
}
