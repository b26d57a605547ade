//! Runs as bars: drawn here, so that they need no script.

use danube_store::runs::BriefRow;

use super::state::{self, State};
use super::time::{duration, median};
use super::words;

/// From one bar to the next.
const PITCH: usize = 5;
const HEIGHT: i64 = 20;

/// Bars of one pipeline's runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chart {
    pub width: usize,
    pub words: String,
    /// Oldest first.
    pub bars: Vec<Bar>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub tone: &'static str,
    pub x: usize,
    pub y: i64,
    pub height: i64,
    pub notch: bool,
}

/// How long a run took.
pub(super) fn took(run: &BriefRow) -> Option<i64> {
    Some((run.finished_ms? - run.started_ms?).max(0))
}

/// The usual duration: the median of the green ones among these.
pub(super) fn usual(runs: &[BriefRow]) -> Option<i64> {
    median(runs.iter().filter(|run| run.status == "success").filter_map(took).collect())
}

impl Chart {
    /// Of these runs, which are given newest first.
    pub fn new(runs: &[BriefRow]) -> Self {
        let longest = runs.iter().filter_map(took).max().unwrap_or_default().max(1);
        let bar = |(at, run): (usize, &BriefRow)| {
            let height = (took(run).unwrap_or(longest) * (HEIGHT - 4) / longest).max(2) + 2;
            let tone = State::of_job(&run.status, None).tone;
            Bar { tone, x: at * PITCH, y: HEIGHT - height, height, notch: state::is_bad(&run.status) }
        };
        let failed = runs.iter().filter(|run| state::is_bad(&run.status)).count();
        Self {
            width: (runs.len() * PITCH).max(1),
            words: words::bars(runs.len(), failed, usual(runs).map(duration).as_deref()),
            bars: runs.iter().rev().enumerate().map(bar).collect(),
        }
    }
}
