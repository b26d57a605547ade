//! Reading a step's log: bytes, lines by number, the last lines. Never more than a block of it is in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use danube_core::ansi::Tracker;

use super::index::{FIRST_HEADER, HEADER, Record, SIZE, count_lines};
use super::line::Line;
use super::pieces::Pieces;
use super::{LogError, failure};

/// Bytes read at once.
pub(super) const BLOCK: usize = 64 * 1024;
/// A step's log as far as it was written when it was opened.
#[derive(Debug)]
pub struct LogReader {
    raw: File,
    idx: File,
    path: PathBuf,
    raw_len: u64,
    records: u64,
    /// Its records end with the stream.
    is_first_version: bool,
}

/// What is known of a log at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    /// Line ends in the log.
    pub lines: u64,
    /// How text looks.
    pub tracker: Tracker,
    /// The last bytes, in which a sign of failure may begin.
    pub tail: Vec<u8>,
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
        let is_first_version = header == FIRST_HEADER;
        if header != HEADER && !is_first_version {
            let what = "it is no index of a version this Danube knows".to_owned();
            return Err(LogError::Damaged { path: idx, what });
        }
        let records = idx_len / SIZE as u64 - 1;
        Ok(Self { raw: raw_file, idx: idx_file, path: raw, raw_len, records, is_first_version })
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
        let mut lines: Vec<Line> = Vec::new();
        let Some((offset, record)) = self.line_start(from)? else { return Ok(lines) };
        let mut tracker = self.tracker(record, offset)?;
        let mut pieces = Pieces::new(self, offset, record)?;
        while let Some(piece) = pieces.next()? {
            if let Some(Record { at_ms, stream, .. }) = piece.begins {
                if lines.len() == count {
                    break;
                }
                let number = from + lines.len() as u64;
                lines.push(Line { number, at_ms, stream, style: tracker.style(), ..Line::default() });
            }
            if let Some(line) = lines.last_mut() {
                line.add(&piece, &mut tracker);
            }
        }
        lines.iter_mut().for_each(|line| line.failure = line.failure && failure::is_in(&line.text));
        Ok(lines)
    }

    /// Where a line begins, which counts from 0; the log's end if there is no such line.
    pub fn offset_of(&self, line: u64) -> Result<u64, LogError> {
        Ok(self.line_start(line)?.map_or(self.raw_len, |(offset, _)| offset))
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
        let mut lines = record.lines;
        self.blocks(record.offset, self.raw_len, |block| lines += count_lines(block))?;
        Ok(lines)
    }

    /// What is known of the log at its end.
    pub(super) fn end(&self) -> Result<End, LogError> {
        let Some(last) = self.records.checked_sub(1) else { return Ok(End::default()) };
        let record = self.record(last)?;
        let mut end = End { lines: record.lines, tracker: Tracker::new(record.style), tail: Vec::new() };
        let held = record.offset.saturating_sub(record.held.into());
        self.blocks(held, record.offset, |block| end.tracker.feed(block))?;
        let before = held.saturating_sub(failure::OVERLAP as u64);
        self.blocks(before, record.offset, |block| end.tail.extend_from_slice(block))?;
        self.blocks(record.offset, self.raw_len, |block| end.add(block))?;
        Ok(end)
    }

    /// Gives some bytes, a block at a time.
    pub(super) fn blocks(&self, from: u64, to: u64, mut take: impl FnMut(&[u8])) -> Result<(), LogError> {
        let size = usize::try_from(to.saturating_sub(from)).unwrap_or(BLOCK).min(BLOCK);
        let (mut at, mut block) = (from, vec![0; size]);
        while at < to {
            let wanted = block.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
            match self.read(at, &mut block[..wanted])? {
                0 => break,
                read => {
                    take(&block[..read]);
                    at += read as u64;
                }
            }
        }
        Ok(())
    }

    /// How text looks at an offset in the chunk of a record.
    fn tracker(&self, record: u64, offset: u64) -> Result<Tracker, LogError> {
        let Some(record) = self.record_if_any(record)? else { return Ok(Tracker::default()) };
        let mut tracker = Tracker::new(record.style);
        self.blocks(record.offset.saturating_sub(record.held.into()), offset, |block| tracker.feed(block))?;
        Ok(tracker)
    }

    pub(super) fn record(&self, number: u64) -> Result<Record, LogError> {
        let mut bytes = [0; SIZE];
        let read = self.idx.read_exact_at(&mut bytes, (number + 1) * SIZE as u64);
        read.map_err(LogError::io("read", &self.path.with_extension("idx")))?;
        Ok(self.parse(&bytes))
    }

    /// Gives each record with the end of its chunk, until that says that it is enough.
    pub(super) fn each_record(
        &self,
        mut take: impl FnMut(Record, u64) -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        let (mut block, mut number, mut last) = (vec![0; BLOCK], 0, None::<Record>);
        while number < self.records {
            let count = (self.records - number).min((BLOCK / SIZE) as u64);
            let bytes = &mut block[..usize::try_from(count).unwrap_or(0) * SIZE];
            let read = self.idx.read_exact_at(bytes, (number + 1) * SIZE as u64);
            read.map_err(LogError::io("read", &self.path.with_extension("idx")))?;
            for record in bytes.as_chunks::<SIZE>().0.iter().map(|bytes| self.parse(bytes)) {
                if let Some(last) = last.replace(record)
                    && !take(last, record.offset)?
                {
                    return Ok(());
                }
            }
            number += count;
        }
        last.map_or(Ok(()), |last| take(last, self.raw_len).map(|_| ()))
    }

    fn parse(&self, bytes: &[u8; SIZE]) -> Record {
        if self.is_first_version { Record::from_first_bytes(bytes) } else { Record::from_bytes(bytes) }
    }

    pub(super) fn record_if_any(&self, number: u64) -> Result<Option<Record>, LogError> {
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

impl End {
    /// Some more was written.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.lines += count_lines(bytes);
        self.tracker.feed(bytes);
        let last = &bytes[bytes.len().saturating_sub(failure::OVERLAP)..];
        let kept = self.tail.len().min(failure::OVERLAP - last.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(last);
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
