//! Reads a tar as a stream of entries, in bounded memory: PAX, GNU long names and every form of sparse files.

use std::io::{self, Read, Seek, SeekFrom};

use super::error::{ImageError, Result};
use super::limits::Limits;
use super::pax::Overrides;
use super::sparse::{self, SparseMap};

const BLOCK: usize = 512;

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Device,
    Fifo,
}

/// One entry; its data is read from the [`TarReader`] before the next one is asked for.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: Kind,
    pub size: u64,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: (i64, u32),
    pub sparse: Option<SparseMap>,
}

/// Reads entries one after the other. Reading from it reads the present entry's data.
pub(super) struct TarReader<'a, R> {
    inner: R,
    limits: &'a Limits,
    data_left: u64,
    padding: u64,
    position: u64,
}

impl<'a, R: Read> TarReader<'a, R> {
    pub fn new(inner: R, limits: &'a Limits) -> Self {
        Self { inner, limits, data_left: 0, padding: 0, position: 0 }
    }

    /// Where in the tar the present entry's data begins.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The stream that is read.
    pub const fn inner(&self) -> &R {
        &self.inner
    }

    /// The next entry, or `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut overrides = Overrides::default();
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(|_| bad("a size is not a number"))?;
            match header.entry_type().as_byte() {
                b'x' | b'X' => {
                    let records = self.extended(size)?;
                    overrides.read(&records)?;
                }
                b'L' => overrides.path = Some(until_nul(self.extended(size)?)),
                b'K' => overrides.link = Some(until_nul(self.extended(size)?)),
                // Global records and a volume's label say nothing about a file.
                b'g' | b'V' => self.begin_data(size)?,
                _ => return self.entry(&header, size, overrides).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &tar::Header, size: u64, overrides: Overrides) -> Result<Entry> {
        let kind = kind(header)?;
        let size = if kind == Kind::File { overrides.size.unwrap_or(size) } else { 0 };
        let mut entry = Entry {
            path: overrides.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: overrides.link.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default(),
            kind,
            size,
            mode: header.mode().map_err(|_| bad("a mode is not a number"))? & 0o7777,
            uid: overrides.uid.map_or_else(|| header.uid(), Ok).map_err(|_| bad("an owner is not a number"))?,
            gid: overrides.gid.map_or_else(|| header.gid(), Ok).map_err(|_| bad("a group is not a number"))?,
            mtime: overrides.mtime.map_or_else(|| mtime(header), Ok)?,
            sparse: None,
        };
        if let Some(name) = overrides.sparse.name.clone() {
            entry.path = name;
        }
        self.begin_entry_data(header, &mut entry, overrides.sparse)?;
        Ok(entry)
    }

    /// Sets the reader on the entry's data, after its map if it is sparse.
    fn begin_entry_data(
        &mut self,
        header: &tar::Header,
        entry: &mut Entry,
        records: super::pax::SparseRecords,
    ) -> Result<()> {
        if header.entry_type().is_gnu_sparse() {
            let gnu = header.as_gnu().ok_or_else(|| bad("a sparse file has no GNU header"))?;
            let (regions, real_size) = sparse::from_gnu_header(gnu, &mut self.inner, self.limits)?;
            entry.sparse = Some(SparseMap::checked(regions, real_size, entry.size)?);
            return self.begin_data(entry.size);
        }
        self.begin_data(entry.size)?;
        if entry.kind != Kind::File || !records.any() {
            return Ok(());
        }
        let mut regions = records.regions;
        if records.map_in_data {
            let limits = self.limits;
            let (from_data, taken) = sparse::from_data(self, limits)?;
            regions = from_data;
            entry.size -= taken;
        }
        sparse::check_count(regions.len(), self.limits)?;
        let real_size = records.real_size.ok_or_else(|| bad("a sparse file has no size"))?;
        entry.sparse = Some(SparseMap::checked(regions, real_size, entry.size)?);
        Ok(())
    }

    /// One header block with a right checksum; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<tar::Header>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(bad("it ends in the middle of a header")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ImageError::from_stream(error)),
            }
        }
        self.position += BLOCK as u64;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = tar::Header::from_byte_slice(&block).clone();
        if header.cksum().ok() == Some(checksum(&block)) {
            Ok(Some(header))
        } else {
            Err(bad("a header's checksum is wrong"))
        }
    }

    /// The whole data of an extended header.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > self.limits.header_bytes {
            let most = self.limits.header_bytes;
            return Err(bad(&format!("an extended header has {size} bytes, at most {most} are read")));
        }
        self.begin_data(size)?;
        let mut bytes = Vec::new();
        self.by_ref().take(size).read_to_end(&mut bytes).map_err(ImageError::from_stream)?;
        Ok(bytes)
    }

    fn begin_data(&mut self, size: u64) -> Result<()> {
        self.padding = size.checked_next_multiple_of(BLOCK as u64).ok_or_else(|| bad("a size is too large"))? - size;
        self.data_left = size;
        Ok(())
    }

    fn skip_data(&mut self) -> Result<()> {
        let rest = self.data_left.saturating_add(self.padding);
        self.data_left = 0;
        self.padding = 0;
        let skipped =
            io::copy(&mut self.inner.by_ref().take(rest), &mut io::sink()).map_err(ImageError::from_stream)?;
        self.position += skipped;
        if skipped == rest { Ok(()) } else { Err(bad("it ends in the middle of a file")) }
    }
}

impl<R: Read + Seek> TarReader<'_, R> {
    /// Steps over the present entry's data without reading it.
    pub fn jump(&mut self) -> Result<()> {
        let rest = self.data_left.saturating_add(self.padding);
        let by = i64::try_from(rest).map_err(|_| bad("a size is too large"))?;
        self.inner.seek(SeekFrom::Current(by)).map_err(ImageError::from_stream)?;
        self.data_left = 0;
        self.padding = 0;
        self.position += rest;
        Ok(())
    }
}

impl<R: Read> Read for TarReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.data_left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of a file"));
        }
        self.data_left -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

fn kind(header: &tar::Header) -> Result<Kind> {
    Ok(match header.entry_type().as_byte() {
        // Version 7 tars know no type for directories but a slash at the end.
        b'0' | 0 if header.path_bytes().ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => return Err(bad(&format!("entries of type {:?} are not known", char::from(other)))),
    })
}

/// Times before 1970 come as two's complement in the base-256 form.
fn mtime(header: &tar::Header) -> Result<(i64, u32)> {
    header.mtime().map(|seconds| (seconds.cast_signed(), 0)).map_err(|_| bad("a time is not a number"))
}

/// The sum of all bytes, with the checksum's own field taken as blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    const FIELD: std::ops::Range<usize> = 148..156;
    block
        .iter()
        .enumerate()
        .map(|(at, byte)| if FIELD.contains(&at) { u32::from(b' ') } else { u32::from(*byte) })
        .sum()
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn bad(why: &str) -> ImageError {
    ImageError::BadTar(why.to_owned())
}
