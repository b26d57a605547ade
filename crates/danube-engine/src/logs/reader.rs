//! Reading a step's log: bytes, lines by number, the last lines. Never more than a block of it is in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::LogError;
use super::index::{HEADER, Record, SIZE, count_lines};

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;
/// Bytes of one line in a [`Line`] at most; the rest of a longer one is left out, and said to be.
pub const LINE_BYTES: usize = 16 * 1024;

/// A step's log as far as it was written when it was opened.
#[derive(Debug)]
pub struct LogReader {
    raw: File,
    idx: File,
    path: PathBuf,
    raw_len: u64,
    records: u64,
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counts from 0.
    pub number: u64,
    /// When its first byte was read, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The stream of its first byte: 1 stdout (or both, merged), 2 stderr, 0 words of Danube's own.
    pub stream: u8,
    /// Its bytes without the line end: any bytes at all.
    pub text: Vec<u8>,
    /// It was longer than [`LINE_BYTES`].
    pub cut: bool,
}

/// Part of a line: the whole of it unless it is longer than a block.
pub(super) struct Piece<'a> {
    /// The record of the line's first byte, if this is the line's first piece.
    pub begins: Option<Record>,
    /// Without the line end.
    pub text: &'a [u8],
    /// The line ends here.
    pub ends: bool,
}

/// Walks over the pieces of a log.
pub(super) struct Pieces {
    reader: LogReader,
    block: Vec<u8>,
    /// Where in the block the next piece begins.
    at: usize,
    /// The offset of the block's end.
    read_to: u64,
    /// The record that holds the next line, or one before it.
    record: Record,
    /// The number and the record after it.
    following: Option<(u64, Record)>,
    within_line: bool,
}

impl LogReader {
    pub(super) fn open(raw: PathBuf, idx: PathBuf) -> Result<Self, LogError> {
        let idx_file = File::open(&idx).map_err(LogError::io("open", &idx))?;
        // The index first: what it tells of is in the other file already.
        let idx_len = idx_file.metadata().map_err(LogError::io("read", &idx))?.len();
        let raw_file = File::open(&raw).map_err(LogError::io("open", &raw))?;
        let raw_len = raw_file.metadata().map_err(LogError::io("read", &raw))?.len();
        let mut header = [0; SIZE];
        idx_file.read_exact_at(&mut header, 0).map_err(LogError::io("read", &idx))?;
        if header != HEADER {
            let what = "it is no index of a version this Danube knows".to_owned();
            return Err(LogError::Damaged { path: idx, what });
        }
        Ok(Self { raw: raw_file, idx: idx_file, path: raw, raw_len, records: idx_len / SIZE as u64 - 1 })
    }

