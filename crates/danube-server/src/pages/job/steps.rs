//! The list of steps: in order of start, groups within groups, bars beside the longest.

use std::collections::HashMap;

use danube_core::step::StepKind;
use danube_store::runs;
use danube_store::steps::StepRow;

use crate::context::Ctx;
use crate::pages::state::State;
use crate::pages::time::{duration, median};
use crate::pages::visitor::Visitor;
use crate::problem::Problem;

/// The list as it is written down: a group is opened, its steps come, it is closed.
pub(super) enum Entry {
    Open(String),
    Step(Box<Step>),
    Close,
}

/// A step.
pub(super) struct Step {
    pub number: u32,
    pub name: String,
    pub state: State,
    pub log: String,
    pub image: String,
    pub took: Option<String>,
    /// In percent of the longest.
    pub part: i64,
    pub tone: &'static str,
    pub tries: Option<String>,
    pub usual: Option<String>,
}

/// How long steps take, by name.
pub(super) struct Usual(HashMap<String, i64>);

impl Usual {
    /// In these jobs.
    pub async fn of(ctx: &Ctx, jobs: &[String]) -> Result<Self, Problem> {
        let mut times: HashMap<String, Vec<i64>> = HashMap::new();
        for step in runs::step_times(ctx.store().read(), jobs).await? {
            times.entry(step.name).or_default().push(step.duration_ms);
        }
        Ok(Self(times.into_iter().filter_map(|(name, times)| Some((name, median(times)?))).collect()))
    }
}

/// The list. The danubefile's own output, number 0, is left out unless it ended badly: it is no step of anybody's.
pub(super) fn entries(visitor: &Visitor, rows: &[StepRow], usual: &Usual, log: &str) -> Vec<Entry> {
    let took = |row: &StepRow| row.duration_ms.or_else(|| visitor.clock.between(Some(row.started_ms), row.finished_ms));
    let shown: Vec<&StepRow> = rows.iter().filter(|row| row.number > 0).collect();
    let longest = shown.iter().filter_map(|row| took(row)).max().unwrap_or_default().max(1);
    let (mut entries, mut open): (Vec<Entry>, Vec<String>) = (Vec::new(), Vec::new());
    for row in shown {
        let groups: Vec<String> = serde_json::from_str(&row.group_path).unwrap_or_default();
        enter(&mut entries, &mut open, groups);
        let took = took(row);
        let step = Step::new(row, took, took.unwrap_or_default() * 100 / longest, usual, log);
        entries.push(Entry::Step(Box::new(step)));
    }
    enter(&mut entries, &mut open, Vec::new());
    entries
}

/// Leaves the groups that the next step is not in, and enters those that it is in.
fn enter(entries: &mut Vec<Entry>, open: &mut Vec<String>, groups: Vec<String>) {
    let same = open.iter().zip(&groups).take_while(|(a, b)| a == b).count();
    entries.extend(open.drain(same..).map(|_| Entry::Close));
    for group in groups.into_iter().skip(same) {
        entries.push(Entry::Open(group.clone()));
        open.push(group);
    }
}

impl Step {
    fn new(row: &StepRow, took: Option<i64>, part: i64, usual: &Usual, log: &str) -> Self {
        let runs = row.status == "running";
        let usual = usual.0.get(&row.name).filter(|_| runs).copied().map(duration);
        let state = State::of_step(&row.status, row.checked);
        Self {
            number: row.number,
            name: if row.kind() == StepKind::Service { format!("service {}", row.name) } else { row.name.clone() },
            log: format!("{log}step={}", row.number),
            image: row.image.clone(),
            took: took.map(duration),
            part: part.clamp(1, 100),
            tone: state.tone,
            tries: (row.tries > 1).then(|| format!("try {} of {}", row.r#try, row.tries)),
            usual,
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_open_and_close_around_their_steps() {
        let (mut entries, mut open) = (Vec::new(), Vec::new());
        let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for path in [&["a"][..], &["a", "b"], &["c"], &[]] {
            enter(&mut entries, &mut open, groups(path));
            entries.push(Entry::Step(Box::new(step())));
        }
        enter(&mut entries, &mut open, Vec::new());
        let written: String = entries
            .iter()
            .map(|entry| match entry {
                Entry::Open(name) => format!("<{name}>"),
                Entry::Step(_) => ".".to_owned(),
                Entry::Close => "</>".to_owned(),
            })
            .collect();
        assert_eq!(written, "<a>.<b>.</></><c>.</>.");
    }

    fn step() -> Step {
        Step {
            number: 1,
            name: String::new(),
            state: State::of_step("success", true),
            log: String::new(),
            image: String::new(),
            took: None,
            part: 1,
            tone: "ok",
            tries: None,
            usual: None,
        }
    }
}
