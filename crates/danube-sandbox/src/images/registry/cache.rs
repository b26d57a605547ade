//! What was downloaded, by digest, in the form of an OCI layout: `blobs/sha256/…`.
//!
//! Who uses or makes a blob holds a lock on `locks/…`: shared to use, exclusive to make or remove; the kernel drops it
//! when its holder dies. A blob is made as `partial/…` and gets its name when its content is what its digest promises;
//! what a crash leaves under the first name is where the next download goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::images::digest::Digest;
use crate::images::error::{ImageError, Result};

/// The environment variable that limits what is kept, in bytes.
pub const CACHE_SETTING: &str = "DANUBE_IMAGE_CACHE_BYTES";
/// So much is kept unless told otherwise.
const USUAL_LIMIT: u64 = 20 << 30;
/// The folder's name beside the unpacked images; these never begin with a dot.
const NAME: &str = ".registry";

/// How many bytes of downloads, and of unpacked images, are kept.
///
/// # Errors
/// When the setting is no number.
pub fn cache_limit() -> Result<u64> {
    match std::env::var(CACHE_SETTING) {
        Err(_) => Ok(USUAL_LIMIT),
        Ok(value) => value.parse().map_err(|_| ImageError::Setting { name: CACHE_SETTING, value }),
    }
}

/// The downloads.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

/// A blob that is there and stays there as long as this is held.
#[derive(Debug)]
pub struct Held {
    _lock: OwnedFd,
}

