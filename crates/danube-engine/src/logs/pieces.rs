//! Walks over a log line by line, with what the index says of each.

use memchr::memchr;

use super::LogError;
use super::index::Record;
use super::reader::{BLOCK, LogReader};

/// Part of a line: the whole of it unless it is longer than a block.
pub(super) struct Piece<'a> {
    /// The record of the line's first byte, if this is the line's first piece.
    pub begins: Option<Record>,
    /// Without the line end.
    pub text: &'a [u8],
    /// The line ends here.
    pub ends: bool,
    /// The records of the piece, taken together.
    pub masked: bool,
    pub failure: bool,
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

impl Pieces {
    pub(super) fn new(reader: LogReader, offset: u64, number: u64) -> Result<Self, LogError> {
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
        let (start, found) = (self.at, memchr(b'\n', &self.block[self.at..]));
        let end = found.map_or(self.block.len(), |found| start + found);
        self.at = end + usize::from(found.is_some());
        self.within_line = found.is_none();
        let (masked, failure) = self.pass_records()?;
        Ok(Some(Piece { begins, text: &self.block[start..end], ends: found.is_some(), masked, failure }))
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

    /// The offset at which the next piece begins.
    fn offset(&self) -> u64 {
        self.read_to - (self.block.len() - self.at) as u64
    }

    /// What the records noted of the last piece: those from the one before it to the one that holds its last byte.
    fn pass_records(&mut self) -> Result<(bool, bool), LogError> {
        let (end, mut masked, mut failure) = (self.offset(), self.record.masked, self.record.failure);
        while let Some((number, record)) = self.following.filter(|(_, record)| record.offset < end) {
            masked |= record.masked;
            failure |= record.failure;
            self.record = record;
            self.following = self.reader.record_if_any(number + 1)?.map(|record| (number + 1, record));
        }
        Ok((masked, failure))
    }

    /// The record that holds the byte at which the next piece begins.
    fn record_here(&mut self) -> Result<Record, LogError> {
        let offset = self.offset();
        while let Some((number, record)) = self.following.filter(|(_, record)| record.offset <= offset) {
            self.record = record;
            self.following = self.reader.record_if_any(number + 1)?.map(|record| (number + 1, record));
        }
        Ok(self.record)
    }
}
