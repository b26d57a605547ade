//! The `.idx` file: a header and one record per chunk, all of one size, so that a line or a byte is found by binary
//! search. Little-endian.

use danube_core::ansi::Style;

/// Bytes of the header and of each record.
pub(super) const SIZE: usize = 32;
/// The file's first 32 bytes: a name, the version of the layout, the size of a record.
pub(super) const HEADER: [u8; SIZE] = header(2);
/// The header of files whose records end with the stream.
pub(super) const FIRST_HEADER: [u8; SIZE] = header(1);
/// The stream number of words that are Danube's own.
pub(super) const DANUBE: u8 = 0;

/// Where a chunk begins in the `.raw` file, and what is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Offset in `.raw`.
    pub offset: u64,
    /// Line ends in `.raw` before that offset.
    pub lines: u64,
    /// Milliseconds since the Unix epoch, as the shim read it.
    pub at_ms: u64,
    /// 1 stdout (or both, merged), 2 stderr, 0 Danube itself.
    pub stream: u8,
    /// The masker hid something in the chunk.
    pub masked: bool,
    /// Something in the chunk looks like a failure.
    pub failure: bool,
    /// How the chunk's text begins to look, or rather that of the escape sequence which its beginning may be part of.
    pub style: Style,
    /// Bytes of that sequence before the chunk.
    pub held: u16,
}

const MASKED: u8 = 1;
const FAILURE: u8 = 2;

const fn header(version: u32) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let (name, version, size) = (*b"danubidx", version.to_le_bytes(), (SIZE as u32).to_le_bytes());
    let mut at = 0;
    while at < 8 {
        bytes[at] = name[at];
        if at < 4 {
            bytes[8 + at] = version[at];
            bytes[12 + at] = size[at];
        }
        at += 1;
    }
    bytes
}

impl Record {
    pub(super) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.lines.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.at_ms.to_le_bytes());
        bytes[24] = self.stream;
        bytes[25] = if self.masked { MASKED } else { 0 } | if self.failure { FAILURE } else { 0 };
        bytes[26..29].copy_from_slice(&self.style.to_bytes());
        bytes[29..31].copy_from_slice(&self.held.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        Self {
            offset: number(0),
            lines: number(8),
            at_ms: number(16),
            stream: bytes[24],
            masked: bytes[25] & MASKED != 0,
            failure: bytes[25] & FAILURE != 0,
            style: Style::from_bytes([bytes[26], bytes[27], bytes[28]]),
            held: u16::from_le_bytes([bytes[29], bytes[30]]),
        }
    }
}

impl Record {
    /// A record of a file with the first header: where nothing was noted, anything may be.
    pub(super) fn from_first_bytes(bytes: &[u8; SIZE]) -> Self {
        Self { masked: false, failure: true, style: Style::default(), held: 0, ..Self::from_bytes(bytes) }
    }
}

/// Line ends in some bytes.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    // Sums of few bytes at a time fit a byte each, which the compiler turns into wide instructions.
    bytes.chunks(192).map(|part| u64::from(part.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>())).sum()
}
