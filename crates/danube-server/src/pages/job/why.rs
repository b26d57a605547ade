//! Why a run is as it is: the step that failed with its last lines, or the lines that a running one says now.

use danube_core::id::AttemptId;
use danube_core::job::{FailureKind, headline};
use danube_core::step::StepKind;
use danube_engine::logs::{Line, LogDir, LogError};
use danube_store::jobs::JobRow;
use danube_store::steps::{StepKey, StepRow};

use super::forge::{Forge, Piece};
use crate::answer::blocking;
use crate::context::Ctx;
use crate::logview;
use crate::pages::state;
use crate::pages::words;
use crate::problem::Problem;

/// Lines that are shown of a failed step, and of a running one.
const TAIL: usize = 20;
/// Of a step whose first failure is further up: lines from there, of which so many stand before it, and lines of the end.
const FIRST: usize = 8;
const BEFORE: u64 = 2;
const LAST: usize = TAIL - FIRST;

/// What the first screen says.
pub(super) struct Why {
    /// `fail`, or empty for a run that goes on.
    pub bad: bool,
    /// What happened, in a sentence.
    pub message: String,
    /// What to do about it.
    pub advice: String,
    pub step: Option<Culprit>,
}

/// The step that decided.
pub(super) struct Culprit {
    pub number: u32,
    pub name: String,
    /// How it ended; nothing while it runs.
    pub ended: String,
    pub location: Option<Vec<Piece>>,
    pub message: Option<String>,
    pub lines: Vec<TailLine>,
    pub log: String,
    /// The line there at which the log opens.
    pub at: u64,
    /// What is shown, as text.
    pub copied: String,
}

/// A line of its end.
pub(super) struct TailLine {
    /// Counts from 1.
    pub number: u64,
    pub text: String,
    /// The same, with links to places in the repository.
    pub pieces: Vec<Piece>,
    /// It tells of a failure.
    pub failure: bool,
    /// Lines that are left out before it.
    pub skipped: u64,
}

impl Why {
    /// None for a run that has passed, or has not begun.
    pub async fn of(
        ctx: &Ctx,
        row: &JobRow,
        attempt: &AttemptId,
        steps: &[StepRow],
        log: &str,
    ) -> Result<Option<Self>, Problem> {
        let Some(step) = decisive(row, steps) else { return Ok(Self::without_step(row)) };
        let culprit = Culprit::of(ctx, row, attempt, step, log).await?;
        let why = Self::of_reason(row);
        // That the danubefile failed says less than how its step did.
        let says_less = row.reason_kind.as_deref() == Some("script");
        // A service's last lines are shown as those of a step.
        let message = if says_less { String::new() } else { headline(&why.message).to_owned() };
        Ok(Some(Self { step: Some(culprit), message, ..why }))
    }

    fn without_step(row: &JobRow) -> Option<Self> {
        row.reason_kind.is_some().then(|| Self::of_reason(row))
    }

    fn of_reason(row: &JobRow) -> Self {
        let kind = row.reason_kind.clone().and_then(|kind| serde_json::from_value::<FailureKind>(kind.into()).ok());
        let advice = kind.map_or(String::new(), |kind| {
            format!("{} {}", words::not_your_code(kind), kind.advice()).trim().to_owned()
        });
        let message = row.reason_message.clone().unwrap_or_default();
        Self { bad: state::is_bad(&row.status), message, advice, step: None }
    }
}

