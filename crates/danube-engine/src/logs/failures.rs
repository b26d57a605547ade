//! Finds the lines that tell of a failure: only in chunks that the index says have one.

use super::index::Record;
use super::line::LINE_BYTES;
use super::{LogError, LogReader, failure};

impl LogReader {
    /// Up to `most` lines that tell of a failure, by number.
    pub fn failures(&self, most: usize) -> Result<Vec<u64>, LogError> {
        let mut found = Vec::new();
        self.each_record(|record, end| {
            if record.failure {
                self.failures_in(&record, end, &mut found)?;
            }
            Ok(found.len() < most)
        })?;
        found.truncate(most);
        Ok(found)
    }

    /// Adds the failures of a chunk, which ends at `end`, to those that were found before it.
    fn failures_in(&self, record: &Record, end: u64, found: &mut Vec<u64>) -> Result<(), LogError> {
        // A sign may reach into the chunk from both sides, and what stands beside it counts too.
        let around = 2 * failure::OVERLAP as u64;
        let (from, to) = (record.offset.saturating_sub(around), end.saturating_add(around));
        let (mut line, mut at, mut text) = (record.lines, from, Vec::new());
        let mut take = |text: &[u8], line: u64, start: u64| {
            let within = |offset: u64| usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
            let part = within(record.offset)..within(end);
            if found.last() != Some(&line) && !part.is_empty() && failure::reaches_into(text, part) {
                found.push(line);
            }
        };
        let mut start = from;
        self.blocks(from, to, |block| {
            for part in block.split_inclusive(|byte| *byte == b'\n') {
                text.extend_from_slice(&part[..part.len().min(LINE_BYTES - text.len())]);
                at += part.len() as u64;
                if part.ends_with(b"\n") {
                    take(&text, line, start);
                    // Those that end before the chunk were counted when it began.
                    line += u64::from(at > record.offset);
                    (start, text) = (at, Vec::new());
                }
            }
        })?;
        take(&text, line, start);
        Ok(())
    }
}
