//! A tar with an image in it: which files it has, and where in the tar they lie.

use std::collections::HashMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::blob::{Blob, open_regular};
use super::error::{ImageError, Result, shown};
use super::limits::Limits;
use super::tarball::{Entry, Kind, TarReader};

/// The table of contents of an uncompressed tar.
pub(super) struct Archive {
    path: PathBuf,
    files: HashMap<String, Place>,
}

enum Place {
    At { offset: u64, size: u64 },
    Link(String),
}

/// What a tar holds, told by the names in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A tar of an OCI image layout.
    OciLayout,
    /// What `docker save` writes.
    DockerSave,
    /// A root file system.
    RootFs,
}

/// An image in an archive has a few files per layer; a tar with more than this is a root file system.
const MOST_FILES: usize = 4096;

/// Where a root file system's tar shows what it is, so that it need not be read to its end.
const ROOT_FOLDERS: [&str; 20] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "nix", "opt", "proc", "root", "run",
    "sbin", "srv", "sys", "usr", "var",
];

impl Archive {
    /// Reads the names; stops as soon as it is clear that this is a root file system (`None`).
    pub fn read(path: &Path, limits: &Limits) -> Result<Option<Self>> {
        let mut tar = TarReader::new(BufReader::new(open_regular(path)?), limits);
        let mut files = HashMap::new();
        while let Some(entry) = tar.next_entry()? {
            let name = plain_name(&entry.path);
            let top = name.split('/').next().unwrap_or_default();
            if ROOT_FOLDERS.contains(&top) || files.len() >= MOST_FILES {
                return Ok(None);
            }
            if let Some(place) = place(&entry, &name, tar.position()) {
                files.insert(name, place);
            }
            tar.jump()?;
        }
        Ok(Some(Self { path: path.to_owned(), files }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An OCI layout is preferred where `docker save` wrote both, because its blobs have digests.
    pub fn holds(&self) -> Holds {
        let has = |name: &str| self.files.contains_key(name);
        match (has("oci-layout") && has("index.json"), has("manifest.json")) {
            (true, _) => Holds::OciLayout,
            (false, true) => Holds::DockerSave,
            (false, false) => Holds::RootFs,
        }
    }

    /// Where a file of the archive lies; a link is followed once, as `docker save` uses them for equal layers.
    pub fn find(&self, name: &str) -> Result<Option<Blob>> {
        let target = match self.files.get(name) {
            Some(Place::Link(target)) => self.files.get(target),
            found => found,
        };
        match target {
            Some(Place::At { offset, size }) => {
                Ok(Some(Blob { file: self.path.clone(), offset: *offset, size: *size }))
            }
            Some(Place::Link(_)) => Err(ImageError::BadTar(format!("{name:?} is a link to a link"))),
            None => Ok(None),
        }
    }
}

fn place(entry: &Entry, name: &str, offset: u64) -> Option<Place> {
    match entry.kind {
        Kind::File if entry.sparse.is_none() => Some(Place::At { offset, size: entry.size }),
        Kind::HardLink => Some(Place::Link(plain_name(&entry.link))),
        Kind::Symlink => {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            Some(Place::Link(plain_name(format!("{folder}/{}", shown(&entry.link)).as_bytes())))
        }
        _ => None,
    }
}

/// The name without `.` and `..` parts; it is only ever a key of the table.
fn plain_name(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_their_dots() {
        assert_eq!(plain_name(b"./a//b/../c/"), "a/c");
        assert_eq!(plain_name(b"../../x"), "x");
    }
}
