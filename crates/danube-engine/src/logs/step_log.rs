//! The one writer of a step's log. Output goes through the masker into the files at once, so readers see it; a commit
//! syncs the files, then writes how far they hold into the step's row; only then is the shim told that it may forget.
//!
//! What the masker holds back is not committed: the row's offset is before it, and so is the hash's state. So a log
//! that is opened again truncates to the row, asks for output from the row's offset on, and goes on with the same
//! bytes as if it had never stopped.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use danube_core::mask::{MaskSet, Masker};
use danube_store::steps::{self, LogCommit, StepKey};
use danube_store::{Durability, Store};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::index::{DANUBE, HEADER, Record};
use super::reader::End;
use super::{LogDir, LogError, LogReader, LogTail, failure};

/// A step's log, open for writing.
#[derive(Debug)]
pub struct StepLog {
    dir: LogDir,
    key: StepKey,
    store: Store,
    raw: Output,
    idx: Output,
    masker: Masker,
    /// Over what the masker has given out, before masking.
    hash: Sha256,
    /// The offset of the step's output that is expected next.
    received: u64,
    /// The hash of all output, when the log was sealed before it was opened.
    sealed: Option<[u8; 32]>,
    committed: u64,
    end: End,
    /// Stream and time of the last chunk.
    last: (u8, u64),
    written: watch::Sender<u64>,
}

/// A file that only grows, and what is still to be written to it.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: Arc<File>,
    len: u64,
    unwritten: Vec<u8>,
}

impl LogDir {
    /// Opens a step's log for writing where its row says that it is durable, and makes it if there is none. The step's
    /// output is expected from [`StepLog::received`] on.
    pub async fn open(&self, store: &Store, key: &StepKey, masks: &MaskSet) -> Result<StepLog, LogError> {
        let row = steps::log_commit(store.read(), key).await?.ok_or(LogError::NoRow(key.number))?;
        let (dir, step, durability) = (self.clone(), key.clone(), store.durability());
        let files = tokio::task::spawn_blocking(move || dir.files(&step, &row, durability).map(|files| (files, row)));
        let ((raw, idx, end), row) =
            files.await.map_err(|died| LogError::Damaged { path: self.path(key, "raw"), what: died.to_string() })??;
        Ok(StepLog {
            dir: self.clone(),
            key: key.clone(),
            store: store.clone(),
            hash: hash_of(&row.hash_state).ok_or_else(|| raw.damaged("the row's hash cannot be read"))?,
            written: watch::channel(raw.len).0,
            raw,
            idx,
            masker: masks.masker(),
            received: row.consumed,
            sealed: None,
            committed: row.consumed,
            end,
            last: (DANUBE, 0),
        })
    }

    /// Both files, cut to what the row says, and what is known of the log up to there.
    fn files(&self, key: &StepKey, row: &LogCommit, durability: Durability) -> Result<(Output, Output, End), LogError> {
        let folder = self.folder(key);
        std::fs::create_dir_all(&folder).map_err(LogError::io("make", &folder))?;
        let raw = Output::open(self.path(key, "raw"), row.raw_len)?;
        let mut idx = Output::open(self.path(key, "idx"), row.idx_len)?;
        if idx.len == 0 {
            idx.unwritten.extend_from_slice(&HEADER);
            idx.flush()?;
            if durability == Durability::PowerCut {
                sync_folders(&folder, &self.root)?;
            }
        }
        let end = LogReader::open(raw.path.clone(), idx.path.clone())?.end()?;
        Ok((raw, idx, end))
    }
}

/// A file's name is durable when its folder is, and the folder's name when its parent is. That of `root` counts too.
fn sync_folders(folder: &Path, root: &Path) -> Result<(), LogError> {
    let top = root.parent().unwrap_or(root);
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(top)) {
        File::open(folder).and_then(|file| file.sync_all()).map_err(LogError::io("sync", folder))?;
    }
    Ok(())
}