    /// Bytes of the log.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.raw_len
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw_len == 0
    }

    /// Reads the exact masked bytes from `offset` on, and says how many there were; 0 at the end.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, LogError> {
        let left = usize::try_from(self.raw_len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        self.raw.read_at(&mut buffer[..wanted], offset).map_err(LogError::io("read", &self.path))
    }

    /// How many lines there are, an unfinished last one included.
    pub fn line_count(&self) -> Result<u64, LogError> {
        let mut last = [b'\n'];
        if self.raw_len > 0 {
            self.read(self.raw_len - 1, &mut last)?;
        }
        Ok(self.line_ends()? + u64::from(last != *b"\n"))
    }

    /// Up to `count` lines from the line `from` on, which counts from 0.
    pub fn lines(self, from: u64, count: usize) -> Result<Vec<Line>, LogError> {
        let mut lines = Vec::new();
        let mut pieces = match self.line_start(from)? {
            Some((offset, record)) => Pieces::new(self, offset, record)?,
            None => return Ok(lines),
        };
        while let Some(piece) = pieces.next()? {
            if let Some(record) = piece.begins {
                if lines.len() == count {
                    break;
                }
                let number = from + lines.len() as u64;
                let Record { at_ms, stream, .. } = record;
                lines.push(Line { number, at_ms, stream, text: Vec::new(), cut: false });
            }
            if let Some(line) = lines.last_mut() {
                line.add(piece.text);
            }
        }
        Ok(lines)
    }

    /// The last `count` lines.
    pub fn last_lines(self, count: usize) -> Result<Vec<Line>, LogError> {
        let from = self.line_count()?.saturating_sub(count as u64);
        self.lines(from, count)
    }

    /// The whole log in pieces.
    pub(super) fn pieces(self) -> Result<Pieces, LogError> {
        Pieces::new(self, 0, 0)
    }

    /// Line ends in the whole log.
    pub fn line_ends(&self) -> Result<u64, LogError> {
        let Some(last) = self.records.checked_sub(1) else { return Ok(0) };
        let record = self.record(last)?;
        let (mut offset, mut lines, mut block) = (record.offset, record.lines, vec![0; BLOCK]);
        loop {
            match self.read(offset, &mut block)? {
                0 => return Ok(lines),
                read => {
                    lines += count_lines(&block[..read]);
                    offset += read as u64;
                }
            }
        }
    }

    fn record(&self, number: u64) -> Result<Record, LogError> {
        let mut bytes = [0; SIZE];
        let read = self.idx.read_exact_at(&mut bytes, (number + 1) * SIZE as u64);
        read.map_err(LogError::io("read", &self.path.with_extension("idx")))?;
        Ok(Record::from_bytes(&bytes))
    }

    fn record_if_any(&self, number: u64) -> Result<Option<Record>, LogError> {
        if number < self.records { self.record(number).map(Some) } else { Ok(None) }
    }

    /// Where a line begins, and the number of the record that holds the line end before it.
    fn line_start(&self, line: u64) -> Result<Option<(u64, u64)>, LogError> {
        if line == 0 {
            return Ok((self.raw_len > 0).then_some((0, 0)));
        }
        let Some(number) = self.last_record(|record| record.lines < line)? else { return Ok(None) };
        let record = self.record(number)?;
        let (mut offset, mut missing, mut block) = (record.offset, line - record.lines, vec![0; BLOCK]);
        loop {
            let read = self.read(offset, &mut block)?;
            if read == 0 {
                return Ok(None);
            }
            for (at, _) in block[..read].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                missing -= 1;
                if missing == 0 {
                    let start = offset + at as u64 + 1;
                    return Ok((start < self.raw_len).then_some((start, number)));
                }
            }
            offset += read as u64;
        }
    }

    /// The number of the last record for which `holds`, which holds for a beginning of the index only.
    fn last_record(&self, holds: impl Fn(&Record) -> bool) -> Result<Option<u64>, LogError> {
        let (mut low, mut high) = (0, self.records);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(&self.record(middle)?) { low = middle + 1 } else { high = middle }
        }
        Ok(low.checked_sub(1))
    }
}

impl Line {
    fn add(&mut self, text: &[u8]) {
        let room = LINE_BYTES - self.text.len();
        self.text.extend_from_slice(&text[..text.len().min(room)]);
        self.cut |= text.len() > room;
    }
}

impl Pieces {
    fn new(reader: LogReader, offset: u64, number: u64) -> Result<Self, LogError> {
        let record = reader.record_if_any(number)?.unwrap_or_default();
        let following = reader.record_if_any(number + 1)?.map(|record| (number + 1, record));
        Ok(Self { reader, block: Vec::new(), at: 0, read_to: offset, record, following, within_line: false })
    }

    /// The next piece; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'_>>, LogError> {
        if self.at == self.block.len() && !self.refill()? {
            return Ok(None);
        }
        let begins = if self.within_line { None } else { Some(self.record_here()?) };
        let rest = &self.block[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let text = &rest[..end.unwrap_or(rest.len())];
        self.at += text.len() + usize::from(end.is_some());
        self.within_line = end.is_none();
        Ok(Some(Piece { begins, text, ends: end.is_some() }))
    }

    /// Whether the last piece left its line unfinished.
    pub(super) fn is_within_line(&self) -> bool {
        self.within_line
    }

    fn refill(&mut self) -> Result<bool, LogError> {
        self.block.resize(BLOCK, 0);
        let read = self.reader.read(self.read_to, &mut self.block)?;
        self.block.truncate(read);
        self.read_to += read as u64;
        self.at = 0;
        Ok(read > 0)
    }

    /// The record that holds the byte at which the next piece begins.
    fn record_here(&mut self) -> Result<Record, LogError> {
        let offset = self.read_to - (self.block.len() - self.at) as u64;
        while let Some((number, record)) = self.following.filter(|(_, record)| record.offset <= offset) {
            self.record = record;
            self.following = self.reader.record_if_any(number + 1)?.map(|record| (number + 1, record));
        }
        Ok(self.record)
    }
}

impl io::Read for LogReaderBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(self.offset, buffer).map_err(io::Error::other)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// A log's exact bytes from its beginning, for a download.
#[derive(Debug)]
pub struct LogReaderBytes {
    reader: LogReader,
    offset: u64,
}

impl From<LogReader> for LogReaderBytes {
    fn from(reader: LogReader) -> Self {
        Self { reader, offset: 0 }
    }
}
