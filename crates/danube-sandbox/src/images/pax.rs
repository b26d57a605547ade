//! The records of a PAX extended header: `LENGTH KEY=VALUE\n`, as POSIX writes them and GNU tar extends them.

use super::error::{ImageError, Result};
use super::sparse::Region;

/// What the extended headers before an entry say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<(i64, u32)>,
    pub sparse: SparseRecords,
}

/// GNU's sparse records, versions 0.0, 0.1 and 1.0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SparseRecords {
    /// Version 1.0 keeps its map at the head of the data.
    pub map_in_data: bool,
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    pub regions: Vec<Region>,
}

impl Overrides {
    /// Takes in one extended header.
    pub fn read(&mut self, mut records: &[u8]) -> Result<()> {
        while !records.is_empty() {
            let (key, value, rest) =
                record(records).ok_or_else(|| ImageError::BadTar("a PAX record is malformed".to_owned()))?;
            self.set(key, value)?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(key, value)?),
            b"uid" => self.uid = Some(number(key, value)?),
            b"gid" => self.gid = Some(number(key, value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(|| malformed(key))?),
            _ => self.sparse.set(key, value)?,
        }
        Ok(())
    }
}

impl SparseRecords {
    /// Whether the entry is a sparse file at all.
    pub const fn any(&self) -> bool {
        self.map_in_data || self.real_size.is_some()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"GNU.sparse.major" => self.map_in_data = number(key, value)? == 1,
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.real_size = Some(number(key, value)?),
            b"GNU.sparse.offset" => self.regions.push(Region { offset: number(key, value)?, bytes: 0 }),
            b"GNU.sparse.numbytes" => {
                self.regions.last_mut().ok_or_else(|| malformed(key))?.bytes = number(key, value)?;
            }
            b"GNU.sparse.map" => self.regions = regions(key, value)?,
            _ => {}
        }
        Ok(())
    }
}

/// `offset,bytes,offset,bytes,…` of version 0.1.
fn regions(key: &[u8], value: &[u8]) -> Result<Vec<Region>> {
    let numbers: Vec<u64> = value.split(|b| *b == b',').map(|text| number(key, text)).collect::<Result<_>>()?;
    if !numbers.len().is_multiple_of(2) {
        return Err(malformed(key));
    }
    Ok(numbers.chunks_exact(2).map(|pair| Region { offset: pair[0], bytes: pair[1] }).collect())
}

/// Splits off the first record: key, value, the rest.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

fn number(key: &[u8], value: &[u8]) -> Result<u64> {
    decimal(value).ok_or_else(|| malformed(key))
}

/// A plain decimal number; no sign, no blank, no overflow.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Seconds with an optional sign and fraction.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut parts = text.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    let digits: Vec<u8> = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9).collect();
    let nanos = u32::try_from(decimal(&digits)?).ok()?;
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        // The kernel counts nanoseconds forward, also before 1970.
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

fn malformed(key: &[u8]) -> ImageError {
    ImageError::BadTar(format!("the PAX record {:?} is malformed", super::error::shown(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Overrides> {
        let mut overrides = Overrides::default();
        overrides.read(text).map(|()| overrides)
    }

    #[test]
    fn records_are_read_by_their_length_not_by_their_lines() {
        let overrides = read(b"12 path=a\nb\n12 mtime=-1.5\n").err();
        assert!(overrides.is_some(), "a wrong length is an error");
        let overrides = read(b"12 path=a\nb\n14 mtime=-1.5\n13 size=4096\n").unwrap();
        assert_eq!(overrides.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(overrides.mtime, Some((-2, 500_000_000)));
        assert_eq!(overrides.size, Some(4096));
    }

    #[test]
    fn malformed_records_are_errors() {
        for text in
            [&b"5"[..], b"99 path=a\n", b"0 path=a\n", b"11 path=a\n", b"9 size=x\n", b"30 size=99999999999999999999\n"]
        {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