fn hash_of(state: &[u8]) -> Option<Sha256> {
    if state.is_empty() {
        return Some(Sha256::new());
    }
    let state = SerializedState::<Sha256>::try_from(state).ok()?;
    Sha256::deserialize(&state).ok()
}

impl StepLog {
    /// The offset at which the next chunk must begin; attach here.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes received that the last commit does not cover.
    #[must_use]
    pub fn uncommitted(&self) -> u64 {
        self.received - self.committed
    }

    /// For those who look at it live.
    #[must_use]
    pub fn tail(&self) -> LogTail {
        LogTail::new(self.dir.clone(), self.key.clone(), self.written.subscribe())
    }

    /// From here on also hides the secrets of `set`, which holds all of the job's.
    pub fn adopt(&mut self, set: &MaskSet) {
        self.masker.adopt(set);
    }

    /// Takes the chunk that begins at [`received`](Self::received).
    ///
    /// When the disk is full the chunk is taken all the same and waits in memory: do not append it again, take no
    /// more, and [`commit`](Self::commit) until that succeeds.
    pub fn append(&mut self, stream: u8, at_ms: u64, bytes: &[u8]) -> Result<(), LogError> {
        if stream != self.last.0 {
            self.give_out_held();
        }
        self.last = (stream, at_ms);
        self.received += bytes.len() as u64;
        if self.masker.is_transparent() {
            self.hash.update(bytes);
            self.record(bytes, false);
            self.raw.unwritten.extend_from_slice(bytes);
        } else {
            let mut out = Vec::with_capacity(bytes.len() + 64);
            let (held, hidden) = (self.masker.held().to_vec(), self.masker.hidden());
            self.masker.push(bytes, &mut out);
            let given_out = held.len() + bytes.len() - self.masker.pending();
            self.hash.update(&held[..given_out.min(held.len())]);
            self.hash.update(&bytes[..given_out.saturating_sub(held.len())]);
            self.record(&out, self.masker.hidden() > hidden);
            self.raw.unwritten.append(&mut out);
        }
        self.flush()
    }

    /// Makes everything received durable, except what may be the beginning of a secret, and says up to which offset
    /// the shim may forget.
    pub async fn commit(&mut self) -> Result<u64, LogError> {
        let commit = self.sync().await?;
        let (key, consumed) = (self.key.clone(), commit.consumed);
        self.store.write(move |tx| Box::pin(async move { steps::commit_log(tx, &key, &commit).await })).await?;
        self.committed = consumed;
        Ok(consumed)
    }

    /// Ends the output, and compares what was received with the shim's record of what it sent.
    pub fn check_end(&mut self, bytes: u64, sha256: &[u8]) -> Result<(), LogError> {
        self.give_out_held();
        let received = self.sha256();
        if self.received == bytes && received[..] == *sha256 {
            return Ok(());
        }
        Err(LogError::Differs { received: words(self.received, &received), said: words(bytes, sha256) })
    }

    /// Notes in the log that output is missing from here on; `about` how many bytes, where that is known.
    pub fn mark_gap(&mut self, at_ms: u64, about: Option<u64>) -> Result<(), LogError> {
        self.give_out_held();
        self.last = (DANUBE, at_ms);
        let amount = about.map_or("an unknown number of".to_owned(), |bytes| format!("about {bytes}"));
        let line_end = if self.ends_a_line()? { "" } else { "\n" };
        let words = format!("{line_end}[danube] {amount} bytes of output were not received\n");
        self.record(words.as_bytes(), false);
        self.raw.unwritten.extend_from_slice(words.as_bytes());
        self.flush()
    }

    /// Makes the whole log durable and gives the last commit, to be written in one transaction with the step's end.
    pub async fn seal(&mut self) -> Result<LogCommit, LogError> {
        self.give_out_held();
        // There is nothing more to hash, and the state of a hash holds the last bytes as they were: unmasked.
        Ok(LogCommit { hash_state: Vec::new(), ..self.sync().await? })
    }

