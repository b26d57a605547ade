//! The steps of a log: how many lines each has, and how it ended.

use danube_core::id::AttemptId;
use danube_engine::logs::{LogDir, LogError};
use danube_store::jobs::JobRow;
use danube_store::steps::{self, StepKey, StepRow};

use crate::answer::blocking;
use crate::api::jobs::attempt_of;
use crate::api::logs::open;
use crate::context::Ctx;
use crate::model;
use crate::pages::state::State;
use crate::pages::time::{Clock, duration};
use crate::problem::Problem;

/// The steps of an attempt.
pub(super) struct Steps {
    pub attempt: AttemptId,
    /// Nothing will be added.
    pub over: bool,
    /// When the attempt's first step began.
    pub began_ms: i64,
    pub all: Vec<Step>,
}

/// A step.
pub(super) struct Step {
    pub number: u32,
    pub name: String,
    pub groups: Vec<String>,
    pub state: State,
    pub took: Option<String>,
    pub began_ms: i64,
    pub over: bool,
    /// Its end was not as it should be.
    pub failed: bool,
    /// An unfinished last one included.
    pub lines: u64,
    /// Those that are finished.
    pub ends: u64,
}

impl Steps {
    /// The steps of the newest attempt, or of another one.
    pub async fn of(ctx: &Ctx, clock: &Clock, row: &JobRow, attempt: Option<u32>) -> Result<Self, Problem> {
        let attempt = attempt_of(row, attempt)?;
        let rows = steps::list(ctx.store().read(), &attempt).await?;
        let over = row.finished_ms.is_some() || attempt.number < row.attempt;
        let (logs, of) = (ctx.master.logs().clone(), attempt.clone());
        let counted =
            blocking(move || rows.into_iter().map(|row| count(&logs, &of, row)).collect::<Result<Vec<_>, _>>());
        let all: Vec<Step> =
            counted.await??.into_iter().map(|(row, lines)| Step::new(row.into(), lines, clock, over)).collect();
        let began_ms = all.iter().map(|step| step.began_ms).min().or(row.started_ms).unwrap_or(row.created_ms);
        Ok(Self { attempt, over, began_ms, all })
    }

    pub fn get(&self, number: u32) -> Option<&Step> {
        self.all.iter().find(|step| step.number == number)
    }

    /// A step that must be there.
    pub fn find(&self, number: u32) -> Result<&Step, Problem> {
        self.get(number).ok_or_else(|| Problem::not_found(format!("This run has no step {number}.")))
    }

    pub fn key(&self, number: u32) -> StepKey {
        StepKey { attempt: self.attempt.clone(), number }
    }

    pub fn lines(&self) -> u64 {
        self.all.iter().map(|step| step.lines).sum()
    }
}

/// The lines of a step's log, and those that are finished; none if it was not made yet.
fn count(logs: &LogDir, attempt: &AttemptId, row: StepRow) -> Result<(StepRow, Option<(u64, u64)>), LogError> {
    let log = open(logs, &StepKey { attempt: attempt.clone(), number: row.number })?;
    let lines = log.map(|log| Ok::<_, LogError>((log.line_count()?, log.line_ends()?))).transpose()?;
    Ok((row, lines))
}

impl Step {
    fn new(row: model::Step, lines: Option<(u64, u64)>, clock: &Clock, over: bool) -> Self {
        let took = row.duration_ms.or_else(|| clock.between(Some(row.started_ms), row.finished_ms));
        let (lines, ends) = lines.unwrap_or_default();
        Self { lines, ends, ..Self::without_lines(row, took, over) }
    }

    /// A step whose log was not looked at.
    pub fn without_lines(row: model::Step, took: Option<i64>, over: bool) -> Self {
        Self {
            number: row.number,
            state: State::of_step(&row.status, row.checked),
            took: took.map(duration),
            began_ms: row.started_ms,
            over: over || row.finished_ms.is_some(),
            failed: row.checked && !matches!(row.status.as_str(), "running" | "success"),
            lines: 0,
            ends: 0,
            groups: row.group,
            name: if row.number == 0 { "danubefile".to_owned() } else { row.name },
        }
    }
}
