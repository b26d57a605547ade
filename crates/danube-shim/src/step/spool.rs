//! The un-acknowledged end of a step's output, as a ring in an unnamed file: it takes no more than its cap even where
//! the file system cannot take back what was acknowledged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use danube_proto::limits::SPOOL_BYTES;
use rustix::fs::FallocateFlags;

/// Acknowledged bytes are given back in pieces of this size, to save system calls.
const GIVE_BACK: u64 = 1024 * 1024;

/// At most [`SPOOL_BYTES`] of output, addressed by offset in the step's output.
#[derive(Debug)]
pub struct Spool {
    file: File,
    given_back: u64,
}

impl Spool {
    /// Keeps what follows `start`.
    pub fn new(file: File, start: u64) -> Self {
        Self { file, given_back: start }
    }

    /// Writes bytes whose place the caller has made sure is free.
    pub fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (first, rest) = data.split_at(before_the_seam(offset, data.len()));
        self.file.write_all_at(first, offset % SPOOL_BYTES)?;
        if rest.is_empty() { Ok(()) } else { self.file.write_all_at(rest, 0) }
    }

    /// Reads bytes that were written and not given back.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut data = vec![0; len];
        let (first, rest) = data.split_at_mut(before_the_seam(offset, len));
        self.file.read_exact_at(first, offset % SPOOL_BYTES)?;
        if !rest.is_empty() {
            self.file.read_exact_at(rest, 0)?;
        }
        Ok(data)
    }

    /// Everything below `offset` may go.
    pub fn give_back(&mut self, offset: u64) {
        while offset - self.given_back >= GIVE_BACK {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let seam = SPOOL_BYTES - self.given_back % SPOOL_BYTES;
            let len = GIVE_BACK.min(seam);
            // File systems that cannot punch keep the ring's size: bounded, only larger.
            let _ = rustix::fs::fallocate(&self.file, flags, self.given_back % SPOOL_BYTES, len);
            self.given_back += len;
        }
    }
}

/// How many of `len` bytes from `offset` stand before the ring begins again.
fn before_the_seam(offset: u64, len: usize) -> usize {
    usize::try_from(SPOOL_BYTES - offset % SPOOL_BYTES).map_or(len, |seam| seam.min(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> Spool {
        Spool::new(crate::unnamed::Unnamed::new(None, "/nonexistent".into()).create().expect("memfd"), 0)
    }

    #[test]
    fn bytes_across_the_seam_come_back_whole() {
        let spool = spool();
        let data: Vec<u8> = (0..=255).cycle().take(60_000).collect();
        spool.write(SPOOL_BYTES - 1000, &data).expect("written");
        assert_eq!(spool.read(SPOOL_BYTES - 1000, data.len()).expect("read"), data);
        assert_eq!(spool.read(SPOOL_BYTES, 10).expect("read"), data[1000..1010]);
    }

    #[test]
    fn acknowledged_bytes_are_given_back() {
        use std::os::unix::fs::MetadataExt;
        let mut spool = spool();
        let piece = vec![7; 1 << 20];
        (0..8).for_each(|n| spool.write(n << 20, &piece).expect("written"));
        let full = spool.file.metadata().expect("stat").blocks();
        spool.give_back(6 << 20);
        let left = spool.file.metadata().expect("stat").blocks();
        assert!(left <= full / 3, "{left} of {full} blocks");
        assert_eq!(spool.read(7 << 20, 4).expect("read"), [7; 4]);
    }
}
