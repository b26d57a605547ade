//! The blobs of an image: byte ranges of files, checked by size and digest while they are read.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::digest::{Digest, HashingReader};
use super::error::{ImageError, Result};
use super::limits::{BYTES_SETTING, Limits, RATIO_SETTING};

/// Where the bytes of a blob lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// The file, which may be an archive with many blobs in it.
    pub file: PathBuf,
    /// Where in the file the blob begins.
    pub offset: u64,
    /// How long it is.
    pub size: u64,
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, also of several members.
    Gzip,
    /// Zstandard, with windows up to 128 MiB.
    Zstd,
}

/// What a layer's digest is the digest of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Covers {
    /// Of the blob as it lies there.
    Blob,
    /// Of the tar after decompression (`docker save` promises nothing else).
    Content,
}

/// One layer: a tar that is applied over the layers before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// What its bytes must digest to.
    pub digest: Digest,
    /// Which bytes that are.
    pub covers: Covers,
    /// How it is compressed.
    pub compression: Compression,
    /// Where it lies.
    pub blob: Blob,
}

impl Compression {
    /// Told from the first bytes.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Opens a regular file for reading. Never hangs on a pipe, never reads a device.
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let failed = |source: io::Error| ImageError::Read { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file: File =
        rustix::fs::open(path, flags, Mode::empty()).map(|fd: OwnedFd| fd.into()).map_err(|e| failed(e.into()))?;
    if file.metadata().map_err(failed)?.is_file() {
        return Ok(file);
    }
    Err(ImageError::NotAnImage { path: path.to_owned(), why: "it is not a regular file".to_owned() })
}

/// A byte range of a file as a stream.
pub(super) struct Section {
    file: File,
    at: u64,
    end: u64,
}

impl Section {
    pub fn new(file: File, blob: &Blob) -> Self {
        Self { file, at: blob.offset, end: blob.offset.saturating_add(blob.size) }
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The decompressed tar of a layer. Stops at the limits; [`LayerReader::finish`] checks the digest.
pub(super) struct LayerReader {
    stream: HashingReader<Meter>,
    layer: Layer,
}

type Raw = BufReader<HashingReader<Section>>;

enum Decoder {
    None(Raw),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Raw>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Raw>>),
}

impl LayerReader {
    /// Reads the layer from its opened file; `spent` bytes of the image's limit are used up already.
    pub fn new(layer: &Layer, file: File, limits: &Limits, spent: u64) -> Result<Self> {
        const BUFFER: usize = 128 << 10;
        let raw = BufReader::with_capacity(BUFFER, HashingReader::new(Section::new(file, &layer.blob)));
        let decoder = match layer.compression {
            Compression::None => Decoder::None(raw),
            Compression::Gzip => Decoder::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(raw))),
            Compression::Zstd => {
                let zstd = zstd::stream::read::Decoder::with_buffer(raw).map_err(ImageError::from_stream)?;
                Decoder::Zstd(Box::new(zstd))
            }
        };
        let ratio = if layer.compression == Compression::None { u64::MAX } else { limits.ratio };
        let meter = Meter { inner: decoder, bytes: 0, spent, limits: Limits { ratio, ..*limits } };
        Ok(Self { stream: HashingReader::new(meter), layer: layer.clone() })
    }

    /// Bytes of the blob read so far.
    pub fn consumed(&self) -> u64 {
        self.stream.inner().inner.raw().get_ref().total()
    }

    /// For a layer that does not read as a tar: whether that is because its bytes are not the promised ones.
    pub fn damage(mut self) -> Option<ImageError> {
        let raw = self.stream.inner_mut().inner.raw_mut();
        io::copy(raw, &mut io::sink()).ok()?;
        let found = (self.layer.covers == Covers::Blob).then(|| raw.get_ref().digest())?;
        check_digest(&self.layer.digest, &found).err()
    }

    /// Reads to the end and checks that the bytes were the promised ones.
    pub fn finish(mut self) -> Result<u64> {
        io::copy(&mut self.stream, &mut io::sink()).map_err(ImageError::from_stream)?;
        let raw = self.stream.inner_mut().inner.raw_mut();
        io::copy(raw, &mut io::sink()).map_err(ImageError::from_stream)?;
        let (found, size) = (raw.get_ref().digest(), raw.get_ref().total());
        check_size(&self.layer.digest, self.layer.blob.size, size)?;
        let found = if self.layer.covers == Covers::Blob { found } else { self.stream.digest() };
        check_digest(&self.layer.digest, &found)?;
        Ok(self.stream.total())
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Decoder {
    fn raw(&self) -> &Raw {
        match self {
            Self::None(raw) => raw,
            Self::Gzip(gzip) => gzip.get_ref(),
            Self::Zstd(zstd) => zstd.get_ref(),
        }
    }

    fn raw_mut(&mut self) -> &mut Raw {
        match self {
            Self::None(raw) => raw,
            Self::Gzip(gzip) => gzip.get_mut(),
            Self::Zstd(zstd) => zstd.get_mut(),
        }
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(raw) => raw.read(buffer),
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Zstd(zstd) => zstd.read(buffer),
        }
    }
}

/// Stops a bomb: counts decompressed bytes against the image's limit and the layer's own size.
struct Meter {
    inner: Decoder,
    bytes: u64,
    spent: u64,
    limits: Limits,
}

impl Meter {
    fn check(&self) -> Result<()> {
        let Limits { bytes, ratio, ratio_from, .. } = self.limits;
        if self.spent.saturating_add(self.bytes) > bytes {
            return Err(ImageError::Limit { what: "bytes after decompression", limit: bytes, setting: BYTES_SETTING });
        }
        let consumed = self.inner.raw().get_ref().total().max(1);
        if self.bytes > ratio_from && self.bytes / consumed > ratio {
            let what = "times its compressed size (a decompression bomb?)";
            return Err(ImageError::Limit { what, limit: ratio, setting: RATIO_SETTING });
        }
        Ok(())
    }
}

impl Read for Meter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        self.check().map_err(io::Error::other)?;
        Ok(count)
    }
}

/// A small document (index, manifest, configuration), whole and checked.
pub(super) fn read_document(blob: &Blob, digest: &Digest) -> Result<Vec<u8>> {
    let bytes = read_small(blob, &digest.to_string())?;
    check_digest(digest, &Digest::of(&bytes))?;
    Ok(bytes)
}

/// A small document that no digest is known of.
pub(super) fn read_small(blob: &Blob, name: &str) -> Result<Vec<u8>> {
    const LARGEST_DOCUMENT: u64 = 8 << 20;
    if blob.size > LARGEST_DOCUMENT {
        let why = format!("it has {} bytes, at most {LARGEST_DOCUMENT} are read", blob.size);
        return Err(ImageError::BadDocument { document: name.to_owned(), why });
    }
    let mut bytes = Vec::new();
    let failed = |source| ImageError::Read { path: blob.file.clone(), source };
    Section::new(open_regular(&blob.file)?, blob).read_to_end(&mut bytes).map_err(failed)?;
    let found = bytes.len() as u64;
    if found == blob.size {
        return Ok(bytes);
    }
    Err(ImageError::WrongSize { blob: name.to_owned(), expected: blob.size, found })
}

pub(super) fn check_size(digest: &Digest, expected: u64, found: u64) -> Result<()> {
    if expected == found { Ok(()) } else { Err(ImageError::WrongSize { blob: digest.to_string(), expected, found }) }
}

fn check_digest(expected: &Digest, found: &Digest) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(ImageError::WrongDigest { blob: expected.to_string(), found: found.to_string() })
}
