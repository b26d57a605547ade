//! What a reader is told next. The order is the same for who was there from the first moment and for who comes when all
//! is over: of a step first that it begins, then its output, then its end; then the next step.

use std::collections::BTreeSet;

use super::board::Facts;
use super::cursor::{Artifacts, Cursor, Told};
use crate::model::Step;

/// What a reader is told next.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// The job is another than it was told.
    Job,
    /// A step has begun.
    Begin(&'a Step),
    /// There may be output of a step from this offset on. One that is over ends there if there is none.
    Output { step: &'a Step, offset: u64, over: bool },
    /// The artifact at this place is there.
    Artifact(usize),
    /// The job has ended, and everything was told.
    End,
    /// Nothing, before something changes.
    Nothing,
}

/// Whose turn it is among the steps that run.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The step that was asked last.
    pub last: u32,
    /// Those that had nothing to tell since the facts were read, not even where they had grown.
    pub dry: BTreeSet<u32>,
}

/// What to tell next to who was told as far as the cursor, which is of the facts' attempt.
pub(super) fn next<'a>(facts: &'a Facts, cursor: &Cursor, turn: &Turn) -> Next<'a> {
    if facts.state != cursor.state {
        return Next::Job;
    }
    let ended = || open(facts, cursor).find(|(step, _)| is_over(facts, step));
    if let Some((step, offset)) = ended() {
        return Next::Output { step, offset, over: true };
    }
    if let Some(step) = facts.steps.iter().find(|step| is_new(cursor, step.number)) {
        return Next::Begin(step);
    }
    if let Some(place) = untold(facts, cursor.artifacts) {
        return Next::Artifact(place);
    }
    if facts.is_final {
        return Next::End;
    }
    running(facts, cursor, turn).map_or(Next::Nothing, |(step, offset)| Next::Output { step, offset, over: false })
}

/// The steps that were told to begin and not to end, with the offset up to which their output was told.
fn open<'a>(facts: &'a Facts, cursor: &Cursor) -> impl Iterator<Item = (&'a Step, u64)> {
    cursor.open.iter().filter_map(|(number, told)| {
        let Told::Output(offset) = told else { return None };
        let at = facts.steps.binary_search_by_key(number, |step| step.number).ok()?;
        Some((&facts.steps[at], *offset))
    })
}

/// Whether a step's log grows no more.
fn is_over(facts: &Facts, step: &Step) -> bool {
    facts.is_final || step.finished_ms.is_some()
}

fn is_new(cursor: &Cursor, step: u32) -> bool {
    step >= cursor.next || cursor.open.get(&step) == Some(&Told::Nothing)
}

/// The next step that may have output: each in its turn, so that none that says much silences the others.
fn running<'a>(facts: &'a Facts, cursor: &Cursor, turn: &Turn) -> Option<(&'a Step, u64)> {
    let has_more = |step: &Step, offset| facts.written.get(&step.number).is_some_and(|written| *written > offset);
    let waiting =
        || open(facts, cursor).filter(|(step, offset)| has_more(step, *offset) && !turn.dry.contains(&step.number));
    waiting().find(|(step, _)| step.number > turn.last).or_else(|| waiting().next())
}

/// The first artifact that was not told, by its place. Should another order have been told, all are told again: none is
/// missed.
fn untold(facts: &Facts, told: Artifacts) -> Option<usize> {
    let is_beginning = facts.orders.get(told.count) == Some(&told);
    let next = if is_beginning { told.count } else { 0 };
    (next < facts.artifacts.len()).then_some(next)
}
