//! Sparse files: which regions of the file the tar holds. Everything between them is a hole.

use std::io::Read;

use super::error::{ImageError, Result};
use super::limits::Limits;
use super::pax::decimal;

/// A run of data within a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub offset: u64,
    pub bytes: u64,
}

/// Where the data of one sparse entry belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SparseMap {
    pub regions: Vec<Region>,
    pub real_size: u64,
}

impl SparseMap {
    /// Regions must follow one another, lie within the file, and use up the entry's data exactly.
    pub fn checked(regions: Vec<Region>, real_size: u64, data_bytes: u64) -> Result<Self> {
        let mut end = 0;
        let mut sum = 0u64;
        for region in &regions {
            let next = region.offset.checked_add(region.bytes).filter(|next| *next <= real_size);
            let (Some(next), true) = (next, region.offset >= end) else { return Err(wrong()) };
            end = next;
            sum += region.bytes;
        }
        if sum == data_bytes { Ok(Self { regions, real_size }) } else { Err(wrong()) }
    }
}

/// The map of an old GNU sparse entry: four regions in the header, more in the blocks that follow it.
pub(super) fn from_gnu_header(
    header: &tar::GnuHeader,
    blocks: &mut impl Read,
    limits: &Limits,
) -> Result<(Vec<Region>, u64)> {
    let real_size = header.real_size().map_err(|_| wrong())?;
    let mut regions = Vec::new();
    collect(&header.sparse, &mut regions)?;
    let mut more = header.is_extended();
    while more {
        let mut block = tar::GnuExtSparseHeader::new();
        blocks.read_exact(block.as_mut_bytes()).map_err(ImageError::from_stream)?;
        collect(&block.sparse, &mut regions)?;
        check_count(regions.len(), limits)?;
        more = block.is_extended();
    }
    Ok((regions, real_size))
}

fn collect(headers: &[tar::GnuSparseHeader], regions: &mut Vec<Region>) -> Result<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let offset = header.offset().map_err(|_| wrong())?;
        let bytes = header.length().map_err(|_| wrong())?;
        regions.push(Region { offset, bytes });
    }
    Ok(())
}

/// The map of version 1.0, at the head of the entry's data: decimal lines (a count, then offset and length by
/// turns), filled up to a whole block. Also says how many bytes of data it took.
pub(super) fn from_data(data: &mut impl Read, limits: &Limits) -> Result<(Vec<Region>, u64)> {
    let mut lines = Lines { data, block: [0; 512], at: 512, taken: 0 };
    let count = usize::try_from(lines.number()?).unwrap_or(usize::MAX);
    check_count(count, limits)?;
    let mut regions = Vec::new();
    for _ in 0..count {
        regions.push(Region { offset: lines.number()?, bytes: lines.number()? });
    }
    Ok((regions, lines.taken))
}

struct Lines<'a, R> {
    data: &'a mut R,
    block: [u8; 512],
    at: usize,
    taken: u64,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return decimal(&digits).ok_or_else(wrong),
                digit if digits.len() < 20 => digits.push(digit),
                _ => return Err(wrong()),
            }
        }
    }

    fn byte(&mut self) -> Result<u8> {
        if self.at == self.block.len() {
            self.data.read_exact(&mut self.block).map_err(ImageError::from_stream)?;
            self.taken += self.block.len() as u64;
            self.at = 0;
        }
        self.at += 1;
        Ok(self.block[self.at - 1])
    }
}

pub(super) fn check_count(regions: usize, limits: &Limits) -> Result<()> {
    if regions <= limits.sparse_regions {
        return Ok(());
    }
    let why = format!("a sparse file has more than {} regions of data", limits.sparse_regions);
    Err(ImageError::BadTar(why))
}

fn wrong() -> ImageError {
    ImageError::BadTar("the map of a sparse file is wrong".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_that_overlap_or_leave_the_file_are_refused() {
        let region = |offset, bytes| Region { offset, bytes };
        assert!(SparseMap::checked(vec![region(0, 4), region(8, 4)], 12, 8).is_ok());
        assert!(SparseMap::checked(vec![region(0, 4), region(3, 4)], 12, 8).is_err(), "overlap");
        assert!(SparseMap::checked(vec![region(8, 5)], 12, 5).is_err(), "past the end");
        assert!(SparseMap::checked(vec![region(u64::MAX, 2)], u64::MAX, 2).is_err(), "overflow");
        assert!(SparseMap::checked(vec![region(0, 4)], 12, 5).is_err(), "data left over");
    }
}
