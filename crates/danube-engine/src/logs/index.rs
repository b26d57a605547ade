//! The `.idx` file: a header and one record per chunk, all of one size, so that a line or a byte is found by binary
//! search. Little-endian.

/// Bytes of the header and of each record.
pub(super) const SIZE: usize = 32;
/// The file's first 32 bytes: a name, the version of the layout, the size of a record.
pub(super) const HEADER: [u8; SIZE] = header();
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
}

const fn header() -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let (name, version, size) = (*b"danubidx", 1_u32.to_le_bytes(), (SIZE as u32).to_le_bytes());
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
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        Self { offset: number(0), lines: number(8), at_ms: number(16), stream: bytes[24] }
    }
}

/// Line ends in some bytes.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    // Sums of few bytes at a time fit a byte each, which the compiler turns into wide instructions.
    bytes.chunks(192).map(|part| u64::from(part.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>())).sum()
}