/// The step that somebody wants to see first: the first whose failure raised; in a running job the newest that runs, a
/// service when nothing else does.
fn decisive<'a>(row: &JobRow, steps: &'a [StepRow]) -> Option<&'a StepRow> {
    if state::is_over(&row.status) {
        let failed = |step: &&StepRow| step.checked && !matches!(step.status.as_str(), "success" | "running");
        // A step that was tried again and passed then is not why.
        let last_try = |step: &&StepRow| step.r#try == step.tries || step.status == "infra";
        let of_steps = steps.iter().filter(|step| step.number > 0).filter(failed).find(last_try);
        let own = steps.iter().find(|step| step.number == 0 && step.status != "success");
        return (row.status != "success").then(|| of_steps.or(own)).flatten();
    }
    let runs = |step: &&StepRow| step.number > 0 && step.status == "running";
    let newest = |kind| steps.iter().filter(runs).rfind(|step| step.kind() == kind);
    newest(StepKind::Step).or_else(|| newest(StepKind::Service))
}

impl Culprit {
    async fn of(ctx: &Ctx, row: &JobRow, attempt: &AttemptId, step: &StepRow, log: &str) -> Result<Self, Problem> {
        let key = StepKey { attempt: attempt.clone(), number: step.number };
        let logs = ctx.master.logs().clone();
        let runs = step.status == "running";
        let mut lines = blocking(move || if runs { tail(&logs, &key) } else { telling(&logs, &key) }).await??;
        let texts = lines.iter().map(|line| line.text.as_str()).chain(step.location.as_deref());
        let forge = if runs { Forge::default() } else { Forge::of(ctx, row, texts).await };
        lines.iter_mut().for_each(|line| line.pieces = forge.pieces(&line.text));
        let (first, last) = (lines.first().map_or(1, |line| line.number), lines.last().map_or(1, |line| line.number));
        let failure = lines.iter().find(|line| line.failure).map(|line| line.number);
        Ok(Self {
            number: step.number,
            name: if step.number == 0 { "the danubefile".to_owned() } else { step.name.clone() },
            ended: match step.status.as_str() {
                "running" => String::new(),
                _ => words::step_end(step.cause.as_deref(), step.exit_code, step.signal),
            },
            location: step.location.as_deref().map(|location| forge.pieces(location)),
            message: step.message.clone(),
            // Lines that stand apart are not one range.
            log: match failure {
                Some(at) if !runs => format!("{log}l={}:{at}", step.number),
                _ => format!("{log}l={}:{first}-{last}", step.number),
            },
            at: failure.unwrap_or(first),
            copied: lines.iter().fold(String::new(), |text, line| text + &line.text + "\n"),
            lines,
        })
    }
}

/// The last lines.
fn tail(logs: &LogDir, key: &StepKey) -> Result<Vec<TailLine>, LogError> {
    let Some(reader) = crate::api::logs::open(logs, key)? else { return Ok(Vec::new()) };
    Ok(reader.last_lines(TAIL)?.iter().map(TailLine::new).collect())
}

/// The lines that tell what failed: the last ones, and before them those about the first failure if it is further up.
fn telling(logs: &LogDir, key: &StepKey) -> Result<Vec<TailLine>, LogError> {
    let Some(reader) = crate::api::logs::open(logs, key)? else { return Ok(Vec::new()) };
    let (all, failure) = (reader.line_count()?, reader.failures(1)?.first().copied());
    let Some(failure) = failure.filter(|line| all - line > TAIL as u64) else { return tail(logs, key) };
    let mut lines: Vec<_> = reader.lines(failure.saturating_sub(BEFORE), FIRST)?.iter().map(TailLine::new).collect();
    let told = lines.last().map_or(0, |line| line.number);
    let Some(reader) = crate::api::logs::open(logs, key)? else { return Ok(lines) };
    let mut end: Vec<_> =
        reader.last_lines(LAST)?.iter().map(TailLine::new).filter(|line| line.number > told).collect();
    if let Some(first) = end.first_mut() {
        first.skipped = first.number - told - 1;
    }
    lines.append(&mut end);
    Ok(lines)
}

impl TailLine {
    fn new(line: &Line) -> Self {
        Self {
            number: line.number + 1,
            text: logview::text(line),
            pieces: Vec::new(),
            failure: line.failure,
            skipped: 0,
        }
    }
}
