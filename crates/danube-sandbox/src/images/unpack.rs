//! Unpacks the layers of an image over one another into an empty directory.
//!
//! This is one plain, synchronous function, so that it can run in a process of its own inside the user namespace
//! whose ids the files shall have. Each layer but the lowest is read twice: first its whiteouts are applied to what
//! the layers below made, then its own entries are written. So a whiteout can never hide a file of its own layer,
//! in whatever order they stand.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, Mode};
use serde::{Deserialize, Serialize};

use super::blob::{Layer, LayerReader, open_regular};
use super::directories::Directories;
use super::error::{ImageError, Result};
use super::limits::{ENTRIES_SETTING, Limits};
use super::path::{EntryPath, Whiteout};
use super::resolve::ResolvedImage;
use super::tarball::{Entry, TarReader};
use super::tree::{self, Tree, Walk, WalkError};
use super::write::Writer;

/// To whom the unpacked files belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// To the ids that the image says, 0 to 65535. The caller is root of a user namespace that maps these.
    Mapped,
    /// All to the caller, who has no other id. Set-user-id and set-group-id bits of files are dropped: they
    /// would give away the caller's own id.
    Single,
}

/// What was unpacked, and what was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Entries of all layers.
    pub entries: u64,
    /// Bytes of all layers after decompression.
    pub bytes: u64,
    /// Devices, FIFOs and sockets, which are never made: a container gets its own `/dev`.
    pub skipped: u64,
}

/// An image whose layers are open, so that they can be read after the process has given up its rights.
pub struct OpenImage {
    layers: Vec<(Layer, File)>,
}

impl OpenImage {
    /// Opens every layer.
    pub fn open(image: &ResolvedImage) -> Result<Self> {
        let open = |layer: &Layer| Ok((layer.clone(), open_regular(&layer.blob.file)?));
        Ok(Self { layers: image.layers.iter().map(open).collect::<Result<_>>()? })
    }

    /// Bytes that will be read from blobs: the total that progress is told against.
    fn work(&self) -> u64 {
        let size = |(layer, _): &(Layer, File)| layer.blob.size;
        self.layers.iter().map(size).sum::<u64>() + self.layers.iter().skip(1).map(size).sum::<u64>()
    }
}

/// Unpacks into `root`, an empty directory. `progress` is told bytes read and bytes to read, now and then.
///
/// On an error the directory holds a part of the image and must be cleared. With [`Ownership::Mapped`] the
/// directory must belong to the caller's namespace.
pub fn unpack(
    image: &OpenImage,
    root: BorrowedFd<'_>,
    ownership: Ownership,
    limits: &Limits,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Unpacked> {
    let mut unpacking = Unpacking {
        image,
        tree: Tree { root, depth: limits.depth },
        limits,
        progress: Progress { tell: progress, done: 0, told: 0, total: image.work() },
        directories: Directories::default(),
        unpacked: Unpacked::default(),
    };
    unpacking.begin(ownership)?;
    for (at, (layer, _)) in image.layers.iter().enumerate() {
        let digest = layer.digest.to_string();
        if at > 0 {
            unpacking.whiteouts(at).map_err(|error| error.in_layer(&digest))?;
        }
        unpacking.entries(at, ownership).map_err(|error| error.in_layer(&digest))?;
    }
    unpacking.directories.finish(root).map_err(|source| write_error(b"/", source))?;
    unpacking.progress.end();
    Ok(unpacking.unpacked)
}

struct Unpacking<'a> {
    image: &'a OpenImage,
    tree: Tree<'a>,
    limits: &'a Limits,
    progress: Progress<'a>,
    directories: Directories,
    unpacked: Unpacked,
}

