//! A job's log as text: `[2024-01-06T12:00:00Z] [3 build] [stdout] line`, step after step in order of start.

use std::collections::VecDeque;
use std::io::Write;

use danube_store::steps::StepKey;
use jiff::Timestamp;

use super::index::Record;
use super::pieces::Pieces;
use super::{LogDir, LogError};

/// Bytes given at once, about.
const BLOCK: usize = 64 * 1024;

/// A step of a job's text.
#[derive(Clone, Debug)]
pub struct TextStep {
    /// Whose log.
    pub key: StepKey,
    /// Its name, masked.
    pub name: String,
}

/// Makes a job's text a block at a time, however long the job's logs and their lines are.
pub struct TextLog {
    dir: LogDir,
    steps: VecDeque<TextStep>,
    current: Option<(String, Pieces)>,
}

impl TextLog {
    /// The text of these steps, which are given in order of start.
    pub fn new(dir: &LogDir, steps: impl IntoIterator<Item = TextStep>) -> Self {
        Self { dir: dir.clone(), steps: steps.into_iter().collect(), current: None }
    }

    /// Appends the next block to `out`; false when there is no more.
    pub fn next_block(&mut self, out: &mut Vec<u8>) -> Result<bool, LogError> {
        let before = out.len();
        while out.len() < before + BLOCK {
            let Some((label, pieces)) = &mut self.current else {
                let Some(step) = self.steps.pop_front() else { return Ok(out.len() > before) };
                let pieces = self.dir.reader(&step.key)?.pieces()?;
                self.current = Some((format!("[{} {}]", step.key.number, plain(&step.name)), pieces));
                continue;
            };
            if !add_piece(label, pieces, out)? {
                self.current = None;
            }
        }
        Ok(true)
    }
}

fn add_piece(label: &str, pieces: &mut Pieces, out: &mut Vec<u8>) -> Result<bool, LogError> {
    let unfinished = pieces.is_within_line();
    let Some(piece) = pieces.next()? else {
        // The next step's text begins on a line of its own.
        out.extend_from_slice(if unfinished { b"\n" } else { b"" });
        return Ok(false);
    };
    if let Some(record) = piece.begins {
        prefix(label, &record, out);
    }
    out.extend_from_slice(piece.text);
    if piece.ends {
        out.push(b'\n');
    }
    Ok(true)
}

fn prefix(label: &str, record: &Record, out: &mut Vec<u8>) {
    let stream = match record.stream {
        1 => "stdout",
        2 => "stderr",
        _ => "danube",
    };
    // A shim may report any time; one that no calendar has is shown as the last that it has.
    let at = i64::try_from(record.at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ");
    // Writing to memory cannot fail.
    let _ = write!(out, "[{at}] {label} [{stream}] ");
}

/// A name that cannot end its line or its brackets.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || c == ']' { ' ' } else { c }).collect()
}
