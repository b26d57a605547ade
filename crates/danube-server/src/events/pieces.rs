//! Pieces of output, read once for all readers that are at the same place: those who follow a step that runs nearly
//! always are.

use std::collections::VecDeque;
use std::sync::Arc;

use danube_engine::logs::{LogDir, LogError};
use danube_store::steps::StepKey;
use tokio::sync::Mutex;

use super::event::json;
use super::output::{Output, PIECE, whole};
use crate::answer::blocking;
use crate::api::logs::open;
use crate::problem::Problem;

/// Pieces that are kept of a job: enough for its steps that run side by side and some readers that are behind.
const KEPT: usize = 16;

/// What was read last of a job's logs.
#[derive(Debug, Default)]
pub(super) struct Pieces(Mutex<VecDeque<Arc<Piece>>>);

/// A piece of a step's output.
#[derive(Debug)]
pub(super) struct Piece {
    key: StepKey,
    offset: u64,
    /// Where the next one begins.
    pub end: u64,
    /// As an event has it.
    pub data: String,
}

impl Pieces {
    /// The piece at an offset of a log that still grows; none when there is none yet.
    pub(super) async fn get(&self, logs: &LogDir, key: &StepKey, offset: u64) -> Result<Option<Arc<Piece>>, Problem> {
        let mut kept = self.0.lock().await;
        if let Some(piece) = kept.iter().find(|piece| piece.offset == offset && piece.key == *key) {
            return Ok(Some(piece.clone()));
        }
        let Some(piece) = read(logs, key, offset, false).await? else { return Ok(None) };
        let piece = Arc::new(piece);
        kept.truncate(KEPT - 1);
        kept.push_front(piece.clone());
        Ok(Some(piece))
    }
}

/// The piece at an offset; none when there is none yet. A log that is `over` may end within a character.
pub(super) async fn read(logs: &LogDir, key: &StepKey, offset: u64, over: bool) -> Result<Option<Piece>, Problem> {
    let (logs, key) = (logs.clone(), key.clone());
    Ok(blocking(move || read_now(&logs, key, offset, over)).await??)
}

fn read_now(logs: &LogDir, key: StepKey, offset: u64, over: bool) -> Result<Option<Piece>, LogError> {
    let Some(log) = open(logs, &key)? else { return Ok(None) };
    let left = usize::try_from(log.len().saturating_sub(offset)).unwrap_or(PIECE);
    let mut bytes = vec![0; left.min(PIECE)];
    let read = log.read(offset, &mut bytes)?;
    bytes.truncate(whole(&bytes[..read], over && left <= PIECE));
    let end = offset + bytes.len() as u64;
    let data = json(&Output::new(key.number, offset, &bytes));
    Ok((end > offset).then_some(Piece { key, offset, end, data }))
}