impl Unpacking<'_> {
    /// The root itself, for images that have no entry for it.
    fn begin(&mut self, ownership: Ownership) -> Result<()> {
        let failed = |errno: rustix::io::Errno| write_error(b"/", errno.into());
        if ownership == Ownership::Mapped {
            let root = Some(rustix::fs::Uid::ROOT);
            fs::fchown(self.tree.root, root, Some(rustix::fs::Gid::ROOT)).map_err(failed)?;
        }
        fs::fchmod(self.tree.root, Mode::from_raw_mode(0o755)).map_err(failed)
    }

    fn reader(&self, at: usize) -> Result<LayerReader> {
        let (layer, file) = &self.image.layers[at];
        let file = file.try_clone().map_err(|source| ImageError::Read { path: layer.blob.file.clone(), source })?;
        LayerReader::new(layer, file, self.limits, self.unpacked.bytes)
    }

    /// Takes away what this layer hides of the layers below.
    fn whiteouts(&mut self, at: usize) -> Result<()> {
        let mut reader = self.reader(at)?;
        let tree = self.tree;
        let result = self.each_entry(&mut reader, |limits, entry, _| {
            let path = EntryPath::parse(&entry.path, limits)?;
            hide(&tree, &path, Whiteout::of(&path)?, &entry.path)
        });
        verified(reader, result)?;
        self.progress.layer_read(self.image.layers[at].0.blob.size);
        Ok(())
    }

    /// Writes what this layer has.
    fn entries(&mut self, at: usize, ownership: Ownership) -> Result<()> {
        let mut reader = self.reader(at)?;
        let mut directories = std::mem::take(&mut self.directories);
        let mut writer = Writer::new(self.tree, ownership, &mut directories);
        let (mut entries, mut skipped, before) = (0, 0, self.unpacked.entries);
        let result = self.each_entry(&mut reader, |limits, entry, data| {
            entries += 1;
            if before + entries > limits.entries {
                let limit = limits.entries;
                return Err(ImageError::Limit { what: "files and directories", limit, setting: ENTRIES_SETTING });
            }
            let path = EntryPath::parse(&entry.path, limits)?;
            if Whiteout::of(&path)? == Whiteout::No {
                skipped += u64::from(!writer.write(entry, &path, limits, data)?);
            }
            Ok(())
        });
        self.unpacked.bytes += verified(reader, result)?;
        self.unpacked.entries += entries;
        self.unpacked.skipped += skipped;
        self.directories = directories;
        self.progress.layer_read(self.image.layers[at].0.blob.size);
        Ok(())
    }

    fn each_entry(
        &mut self,
        reader: &mut LayerReader,
        mut visit: impl FnMut(&Limits, &Entry, &mut dyn std::io::Read) -> Result<()>,
    ) -> Result<()> {
        let mut tar = TarReader::new(reader, self.limits);
        while let Some(entry) = tar.next_entry()? {
            visit(self.limits, &entry, &mut tar)?;
            self.progress.within_layer(tar.inner().consumed());
        }
        Ok(())
    }
}

/// Checks the digest at the end. A layer that does not read as a tar because it was damaged is called damaged.
fn verified(reader: LayerReader, result: Result<()>) -> Result<u64> {
    match result {
        Ok(()) => reader.finish(),
        Err(error @ ImageError::BadTar(_)) => Err(reader.damage().unwrap_or(error)),
        Err(error) => Err(error),
    }
}

/// A whiteout applies to the very directory that it names: it is never carried through a link.
fn hide(tree: &Tree<'_>, path: &EntryPath<'_>, whiteout: Whiteout<'_>, entry: &[u8]) -> Result<()> {
    let (Whiteout::Of(_) | Whiteout::Opaque, Some((_, above))) = (whiteout, path.split()) else { return Ok(()) };
    let arrival = match tree.walk(above, Walk::Strict, |_| Ok(())) {
        Ok(arrival) => arrival,
        Err(WalkError::Nowhere(_)) => return Ok(()),
        Err(error) => return Err(walk_error(entry, error)),
    };
    let directory = arrival.directory(tree);
    let hidden = match whiteout {
        Whiteout::Of(name) => tree::remove(directory, name).map(drop),
        _ => tree::open_directory(directory, b".").and_then(|open| tree::clear(open.as_fd())),
    };
    hidden.map_err(|source| write_error(entry, source))
}

pub(super) fn walk_error(entry: &[u8], error: WalkError) -> ImageError {
    match error {
        WalkError::Nowhere(why) => super::path::refuse(entry, why),
        WalkError::TooDeep => super::path::refuse(entry, "links lead to it through too many directories"),
        WalkError::Io(source) => write_error(entry, source),
    }
}

pub(super) fn write_error(entry: &[u8], source: std::io::Error) -> ImageError {
    ImageError::Write { entry: super::error::shown(entry), source }
}

/// Tells how far the work is, at most once per megabyte.
struct Progress<'a> {
    tell: &'a mut dyn FnMut(u64, u64),
    done: u64,
    told: u64,
    total: u64,
}

impl Progress<'_> {
    const STEP: u64 = 1 << 20;

    fn within_layer(&mut self, consumed: u64) {
        let now = self.done + consumed;
        if now >= self.told + Self::STEP {
            self.told = now;
            (self.tell)(now, self.total);
        }
    }

    fn layer_read(&mut self, size: u64) {
        self.done += size;
        self.within_layer(0);
    }

    fn end(&mut self) {
        (self.tell)(self.total, self.total);
    }
}
