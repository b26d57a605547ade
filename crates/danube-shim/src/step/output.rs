//! A step's output: chunks in order, their bytes in the spool until acknowledged, a running hash over all of it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use danube_proto::limits::{CHUNK_MILLIS, SPOOL_BYTES};
use danube_proto::v1::Chunk;
use sha2::{Digest, Sha256};

use super::spool::Spool;
use crate::unnamed::Unnamed;

/// From so many unacknowledged chunks on, they close later: a step that drips while the master is away must not
/// fill the shim's memory with the index.
const MANY_CHUNKS: usize = 4096;
/// How late.
const THIN_MILLIS: u64 = 1000;
/// At so many the step is held up, as if the spool were full.
const MOST_CHUNKS: usize = 65_536;

/// One entry of the index.
#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u64,
    at_ms: u64,
    len: u32,
    stream: u8,
}

/// The first bytes of one stream.
#[derive(Debug, Default)]
pub struct Capture {
    /// At most the limit.
    pub bytes: Vec<u8>,
    /// There were more.
    pub truncated: bool,
}

impl Capture {
    fn take(&mut self, data: &[u8], limit: usize) {
        let taken = data.len().min(limit - self.bytes.len());
        self.bytes.extend_from_slice(&data[..taken]);
        self.truncated |= taken < data.len() && limit > 0;
    }
}

/// All that is kept of a step's output.
#[derive(Debug)]
pub struct Output {
    files: Arc<Unnamed>,
    spool: Option<Spool>,
    index: VecDeque<Entry>,
    first_seq: u64,
    total: u64,
    acked: u64,
    reserved: u64,
    hash: Sha256,
    capture_limit: usize,
    captures: [Capture; 2],
}

impl Output {
    /// No output yet.
    pub fn new(files: Arc<Unnamed>, capture_limit: usize) -> Self {
        Self {
            files,
            spool: None,
            index: VecDeque::new(),
            first_seq: 0,
            total: 0,
            acked: 0,
            reserved: 0,
            hash: Sha256::new(),
            capture_limit,
            captures: Default::default(),
        }
    }

    /// Bytes of output so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Everything below is durable elsewhere.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// SHA-256 of the output so far.
    pub fn sha256(&self) -> Vec<u8> {
        self.hash.clone().finalize().to_vec()
    }

    /// How many bytes may be read from the step before a master has to acknowledge some.
    pub fn room(&self) -> u64 {
        if self.index.len() >= MOST_CHUNKS {
            return 0;
        }
        SPOOL_BYTES - (self.total - self.acked) - self.reserved
    }

    /// Bytes that were read and wait for their chunk to close.
    pub fn reserve(&mut self, bytes: usize) {
        self.reserved += bytes as u64;
    }

    /// How long a chunk stays open.
    pub fn chunk_millis(&self) -> u64 {
        if self.index.len() < MANY_CHUNKS { CHUNK_MILLIS } else { THIN_MILLIS }
    }

    /// Closes a chunk. On an error nothing has changed, and the same may be tried again.
    pub fn append(&mut self, stream: u8, at_ms: u64, data: &[u8]) -> io::Result<()> {
        if self.spool.is_none() {
            self.spool = Some(Spool::new(self.files.create()?, self.acked));
        }
        if let Some(spool) = &mut self.spool {
            spool.write(self.total, data)?;
        }
        self.hash.update(data);
        self.captures[usize::from(stream == 2)].take(data, self.capture_limit);
        let len = u32::try_from(data.len()).map_err(io::Error::other)?;
        self.index.push_back(Entry { offset: self.total, at_ms, len, stream });
        self.total += u64::from(len);
        self.reserved -= u64::from(len);
        Ok(())
    }

    /// Gives up bytes that could not be stored.
    pub fn lose(&mut self, bytes: usize) {
        self.reserved -= bytes as u64;
    }

    /// The chunk, or the rest of one, that starts at `offset`.
    pub fn chunk_at(&self, offset: u64) -> io::Result<Option<Chunk>> {
        let position = self.index.partition_point(|entry| entry.offset <= offset);
        let Some((position, entry)) = position.checked_sub(1).and_then(|at| Some((at, self.index.get(at)?))) else {
            return Ok(None);
        };
        let skipped = offset - entry.offset;
        let Some(len) = u64::from(entry.len).checked_sub(skipped).filter(|len| *len > 0) else { return Ok(None) };
        let Some(spool) = &self.spool else { return Ok(None) };
        let data = spool.read(offset, usize::try_from(len).map_err(io::Error::other)?)?;
        let seq = self.first_seq + position as u64;
        Ok(Some(Chunk { seq, stream: entry.stream.into(), offset, at_ms: entry.at_ms, data: data.into() }))
    }

    /// Everything below `offset`, which was sent, is durable.
    pub fn ack(&mut self, offset: u64) {
        self.acked = self.acked.max(offset.min(self.total));
        while self.index.front().is_some_and(|entry| entry.offset + u64::from(entry.len) <= self.acked) {
            self.index.pop_front();
            self.first_seq += 1;
        }
        if let Some(spool) = &mut self.spool {
            spool.give_back(self.acked);
        }
    }

    /// There will be no more output: with all of it acknowledged the spool can go.
    pub fn close(&mut self) {
        if self.acked == self.total {
            self.spool = None;
            self.index = VecDeque::new();
        }
    }

    /// What was captured of stdout and stderr.
    pub fn captures(&self) -> &[Capture; 2] {
        &self.captures
    }

    /// The captures have reached their reader.
    pub fn drop_captures(&mut self) {
        self.captures = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(chunks: &[&[u8]]) -> Output {
        let mut output = Output::new(Arc::new(Unnamed::new(None, "/nonexistent".into())), 4);
        for (at, chunk) in chunks.iter().enumerate() {
            output.reserve(chunk.len());
            output.append(1, at as u64, chunk).expect("appended");
        }
        output
    }

    #[test]
    fn a_chunk_is_found_by_any_of_its_offsets() {
        let output = output(&[b"hello", b"world"]);
        let chunk = output.chunk_at(7).expect("read").expect("there");
        assert_eq!((chunk.seq, chunk.offset, &chunk.data[..]), (1, 7, &b"rld"[..]));
        assert_eq!(output.chunk_at(10).expect("read"), None);
    }

    #[test]
    fn acknowledging_part_of_a_chunk_keeps_its_number() {
        let mut output = output(&[b"hello", b"world"]);
        output.ack(7);
        assert_eq!(output.chunk_at(7).expect("read").expect("there").seq, 1);
        assert_eq!(output.chunk_at(2).expect("read"), None);
        assert_eq!(output.room(), SPOOL_BYTES - 3);
    }

    #[test]
    fn captures_stop_at_their_limit_and_say_so() {
        let output = output(&[b"hel", b"lo"]);
        assert_eq!((&output.captures()[0].bytes[..], output.captures()[0].truncated), (&b"hell"[..], true));
    }
}
