//! Copying a list of files in parallel.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{Request, SnapshotError};

/// Is told (files done, files in all, bytes done), from several threads.
pub type Progress<'a> = &'a (dyn Fn(u64, u64, u64) + Sync);

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Copied {
    pub files: u64,
    pub bytes: u64,
}

/// More threads than this only fight over the disk.
const THREADS: usize = 8;

/// Copies `files` (relative to the request's folder) to the workspace, and modules to the source as well.
pub fn copy(request: &Request<'_>, files: &[PathBuf], progress: Progress<'_>) -> Result<Copied, SnapshotError> {
    run(files, progress, |path| {
        let bytes = copy_one(&request.dir.join(path), &request.workspace.join(path))?;
        copy_module(request, path)?;
        Ok(bytes)
    })
}

/// Copies only the modules to the source: the workspace is filled already.
pub fn copy_sources(request: &Request<'_>, files: &[PathBuf], progress: Progress<'_>) -> Result<Copied, SnapshotError> {
    run(files, progress, |path| {
        copy_module(request, path)?;
        Ok(fs::symlink_metadata(request.dir.join(path)).map_or(0, |meta| meta.len()))
    })
}

/// The danubefile can import the repository's modules; data it reads from `/workspace`.
fn copy_module(request: &Request<'_>, path: &Path) -> Result<(), SnapshotError> {
    if path.extension().is_some_and(|extension| extension == "py") {
        let from = request.dir.join(path);
        if fs::symlink_metadata(&from).is_ok_and(|meta| meta.is_file()) {
            copy_one(&from, &request.source.join(path))?;
        }
    }
    Ok(())
}

fn run<F>(files: &[PathBuf], progress: Progress<'_>, one: F) -> Result<Copied, SnapshotError>
where
    F: Fn(&Path) -> Result<u64, SnapshotError> + Sync,
{
    let (next, done, bytes) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Option<SnapshotError>> = Mutex::new(None);
    let work = || {
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            match one(path) {
                Ok(size) => {
                    let bytes = bytes.fetch_add(size, Ordering::Relaxed) + size;
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1, files.len() as u64, bytes);
                }
                Err(error) => {
                    next.store(files.len(), Ordering::Relaxed);
                    return remember(&failed, error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, THREADS);
        (1..threads.min(files.len())).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    match failed.into_inner().unwrap_or(None) {
        Some(error) => Err(error),
        None => Ok(Copied { files: done.into_inner(), bytes: bytes.into_inner() }),
    }
}

fn remember(failed: &Mutex<Option<SnapshotError>>, error: SnapshotError) {
    if let Ok(mut failed) = failed.lock() {
        failed.get_or_insert(error);
    }
}

/// Copies a file with its mode, or a link as it stands. What vanished meanwhile, and what is neither (a socket), is
/// passed over. Gives the bytes copied.
fn copy_one(from: &Path, to: &Path) -> Result<u64, SnapshotError> {
    let failed = |source| SnapshotError::Copy { path: from.to_owned(), source };
    let meta = match fs::symlink_metadata(from) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(error)),
    };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    if meta.is_symlink() {
        let target = fs::read_link(from).map_err(failed)?;
        symlink(target, to).map_err(failed)?;
        return Ok(0);
    }
    if !meta.is_file() {
        return Ok(0);
    }
    let bytes = fs::copy(from, to).map_err(failed)?;
    keep_attributes(&meta, to).map_err(failed)?;
    Ok(bytes)
}

/// The group may do what the owner may, since several images share the workspace; times stay, for `make`.
fn keep_attributes(meta: &fs::Metadata, to: &Path) -> std::io::Result<()> {
    let mode = meta.mode() & 0o777;
    let shared = mode | ((mode & 0o600) >> 3) | 0o600;
    fs::set_permissions(to, fs::Permissions::from_mode(shared))?;
    let times = fs::FileTimes::new().set_modified(meta.modified()?);
    fs::File::open(to)?.set_times(times)
}

/// Every file and link below a folder, relative to it, except Git's own folder.
pub fn walk(dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let mut files = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(folder) = pending.pop() {
        let here = dir.join(&folder);
        let failed = |source| SnapshotError::Copy { path: here.clone(), source };
        for entry in fs::read_dir(&here).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = folder.join(entry.file_name());
            match entry.file_type().map_err(failed)? {
                kind if kind.is_dir() && path == Path::new(".git") => {}
                kind if kind.is_dir() => pending.push(path),
                _ => files.push(path),
            }
        }
    }
    Ok(files)
}
