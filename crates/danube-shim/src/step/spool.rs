//! The un-acknowledged end of a step's output, as a ring in an unnamed file: it takes no more than its cap, and next to
//! nothing while the master keeps up, for the ring begins anew whenever everything was acknowledged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use danube_proto::limits::SPOOL_BYTES;

/// An empty spool that grew larger than this gives its space back. Doing that for each acknowledged piece instead would
/// cost more than writing the piece.
const WORTH_GIVING_BACK: u64 = 16 * 1024 * 1024;

/// At most [`SPOOL_BYTES`] of output, addressed by offset in the step's output.
#[derive(Debug)]
pub struct Spool {
    file: File,
    /// The offset that stands at the beginning of the file.
    base: u64,
    /// The offset after the last byte written.
    end: u64,
}

impl Spool {
    /// Keeps what follows `start`.
    pub fn new(file: File, start: u64) -> Self {
        Self { file, base: start, end: start }
    }

    /// Writes bytes whose place the caller has made sure is free.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let place = self.place(offset);
        let (first, rest) = data.split_at(before_the_seam(place, data.len()));
        self.file.write_all_at(first, place)?;
        if !rest.is_empty() {
            self.file.write_all_at(rest, 0)?;
        }
        self.end = offset + data.len() as u64;
        Ok(())
    }

    /// Reads bytes that were written and not given back.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut data = vec![0; len];
        let place = self.place(offset);
        let (first, rest) = data.split_at_mut(before_the_seam(place, len));
        self.file.read_exact_at(first, place)?;
        if !rest.is_empty() {
            self.file.read_exact_at(rest, 0)?;
        }
        Ok(data)
    }

    /// Everything below `offset` may go.
    pub fn give_back(&mut self, offset: u64) {
        if offset < self.end {
            return;
        }
        if self.end - self.base > WORTH_GIVING_BACK {
            // A file system that refuses keeps the ring's size: bounded, only larger.
            let _ = self.file.set_len(0);
        }
        self.base = self.end;
    }

    /// Where in the file an offset stands.
    fn place(&self, offset: u64) -> u64 {
        (offset - self.base) % SPOOL_BYTES
    }
}

/// How many of `len` bytes from `place` stand before the ring begins again.
fn before_the_seam(place: u64, len: usize) -> usize {
    usize::try_from(SPOOL_BYTES - place).map_or(len, |seam| seam.min(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> Spool {
        Spool::new(crate::unnamed::Unnamed::new(None, "/nonexistent".into()).create().expect("memfd"), 0)
    }

    #[test]
    fn bytes_across_the_seam_come_back_whole() {
        let mut spool = spool();
        let data: Vec<u8> = (0..=255).cycle().take(60_000).collect();
        spool.write(SPOOL_BYTES - 1000, &data).expect("written");
        assert_eq!(spool.read(SPOOL_BYTES - 1000, data.len()).expect("read"), data);
        assert_eq!(spool.read(SPOOL_BYTES, 10).expect("read"), data[1000..1010]);
    }

    #[test]
    fn the_ring_begins_anew_when_everything_was_acknowledged() {
        use std::os::unix::fs::MetadataExt;
        let mut spool = spool();
        let piece = vec![7; 1 << 20];
        (0..32).for_each(|n| spool.write(n << 20, &piece).expect("written"));
        spool.give_back(31 << 20);
        assert_eq!(spool.read(31 << 20, 4).expect("not acknowledged"), [7; 4]);
        spool.give_back(32 << 20);
        assert_eq!(spool.file.metadata().expect("stat").blocks(), 0, "the space is given back");
        spool.write(32 << 20, b"next").expect("written");
        assert_eq!(spool.read(32 << 20, 4).expect("read"), b"next");
        assert_eq!(spool.file.metadata().expect("stat").len(), 4, "at the beginning of the file");
    }

    #[test]
    fn any_order_of_writes_and_acknowledgements_keeps_the_rest() {
        let mut spool = spool();
        let (mut end, mut acked) = (0_u64, 0_u64);
        let byte = |offset: u64| (offset % 251) as u8;
        for round in 1..300_u64 {
            let len = (round * 7919 % 200_000).min(SPOOL_BYTES - (end - acked));
            let data: Vec<u8> = (end..end + len).map(byte).collect();
            spool.write(end, &data).expect("written");
            end += len;
            acked += if round % 5 == 0 { end - acked } else { (round * 104_729 % 150_000).min(end - acked) };
            spool.give_back(acked);
            let rest = usize::try_from(end - acked).expect("small").min(1000);
            let read = spool.read(acked, rest).expect("read");
            assert!(read.iter().zip(acked..).all(|(b, offset)| *b == byte(offset)), "round {round}");
        }
    }
}
