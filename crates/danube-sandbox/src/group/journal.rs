//! The group's events, appended by the monitor and replayed by every watcher.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use danube_core::runtime::GroupEvent;

use super::folder::GroupFolder;
use crate::error::{Doing, SandboxError};

/// The writing end, in the monitor.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// Opens a group's journal.
    pub fn open(folder: &GroupFolder) -> Result<Self, SandboxError> {
        let path = folder.events();
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        file.map(Self).doing(|| format!("open {}", path.display()))
    }

    /// Appends one event: one line, one write, so that a reader never sees half of a line for long.
    pub fn append(&mut self, event: &GroupEvent) -> Result<(), SandboxError> {
        let mut line = serde_json::to_vec(event).doing(|| "write an event")?;
        line.push(b'\n');
        self.0.write_all(&line).doing(|| "write an event")
    }
}

/// The reading end: what was appended since the last look, as whole events.
#[derive(Debug)]
pub struct Reader {
    file: File,
    rest: Vec<u8>,
}

impl Reader {
    /// Reads a group's journal from its beginning.
    pub fn open(folder: &GroupFolder) -> std::io::Result<Self> {
        Ok(Self { file: File::open(folder.events())?, rest: Vec::new() })
    }

    /// The events appended since the last call. A last line without its end is kept for the next call.
    pub fn news(&mut self) -> std::io::Result<Vec<GroupEvent>> {
        std::io::Read::read_to_end(&mut self.file, &mut self.rest)?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(Into::into)).collect()
    }
}
