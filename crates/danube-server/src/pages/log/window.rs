//! Blocks of lines, as HTML.

use danube_engine::logs::{LogDir, LogError};
use danube_store::steps::StepKey;
use jiff::tz::TimeZone;

use super::steps::Step;
use super::view::{BLOCK, Place, Search, Time};
use crate::api::logs::open;
use crate::logview::{Needle, Rows, Times};

/// What blocks are made with.
#[derive(Clone)]
pub(super) struct Painter {
    pub logs: LogDir,
    pub key: StepKey,
    times: Times,
    needle: Option<Needle>,
    chosen: Option<Place>,
}

impl Painter {
    /// For a step of a run that began at `began_ms`.
    pub fn new(logs: &LogDir, key: StepKey, began_ms: i64, step: &Step, (time, zone): (Time, &TimeZone)) -> Self {
        let times = match time {
            Time::Off => Times::Off,
            Time::Clock => Times::Clock(zone.clone()),
            Time::Start => Times::Since(began_ms),
            Time::Step => Times::Since(step.began_ms),
            Time::Delta => Times::Delta,
        };
        Self { logs: logs.clone(), key, times, needle: None, chosen: None }
    }

    pub fn marking(self, search: Option<&Search>, chosen: Option<&Place>) -> Self {
        let chosen = chosen.filter(|place| place.step == self.key.number).cloned();
        Self { needle: search.map(|search| search.needle.clone()), chosen, ..self }
    }

    /// Blocks from one on, which counts from 0.
    pub fn blocks(&self, first: u64, count: u64) -> Result<String, LogError> {
        let mut out = String::new();
        for block in first..first.saturating_add(count) {
            let from = block.saturating_mul(BLOCK);
            let mut rows = String::new();
            let count = self.rows(from, BLOCK, &mut rows)?;
            if count == 0 {
                break;
            }
            // The height of a full one is known before it is drawn, so it is drawn only when it is near.
            let full = if count == BLOCK { " f" } else { "" };
            out.push_str(&format!("<div class=\"c{full}\" data-b=\"{block}\">{rows}</div>"));
        }
        Ok(out)
    }

    /// Appends rows from a line on, which counts from 0. Says how many.
    pub fn rows(&self, from: u64, count: u64, out: &mut String) -> Result<u64, LogError> {
        let Some(log) = open(&self.logs, &self.key)? else { return Ok(0) };
        // The line before says since when the first one took.
        let first = if matches!(self.times, Times::Delta) { from.saturating_sub(1) } else { from };
        let wanted = usize::try_from(count + (from - first)).unwrap_or(usize::MAX);
        let lines = log.lines(first, wanted)?;
        let (before, lines) = lines.split_at(usize::try_from(from - first).unwrap_or(0).min(lines.len()));
        let rows = Rows {
            step: self.key.number,
            times: self.times.clone(),
            needle: self.needle.as_ref(),
            chosen: self.chosen.as_ref().map(|place| place.lines.clone()),
        };
        rows.write(lines, before.last().map(|line| line.at_ms), out);
        Ok(lines.len() as u64)
    }
}
