//! The path of an entry, taken apart and judged before anything is touched.

use super::error::{ImageError, Result, shown};
use super::limits::Limits;

/// The components of a path beneath the image's root. Empty is the root itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryPath<'a> {
    pub parts: Vec<&'a [u8]>,
}

/// What a file name of a layer means to the layers below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whiteout<'a> {
    /// Nothing: an ordinary name.
    No,
    /// The lower layers' file of this name is gone.
    Of(&'a [u8]),
    /// Everything of the lower layers in this directory is gone.
    Opaque,
    /// Bookkeeping of a union file system that has no meaning any more.
    Ignored,
}

const PREFIX: &[u8] = b".wh.";

impl<'a> EntryPath<'a> {
    /// Absolute paths count from the image's root; `..` is never meant well.
    pub fn parse(path: &'a [u8], limits: &Limits) -> Result<Self> {
        if path.len() > limits.path_bytes {
            return Err(refuse(
                path,
                format!("its path has {} bytes, at most {} are allowed", path.len(), limits.path_bytes),
            ));
        }
        if path.contains(&0) {
            return Err(refuse(path, "its path has a NUL in it".to_owned()));
        }
        let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        if parts.contains(&&b".."[..]) {
            return Err(refuse(path, "its path has .. in it".to_owned()));
        }
        if parts.len() > limits.depth {
            return Err(refuse(
                path,
                format!("it is {} directories deep, at most {} are allowed", parts.len(), limits.depth),
            ));
        }
        match parts.iter().find(|part| part.len() > 255) {
            Some(part) => Err(refuse(path, format!("a name in it has {} bytes, at most 255 are possible", part.len()))),
            None => Ok(Self { parts }),
        }
    }

    /// The directories above, and the name. `None` for the root.
    pub fn split(&self) -> Option<(&'a [u8], &[&'a [u8]])> {
        self.parts.split_last().map(|(name, above)| (*name, above))
    }
}

impl<'a> Whiteout<'a> {
    /// Reads the name; a whiteout can only mean a name in its own directory.
    pub fn of(path: &EntryPath<'a>) -> Result<Self> {
        let Some((name, above)) = path.split() else { return Ok(Self::No) };
        if above.iter().any(|part| part.starts_with(b".wh..wh.")) {
            return Ok(Self::Ignored);
        }
        let Some(hidden) = name.strip_prefix(PREFIX) else { return Ok(Self::No) };
        match hidden {
            b".wh..opq" => Ok(Self::Opaque),
            b"" | b"." | b".." => Err(refuse(name, "it is a whiteout of no file".to_owned())),
            hidden if hidden.starts_with(PREFIX) => Ok(Self::Ignored),
            hidden => Ok(Self::Of(hidden)),
        }
    }
}

pub(super) fn refuse(entry: &[u8], why: impl Into<String>) -> ImageError {
    ImageError::Refused { entry: shown(entry), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &[u8]) -> Result<EntryPath<'_>> {
        EntryPath::parse(path, &Limits::default())
    }

    #[test]
    fn absolute_paths_count_from_the_root_and_dots_vanish() {
        let parts: [&[u8]; 2] = [b"a", b"b"];
        assert_eq!(parse(b"/./a//b/").unwrap().parts, parts);
        assert!(parse(b"./").unwrap().parts.is_empty());
    }

    #[test]
    fn no_path_leaves_by_dots_nul_or_length() {
        for bad in
            [&b".."[..], b"a/../b", b"/..", b"a/..", b"a\0b", &[b'a'; 256], &b"a/".repeat(201), &b"a".repeat(5000)]
        {
            assert!(parse(bad).is_err(), "{:?}", shown(bad));
        }
        assert!(parse(b"..a/...").is_ok());
    }

    #[test]
    fn a_whiteout_hides_a_name_beside_it_and_nothing_else() {
        let of = |path: &'static [u8]| Whiteout::of(&parse(path).unwrap());
        assert_eq!(of(b"a/.wh.b").unwrap(), Whiteout::Of(b"b"));
        assert_eq!(of(b"a/.wh..wh..opq").unwrap(), Whiteout::Opaque);
        assert_eq!(of(b".wh..wh.plnk/1.2").unwrap(), Whiteout::Ignored);
        assert_eq!(of(b"a/b").unwrap(), Whiteout::No);
        for bad in [&b"a/.wh."[..], b"a/.wh..", b"a/.wh..."] {
            assert!(of(bad).is_err(), "{:?}", shown(bad));
        }
    }
}
