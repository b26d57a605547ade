//! The folder of unpacked images: `KEY/rootfs` and `KEY/image.json`, each made once and then never changed.
//!
//! Whoever uses or makes an image holds a lock on `.lock-KEY`: shared to use, exclusive to make or remove. The
//! kernel drops it when its holder dies. An image is made as `.partial-KEY` and renamed when it is on the disk;
//! what a crash leaves under that name is swept by the next one who holds the lock.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::config::ImageConfig;
use super::digest::Digest;
use super::error::{ImageError, Result};
use super::limits::Limits;
use super::resolve::ResolvedImage;
use super::tree;
use super::unpack::{OpenImage, Ownership, Unpacked, unpack};

/// Who touches the files of an image: this process, or one inside the user namespace that owns them.
pub trait Hands {
    /// Unpacks the image into this empty directory, which belongs to the caller.
    fn unpack(&mut self, image: &ResolvedImage, root: BorrowedFd<'_>) -> Result<Unpacked>;
    /// Removes everything within this directory.
    fn clear(&mut self, root: BorrowedFd<'_>) -> Result<()>;
}

/// This process's own hands: it has the rights to write the files itself.
pub struct Here<P> {
    /// To whom the files shall belong.
    pub ownership: Ownership,
    /// What an image may ask for.
    pub limits: Limits,
    /// Told bytes read and bytes to read.
    pub progress: P,
}

impl<P: FnMut(u64, u64)> Hands for Here<P> {
    fn unpack(&mut self, image: &ResolvedImage, root: BorrowedFd<'_>) -> Result<Unpacked> {
        unpack(&OpenImage::open(image)?, root, self.ownership, &self.limits, &mut self.progress)
    }

    fn clear(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        clear(root)
    }
}

/// Removes everything within the root of an unpacked image, by descriptors, never through a link.
pub fn clear(root: BorrowedFd<'_>) -> Result<()> {
    tree::clear(root).map_err(|source| ImageError::Store { action: "clear", path: "rootfs".into(), source })
}

/// Names one unpacked image: its digest and to whom its files belong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageKey(String);

impl ImageKey {
    /// `first_id` is the id outside that root of the image has: the first one of the mapped range, or the caller's.
    #[must_use]
    pub fn new(digest: &Digest, ownership: Ownership, first_id: u32) -> Self {
        let scheme = match ownership {
            Ownership::Mapped => "mapped",
            Ownership::Single => "single",
        };
        Self(format!("sha256-{}-{scheme}-{first_id}", digest.hex()))
    }

    /// To whom the files belong, without the digest.
    fn owner(&self) -> &str {
        self.0.splitn(3, '-').nth(2).unwrap_or_default()
    }

    /// The key as the name of its folder.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An image in the store, which stays there as long as this is held.
#[derive(Debug)]
pub struct StoredImage {
    /// Its name in the store.
    pub key: ImageKey,
    /// The root file system.
    pub rootfs: OwnedFd,
    /// How its programs are run.
    pub config: ImageConfig,
    /// What was unpacked.
    pub unpacked: Unpacked,
    /// The shared lock. A process that outlives this one must hold a copy of it, or take it by [`ImageStore::get`].
    pub lock: OwnedFd,
}

/// One line about an image, for listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name in the store.
    pub key: ImageKey,
    /// About how many bytes of disk it takes.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
}

#[derive(Serialize, Deserialize)]
struct Record {
    digest: Digest,
    config: ImageConfig,
    unpacked: Unpacked,
}

const RECORD: &str = "image.json";
const ROOTFS: &str = "rootfs";
const NOW: fs::Timespec = fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW };
const PARTIAL: &str = ".partial-";
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder of unpacked images.
#[derive(Debug)]
pub struct ImageStore {
    path: PathBuf,
    dir: OwnedFd,
}

impl ImageStore {
    /// Opens the store, making its folder if there is none; nobody but its owner may look inside.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |source| ImageError::Store { action: "open", path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let dir = fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let dir = dir.map_err(|errno| failed(errno.into()))?;
        fs::fchmod(&dir, Mode::RWXU).map_err(|errno| failed(errno.into()))?;
        Ok(Self { path: path.to_owned(), dir })
    }