impl Cache {
    /// Opens the downloads beside the unpacked images of this folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(image_dir: &Path) -> Result<Self> {
        let cache = Self { dir: image_dir.join(NAME) };
        for dir in [cache.dir.join("blobs/sha256"), cache.dir.join("partial"), cache.dir.join("locks")] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.map_err(|source| failed("make", &dir, source))?;
        }
        Ok(cache)
    }

    /// The folder, which is an OCI layout without an index.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// The blob if it is there; it counts as used now.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn hold(&self, digest: &Digest) -> Result<Option<Held>> {
        let lock = self.lock(digest.hex(), FlockOperation::LockShared)?;
        match File::open(self.blob(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &self.blob(digest), error)),
            Ok(file) => {
                // Only the order of removal depends on it.
                let _ = file.set_modified(SystemTime::now());
                Ok(Some(Held { _lock: lock }))
            }
        }
    }

    /// The blob; downloaded now if it is not there. Of several callers one downloads and the others wait.
    ///
    /// # Errors
    /// When it cannot be downloaded, or is not what its digest promises.
    pub fn ensure(
        &self,
        digest: &Digest,
        waits: &dyn Fn(),
        download: &mut dyn FnMut(&mut Partial) -> Result<()>,
    ) -> Result<Held> {
        loop {
            if let Some(held) = self.hold(digest)? {
                return Ok(held);
            }
            match self.lock(digest.hex(), FlockOperation::NonBlockingLockExclusive) {
                Ok(_lock) if self.blob(digest).exists() => {}
                Ok(_lock) => self.make(digest, download)?,
                // Somebody downloads it, whom the next look waits for, or holds it already. To wait for the lock itself would
                // be to wait for whoever holds it, who may be waiting for what this process holds.
                Err(ImageError::InUse(_)) => {
                    waits();
                    drop(self.lock(digest.hex(), FlockOperation::LockShared)?);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The content of a small blob that is held.
    ///
    /// # Errors
    /// When it cannot be read, or is not what its digest promises.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob(digest);
        let bytes = fs::read(&path).map_err(|source| failed("read", &path, source))?;
        check(digest, &Digest::of(&bytes)).map(|()| bytes)
    }

    fn make(&self, digest: &Digest, download: &mut dyn FnMut(&mut Partial) -> Result<()>) -> Result<()> {
        let mut partial = Partial::open(self.dir.join("partial").join(digest.hex()))?;
        let resumed = partial.len > 0;
        download(&mut partial)?;
        let mut checked = check(digest, &partial.digest());
        if checked.is_err() {
            partial.restart()?;
            // What another process had left may be what was wrong.
            if resumed {
                download(&mut partial)?;
                checked = check(digest, &partial.digest());
            }
        }
        if let Err(error) = checked {
            // The name is the next download's; nothing of this one is to be in it.
            let _ = fs::remove_file(&partial.path);
            return Err(error);
        }
        partial.become_whole(&self.blob(digest))
    }

    /// Removes those of these blobs whose content is not what their digest promises. How many that were.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn remove_damaged(&self, digests: &[Digest]) -> Result<usize> {
        let mut removed = 0;
        for digest in digests {
            let _lock = self.lock(digest.hex(), FlockOperation::LockExclusive)?;
            let path = self.blob(digest);
            let Ok(mut file) = File::open(&path) else { continue };
            let mut hasher = Sha256::new();
            let whole = feed(&mut hasher, &mut file).is_ok();
            if !whole || Digest::finished(hasher) != *digest {
                fs::remove_file(&path).map_err(|source| failed("remove", &path, source))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes what was not used for longest, until no more than so many bytes are left; never what is held. The
    /// bytes that were removed.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn shrink(&self, limit: u64) -> Result<u64> {
        let mut all = self.files("blobs/sha256")?;
        all.extend(self.files("partial")?);
        all.sort_by_key(|file| file.used);
        let (mut total, mut removed) = (all.iter().map(|file| file.bytes).sum::<u64>(), 0);
        for file in all {
            if total <= limit {
                break;
            }
            if self.remove(&file)? {
                total -= file.bytes;
                removed += file.bytes;
            }
        }
        Ok(removed)
    }

    fn remove(&self, file: &Kept) -> Result<bool> {
        let Some(name) = file.path.file_name().and_then(|name| name.to_str()) else { return Ok(false) };
        let _lock = match self.lock(name, FlockOperation::NonBlockingLockExclusive) {
            Err(ImageError::InUse(_)) => return Ok(false),
            lock => lock?,
        };
        match fs::remove_file(&file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &file.path, error)),
            _ => Ok(true),
        }
    }

    fn files(&self, dir: &str) -> Result<Vec<Kept>> {
        let dir = self.dir.join(dir);
        let entries = fs::read_dir(&dir).map_err(|source| failed("list", &dir, source))?;
        let kept = |entry: fs::DirEntry| {
            let stat = entry.metadata().ok()?;
            Some(Kept { path: entry.path(), bytes: stat.len(), used: stat.modified().ok()? })
        };
        Ok(entries.flatten().filter_map(kept).collect())
    }

    fn lock(&self, name: &str, operation: FlockOperation) -> Result<OwnedFd> {
        let path = self.dir.join("locks").join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| failed("lock", &path, source))?;
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(file.into()),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Err(ImageError::InUse(name.to_owned())),
                Err(errno) => return Err(failed("lock", &path, errno.into())),
            }
        }
    }
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// A blob on its way here.
pub struct Partial {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
}

impl Partial {
    fn open(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        let mut file = file.map_err(|source| failed("open", &path, source))?;
        let mut hasher = Sha256::new();
        let len = feed(&mut hasher, &mut file).map_err(|source| failed("read", &path, source))?;
        Ok(Self { path, file, hasher, len })
    }

    /// Bytes that are there.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| failed("write", &self.path, source))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what is there.
    pub fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(|source| failed("empty", &self.path, source))?;
        (self.hasher, self.len) = (Sha256::new(), 0);
        Ok(())
    }

    fn digest(&self) -> Digest {
        Digest::finished(self.hasher.clone())
    }

    fn become_whole(self, blob: &Path) -> Result<()> {
        self.file.sync_all().map_err(|source| failed("write", &self.path, source))?;
        fs::rename(&self.path, blob).map_err(|source| failed("keep", blob, source))
    }
}

/// Feeds a file to a hasher. The bytes that were read.
fn feed(hasher: &mut Sha256, file: &mut File) -> io::Result<u64> {
    let (mut buffer, mut total) = (vec![0; 128 << 10], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(total),
            count => {
                hasher.update(&buffer[..count]);
                total += count as u64;
            }
        }
    }
}

fn check(expected: &Digest, found: &Digest) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(ImageError::WrongDigest { blob: expected.to_string(), found: found.to_string() })
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ImageError {
    ImageError::Store { action, path: path.to_owned(), source }
}
