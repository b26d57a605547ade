//! One file, whole or not at all: it grows beside its place, goes on where a broken connection left it, and gets its name
//! only when its hash is right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::StatusCode;

use super::api::Artifact;
use super::error::CallError;
use super::http::{Http, Wanted};
use crate::error::CliError;
use crate::view::harmless;

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;
/// Waits between tries that brought nothing. After the last one it is given up; the next call goes on.
const PAUSES_MS: [u64; 5] = [0, 200, 1000, 2000, 4000];
/// Figures of the hash in the name of an unfinished file: another content is another file.
const HASH: usize = 16;

/// What is there of a file.
struct Part {
    path: PathBuf,
    file: File,
    size: u64,
    hash: Sha256,
}

/// Why a try ended.
enum Broken {
    Call(CallError),
    Disk(io::Error),
}

/// Downloads an artifact to this place.
pub fn download(http: &Http, path: &str, artifact: &Artifact, target: &Path) -> Result<(), CliError> {
    let disk = |error: io::Error| {
        CliError::infra(format!("{}: {error}", target.display())).hint("check its folder and the free space")
    };
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(disk)?;
    }
    let mut part = Part::open(artifact, target).map_err(disk)?;
    let mut fails = 0;
    while part.size < artifact.size {
        let before = part.size;
        let error = match part.go_on(http, path, artifact.size) {
            Ok(()) => continue,
            Err(Broken::Disk(error)) => return Err(disk(error)),
            Err(Broken::Call(error)) => error,
        };
        fails = if part.size > before { 0 } else { fails + 1 };
        let pause = PAUSES_MS.get(fails).filter(|_| error.may_pass()).ok_or(error)?;
        thread::sleep(Duration::from_millis(*pause));
    }
    part.finish(artifact, target, disk)
}

impl Part {
    /// What an earlier try left is hashed and kept.
    fn open(artifact: &Artifact, target: &Path) -> io::Result<Self> {
        let hash: String = artifact.sha256.chars().filter(char::is_ascii_hexdigit).take(HASH).collect();
        let name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy();
        let path = target.with_file_name(format!(".{name}.{hash}.part"));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut part = Self { path, size: 0, hash: Sha256::new(), file: file.try_clone()? };
        let mut block = vec![0; BLOCK];
        loop {
            match file.read(&mut block)? {
                0 => break,
                read => part.note(&block[..read]),
            }
        }
        // More than all of it: somebody else wrote there.
        if part.size > artifact.size {
            part.restart()?;
        }
        Ok(part)
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.size, self.hash) = (0, Sha256::new());
        Ok(())
    }

    /// One connection.
    fn go_on(&mut self, http: &Http, path: &str, size: u64) -> Result<(), Broken> {
        let answer = http.open(path, &Wanted { from: self.size, ..Wanted::default() }).map_err(Broken::Call)?;
        if answer.status() != StatusCode::PARTIAL_CONTENT && self.size > 0 {
            self.restart().map_err(Broken::Disk)?;
        }
        let mut body = answer.into_body().into_reader();
        let mut block = vec![0; BLOCK];
        while self.size < size {
            let read = body.read(&mut block).map_err(|error| Broken::Call(CallError::broke_off(http.url(), &error)))?;
            if read == 0 {
                let early = io::Error::new(io::ErrorKind::UnexpectedEof, "the file broke off");
                return Err(Broken::Call(CallError::broke_off(http.url(), &early)));
            }
            let left = usize::try_from(size - self.size).unwrap_or(usize::MAX);
            let bytes = &block[..read.min(left)];
            self.file.write_all(bytes).map_err(Broken::Disk)?;
            self.note(bytes);
        }
        Ok(())
    }

    fn finish(self, artifact: &Artifact, target: &Path, disk: impl Fn(io::Error) -> CliError) -> Result<(), CliError> {
        if hex::encode(self.hash.finalize()) != artifact.sha256.to_ascii_lowercase() {
            fs::remove_file(&self.path).map_err(&disk)?;
            let error = CliError::infra(format!(
                "{} arrived with another SHA-256 than the server recorded, and was removed",
                harmless(&artifact.name)
            ));
            return Err(
                error.hint("try again; if it stays so, the server's disk or something on the way changes files")
            );
        }
        self.file.sync_all().and_then(|()| fs::rename(&self.path, target)).map_err(disk)
    }
}