    /// The unpacked image, if it is there.
    pub fn get(&self, key: &ImageKey) -> Result<Option<StoredImage>> {
        let lock = self.lock(key, FlockOperation::LockShared)?;
        // Only the order of removal depends on it.
        let _ = fs::futimens(&lock, &fs::Timestamps { last_access: NOW, last_modification: NOW });
        self.read(key, lock)
    }

    /// The unpacked image; unpacked now if it is not there. Of several callers one unpacks and the others wait.
    pub fn ensure(&self, key: &ImageKey, image: &ResolvedImage, hands: &mut impl Hands) -> Result<StoredImage> {
        loop {
            if let Some(stored) = self.get(key)? {
                return Ok(stored);
            }
            match self.lock(key, FlockOperation::NonBlockingLockExclusive) {
                Ok(_lock) if self.has(key)? => {}
                Ok(_lock) => self.make(key, image, hands)?,
                // Somebody unpacks it, whom the next look waits for; or uses it already, perhaps for hours, and then it
                // is there. To wait for the lock itself would be to wait for the end of that use.
                Err(ImageError::InUse(_)) => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes an image that nobody uses. Says whether it was there.
    pub fn remove(&self, key: &ImageKey, hands: &mut impl Hands) -> Result<bool> {
        let lock = self.lock(key, FlockOperation::NonBlockingLockExclusive)?;
        self.discard_partial(key, hands)?;
        let partial = partial(key);
        match fs::renameat(&self.dir, key.as_str(), &self.dir, partial.as_str()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(self.failed("remove", key.as_str(), errno)),
        }
        self.discard_partial(key, hands)?;
        drop(lock);
        Ok(true)
    }

    /// Removes what crashed processes left. Says how many leftovers there were.
    pub fn sweep(&self, hands: &mut impl Hands) -> Result<usize> {
        let mut swept = 0;
        for name in self.names()? {
            let Some(key) = name.strip_prefix(PARTIAL) else { continue };
            let key = ImageKey(key.to_owned());
            match self.lock(&key, FlockOperation::NonBlockingLockExclusive) {
                Ok(_lock) => swept += usize::from(self.discard_partial(&key, hands)?),
                // Somebody is unpacking it at this moment.
                Err(ImageError::InUse(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(swept)
    }

    /// What is in the store, from its records alone: no tree is walked.
    pub fn list(&self) -> Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for name in self.names()?.into_iter().filter(|name| !name.starts_with('.')) {
            let key = ImageKey(name);
            if let Some(record) = self.record(&key)? {
                let Unpacked { bytes, entries, .. } = record.unpacked;
                kept.push(Kept { key, bytes, entries });
            }
        }
        kept.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(kept)
    }

    /// Removes what was not used for longest, until no more than so many bytes are left; never what is in use, nor what
    /// belongs to other ids than this key's image, which these hands may not touch. How many images that were.
    pub fn shrink(&self, limit: u64, like: &ImageKey, hands: &mut impl Hands) -> Result<usize> {
        let mut all = self.list()?;
        all.sort_by_cached_key(|kept| self.used(&kept.key));
        let (mut total, mut removed) = (all.iter().map(|kept| kept.bytes).sum::<u64>(), 0);
        for kept in all.iter().filter(|kept| kept.key.owner() == like.owner()) {
            if total <= limit {
                break;
            }
            match self.remove(&kept.key, hands) {
                Ok(_) => (total, removed) = (total - kept.bytes, removed + 1),
                Err(ImageError::InUse(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// When it was used last.
    fn used(&self, key: &ImageKey) -> Option<std::time::SystemTime> {
        self.path.join(lock_name(key)).metadata().ok()?.modified().ok()
    }

    fn make(&self, key: &ImageKey, image: &ResolvedImage, hands: &mut impl Hands) -> Result<()> {
        self.discard_partial(key, hands)?;
        let made = self.make_partial(key, image, hands).and_then(|()| {
            fs::renameat(&self.dir, partial(key), &self.dir, key.as_str())
                .and_then(|()| fs::fsync(&self.dir))
                .map_err(|errno| self.failed("keep", key.as_str(), errno))
        });
        if made.is_err() {
            // What went wrong first is what the user must hear; the next one sweeps what is left.
            let _ = self.discard_partial(key, hands);
        }
        made
    }

    fn make_partial(&self, key: &ImageKey, image: &ResolvedImage, hands: &mut impl Hands) -> Result<()> {
        let name = partial(key);
        let failed = |errno| self.failed("make", &name, errno);
        fs::mkdirat(&self.dir, name.as_str(), Mode::RWXU).map_err(failed)?;
        let folder = fs::openat(&self.dir, name.as_str(), DIRECTORY, Mode::empty()).map_err(failed)?;
        fs::mkdirat(&folder, ROOTFS, Mode::RWXU).map_err(failed)?;
        let rootfs = fs::openat(&folder, ROOTFS, DIRECTORY, Mode::empty()).map_err(failed)?;
        let unpacked = hands.unpack(image, rootfs.as_fd())?;
        let record = Record { digest: image.digest.clone(), config: image.config.clone(), unpacked };
        write_record(&folder, &record).map_err(|source| self.failed("write", RECORD, source))?;
        // One call for all files: to sync each of a hundred thousand takes minutes.
        fs::syncfs(&folder).map_err(failed)
    }

    /// Removes what is under the temporary name. The lock must be held exclusively.
    fn discard_partial(&self, key: &ImageKey, hands: &mut impl Hands) -> Result<bool> {
        let name = partial(key);
        let failed = |source: io::Error| self.failed("sweep", &name, source);
        let folder = match fs::openat(&self.dir, name.as_str(), DIRECTORY, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(failed(errno.into())),
        };
        match tree::open_directory(folder.as_fd(), ROOTFS.as_bytes()) {
            Ok(rootfs) => hands.clear(rootfs.as_fd())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        for (name, flags) in [(ROOTFS, AtFlags::REMOVEDIR), (RECORD, AtFlags::empty())] {
            match fs::unlinkat(&folder, name, flags) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        fs::unlinkat(&self.dir, name.as_str(), AtFlags::REMOVEDIR).map_err(|errno| failed(errno.into()))?;
        Ok(true)
    }

    fn lock(&self, key: &ImageKey, operation: FlockOperation) -> Result<OwnedFd> {
        let name = lock_name(key);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.dir, name.as_str(), flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| self.failed("lock", &name, errno))?;
        loop {
            match fs::flock(&file, operation) {
                Ok(()) => return Ok(file),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Err(ImageError::InUse(key.as_str().to_owned())),
                Err(errno) => return Err(self.failed("lock", &name, errno)),
            }
        }
    }

    fn has(&self, key: &ImageKey) -> Result<bool> {
        match fs::statat(&self.dir, key.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.failed("look for", key.as_str(), errno)),
        }
    }

    fn read(&self, key: &ImageKey, lock: OwnedFd) -> Result<Option<StoredImage>> {
        let Some(record) = self.record(key)? else { return Ok(None) };
        let path = format!("{}/{ROOTFS}", key.as_str());
        let rootfs = fs::openat(&self.dir, path.as_str(), DIRECTORY, Mode::empty())
            .map_err(|errno| self.failed("open", &path, errno))?;
        let Record { config, unpacked, .. } = record;
        Ok(Some(StoredImage { key: key.clone(), rootfs, config, unpacked, lock }))
    }

    fn record(&self, key: &ImageKey) -> Result<Option<Record>> {
        let path = format!("{}/{RECORD}", key.as_str());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match fs::openat(&self.dir, path.as_str(), flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("read", &path, errno)),
        };
        let mut bytes = Vec::new();
        File::from(file).read_to_end(&mut bytes).map_err(|source| self.failed("read", &path, source))?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Some).map_err(|error| self.failed("read", &path, io::Error::other(error)))
    }

    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let listed = tree::for_each(self.dir.as_fd(), |name, kind| {
            if kind == FileType::Directory {
                names.push(String::from_utf8_lossy(name).into_owned());
            }
            Ok(true)
        });
        listed.map(|()| names).map_err(|source| self.failed("list", "", source))
    }

    fn failed(&self, action: &'static str, name: &str, source: impl Into<io::Error>) -> ImageError {
        ImageError::Store { action, path: self.path.join(name), source: source.into() }
    }
}

fn lock_name(key: &ImageKey) -> String {
    format!(".lock-{}", key.as_str())
}

fn partial(key: &ImageKey) -> String {
    format!("{PARTIAL}{}", key.as_str())
}

fn write_record(folder: &OwnedFd, record: &Record) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(folder, RECORD, flags, Mode::RUSR | Mode::WUSR)?;
    File::from(file).write_all(&serde_json::to_vec_pretty(record)?)
}
