//! A folder to unpack into, with something precious beside it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use danube_core::runtime::ImageSource;
use danube_sandbox::images::{Limits, OpenImage, Ownership, Result, Unpacked, resolve, unpack};
use tempfile::TempDir;

use crate::builder::Layout;

pub struct World {
    pub base: TempDir,
    pub limits: Limits,
    pub ownership: Ownership,
    before: BTreeMap<PathBuf, String>,
}

impl World {
    pub fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        for dir in ["outside/deep", "root", "image"] {
            fs::create_dir_all(base.path().join(dir)).unwrap();
        }
        fs::write(base.path().join("outside/precious"), "untouched").unwrap();
        fs::write(base.path().join("outside/deep/too"), "untouched").unwrap();
        let before = snapshot(&base.path().join("outside"));
        Self { base, limits: Limits::default(), ownership: Ownership::Single, before }
    }

    pub fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    pub fn image(&self) -> PathBuf {
        self.base.path().join("image")
    }

    /// The path outside that attackers aim at.
    pub fn outside(&self) -> String {
        self.base.path().join("outside").to_str().unwrap().to_owned()
    }

    pub fn unpack(&self, layers: Vec<Vec<u8>>) -> Result<Unpacked> {
        self.unpack_from(&Layout::of(&self.image(), layers).source())
    }

    /// Unpacks, and sees to it that nothing else changed, whatever came of it.
    pub fn unpack_from(&self, source: &ImageSource) -> Result<Unpacked> {
        let image = resolve(source, &self.limits)?;
        let root = File::open(self.root()).unwrap();
        let open = OpenImage::open(&image)?;
        let result = unpack(&open, root.as_fd(), self.ownership, &self.limits, &mut |_, _| {});
        assert_eq!(snapshot(&self.base.path().join("outside")), self.before, "something outside was touched");
        let beside: Vec<_> = fs::read_dir(self.base.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(beside.len(), 3, "something was made beside the root: {beside:?}");
        result
    }

    /// The words of the error that this image is refused with.
    pub fn refusal(&self, layers: Vec<Vec<u8>>) -> String {
        self.unpack(layers).expect_err("the image must be refused").to_string()
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn stat(&self, path: &str) -> fs::Metadata {
        self.root().join(path).symlink_metadata().unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// All paths beneath the root, sorted.
    pub fn names(&self) -> Vec<String> {
        let root = self.root();
        let relative = |path: PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        snapshot(&root).into_keys().map(relative).filter(|name| !name.is_empty()).collect()
    }
}

/// Everything that can be seen of a tree: kind, mode, owner, times, content.
pub fn snapshot(path: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    look(path, &mut seen);
    seen
}

fn look(path: &Path, seen: &mut BTreeMap<PathBuf, String>) {
    let stat = path.symlink_metadata().unwrap();
    let content = match stat.file_type() {
        kind if kind.is_file() => {
            format!("{:?}", fs::read(path).map(|bytes| danube_sandbox::images::Digest::of(&bytes)))
        }
        kind if kind.is_symlink() => format!("{:?}", fs::read_link(path).unwrap()),
        kind => format!("{kind:?}"),
    };
    let facts = (stat.mode(), stat.uid(), stat.gid(), stat.nlink(), stat.mtime(), stat.mtime_nsec());
    seen.insert(path.to_owned(), format!("{facts:?} {content}"));
    if stat.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            look(&entry.unwrap().path(), seen);
        }
    }
}