    /// SHA-256 of the unmasked output given out so far: of all of it, after [`check_end`](Self::check_end).
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sealed.unwrap_or_else(|| self.hash.clone().finalize().into())
    }

    /// Says with which hash it was sealed: a sealed log keeps no state to go on hashing from.
    pub fn was_sealed(&mut self, sha256: [u8; 32]) {
        self.sealed = Some(sha256);
    }

    /// A secret is not looked for across two streams, and not beyond the end.
    fn give_out_held(&mut self) {
        self.hash.update(self.masker.held());
        let (mut out, hidden) = (Vec::new(), self.masker.hidden());
        self.masker.finish(&mut out);
        self.record(&out, self.masker.hidden() > hidden);
        self.raw.unwritten.append(&mut out);
    }

    /// Adds the index record of `text`, which goes to the end of the file next.
    fn record(&mut self, text: &[u8], masked: bool) {
        if text.is_empty() {
            return;
        }
        let offset = self.raw.len + self.raw.unwritten.len() as u64;
        let record = Record {
            offset,
            lines: self.end.lines,
            at_ms: self.last.1,
            stream: self.last.0,
            masked,
            failure: failure::may_be_in(&self.end.tail, text),
            style: self.end.tracker.style(),
            held: u16::try_from(self.end.tracker.held()).unwrap_or(0),
        };
        self.idx.unwritten.extend_from_slice(&record.to_bytes());
        self.end.add(text);
    }

    fn ends_a_line(&mut self) -> Result<bool, LogError> {
        self.flush()?;
        let mut last = [b'\n'];
        if self.raw.len > 0 {
            let read = self.raw.file.read_exact_at(&mut last, self.raw.len - 1);
            read.map_err(LogError::io("read", &self.raw.path))?;
        }
        Ok(last == *b"\n")
    }

    /// The bytes first, then the records that tell of them.
    fn flush(&mut self) -> Result<(), LogError> {
        let flushed = self.raw.flush().and_then(|()| self.idx.flush());
        self.written.send_if_modified(|written| std::mem::replace(written, self.raw.len) != self.raw.len);
        flushed
    }

    async fn sync(&mut self) -> Result<LogCommit, LogError> {
        self.flush()?;
        if self.store.durability() == Durability::PowerCut {
            self.sync_files().await?;
        }
        Ok(LogCommit {
            consumed: self.received - self.masker.pending() as u64,
            raw_len: self.raw.len,
            idx_len: self.idx.len,
            hash_state: self.hash.serialize().to_vec(),
        })
    }

    async fn sync_files(&self) -> Result<(), LogError> {
        let files = [&self.raw, &self.idx].map(|output| (output.file.clone(), output.path.clone()));
        let synced = tokio::task::spawn_blocking(move || {
            files.into_iter().try_for_each(|(file, path)| file.sync_data().map_err(LogError::io("sync", &path)))
        });
        synced.await.map_err(|died| self.raw.damaged(&died.to_string()))?
    }
}

fn words(bytes: u64, sha256: &[u8]) -> String {
    let hash: String = sha256.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
    format!("{bytes} bytes with SHA-256 {hash}")
}

impl Output {
    /// Opens the file and cuts off what is beyond `len`: it was never committed.
    fn open(path: PathBuf, len: u64) -> Result<Self, LogError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(LogError::io("open", &path))?;
        let found = file.metadata().map_err(LogError::io("read", &path))?.len();
        let output = Self { path, file: Arc::new(file), len, unwritten: Vec::new() };
        if found < len {
            return Err(output.damaged(&format!("it has {found} bytes, {len} were made durable")));
        }
        output.file.set_len(len).map_err(LogError::io("cut", &output.path))?;
        Ok(output)
    }

    /// Writes at the known end, so that a write that failed half way is simply made again.
    fn flush(&mut self) -> Result<(), LogError> {
        self.file.write_all_at(&self.unwritten, self.len).map_err(LogError::io("write", &self.path))?;
        self.len += self.unwritten.len() as u64;
        self.unwritten.clear();
        Ok(())
    }

    fn damaged(&self, what: &str) -> LogError {
        LogError::Damaged { path: self.path.clone(), what: what.to_owned() }
    }
}
