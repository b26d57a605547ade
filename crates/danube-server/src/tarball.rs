//! Files as one tar, made while it is sent.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use axum::body::Bytes;

use crate::answer::{BLOCK, Blocks};
use crate::api::artifacts::open;
use crate::problem::Problem;

/// The unit of the format.
const UNIT: u64 = 512;

/// A file to put in.
pub(crate) struct Entry {
    pub path: PathBuf,
    /// Under which it is unpacked.
    pub name: String,
    pub len: u64,
    /// Seconds since the Unix epoch.
    pub mtime: u64,
}

/// A tar that is made a block at a time.
pub(crate) struct Tarball {
    entries: VecDeque<Entry>,
    current: Option<(io::Take<File>, u64)>,
    ended: bool,
}

impl Tarball {
    pub(crate) fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self { entries: entries.into_iter().collect(), current: None, ended: false }
    }

    fn begin(&mut self, entry: &Entry) -> Result<Vec<u8>, Problem> {
        let file = open(&entry.path, entry.len)?;
        self.current = Some((file.take(entry.len), entry.len));
        header(entry).map_err(Problem::internal)
    }
}

impl Blocks for Tarball {
    fn next_block(&mut self) -> Result<Option<Bytes>, Problem> {
        if let Some((file, len)) = &mut self.current {
            let (mut block, len) = (Vec::with_capacity(BLOCK), *len);
            file.by_ref().take(BLOCK as u64).read_to_end(&mut block).map_err(Problem::internal)?;
            if file.limit() == 0 {
                block.resize(block.len() + padding(len), 0);
                self.current = None;
            } else if block.is_empty() {
                return Err(Problem::internal("a file is shorter than it was"));
            }
            if !block.is_empty() {
                return Ok(Some(block.into()));
            }
        }
        match self.entries.pop_front() {
            Some(entry) => Ok(Some(self.begin(&entry)?.into())),
            // Two units of nothing are the end.
            None if !std::mem::replace(&mut self.ended, true) => Ok(Some(vec![0; 2 * UNIT as usize].into())),
            None => Ok(None),
        }
    }
}

/// What stands before a file's bytes.
fn header(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(entry.len);
    header.set_mode(0o644);
    header.set_mtime(entry.mtime);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, &entry.name, io::empty())?;
    Ok(std::mem::take(builder.get_mut()))
}

/// Bytes that fill the last unit of a file.
fn padding(len: u64) -> usize {
    usize::try_from(len.next_multiple_of(UNIT) - len).unwrap_or(0)
}
