//! `/`: every pipeline, those that need somebody first.

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_store::runs::{self, BriefRow, FailedStep, RunRow};
use serde::Deserialize;

use super::chart::{Chart, usual};
use super::shell::{Shell, Tab};
use super::state::{self, State};
use super::time::{When, duration};
use super::visitor::Visitor;
use super::{link, page, words};
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::InQuery;

/// Runs that a pipeline's bars show.
const BARS: u32 = 20;

/// Which pipelines to show.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
}

/// How much a pipeline needs somebody: the first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    NewlyFailing,
    StillFailing,
    Running,
    Rest,
}

struct Row {
    name: String,
    href: String,
    last: Option<Last>,
    chart: Chart,
    usual: Option<String>,
}

/// A pipeline's newest run; of one that fails the newest that failed.
struct Last {
    state: State,
    href: String,
    number: i64,
    branch: String,
    title: String,
    actor: String,
    when: When,
    took: Option<String>,
    /// What is wrong, and since when.
    note: Option<String>,
    /// A newer one that goes on.
    newer: Option<Newer>,
}

/// A run that may yet mend what fails.
struct Newer {
    number: i64,
    href: String,
    word: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    shell: Shell,
    rows: Vec<Row>,
    all: usize,
    q: String,
    state: String,
    may_write: bool,
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response, Problem> {
    let db = ctx.store().read();
    let shell = Shell::new(&ctx, &visitor, "Pipelines", Tab::Pipelines).await?.refreshed(Some(30));
    let shell = shell.with_scripts(&["live.js"]).listening(&ctx, None).await?;
    let mut known = runs::of_every_pipeline(db, BARS).await?;
    let all = known.len();
    known.retain(|(name, runs)| wanted.fits(name, runs));
    known.sort_by_cached_key(|(name, runs)| (need(runs), name.clone()));
    let telling = known.iter().filter_map(|(_, runs)| telling(runs)).map(|run| run.id.clone()).collect();
    let lasts = runs::by_ids(db, telling).await?;
    let bad: Vec<_> = lasts.iter().filter(|run| state::is_bad(&run.status)).map(|run| run.id.clone()).collect();
    let failed = runs::failed_steps(db, &bad).await?;
    let last_of = |name: &str| lasts.iter().find(|run| run.pipeline == name);
    let row = |(name, runs): &(String, Vec<BriefRow>)| Row::new(&visitor, name, runs, last_of(name), &failed);
    let rows = known.iter().map(row).collect();
    page(&Home { shell, rows, all, q: wanted.q, state: wanted.state, may_write: visitor.may_write() })
}

impl Wanted {
    fn fits(&self, name: &str, runs: &[BriefRow]) -> bool {
        let goes_on = |run: &BriefRow| !state::is_over(&run.status);
        let in_state = match self.state.as_str() {
            "failing" => need(runs) <= Need::StillFailing,
            "running" => runs.first().is_some_and(goes_on),
            "passing" => need(runs) == Need::Rest && !runs.is_empty(),
            _ => true,
        };
        in_state && name.to_lowercase().contains(&self.q.to_lowercase())
    }
}

impl Row {
    /// Of a pipeline with these runs, newest first, of which one tells how it is.
    fn new(visitor: &Visitor, name: &str, runs: &[BriefRow], last: Option<&RunRow>, failed: &[FailedStep]) -> Self {
        Self {
            name: name.to_owned(),
            href: link::pipeline(name),
            last: last.map(|run| Last::new(visitor, run, runs, failed)),
            chart: Chart::new(runs),
            usual: usual(runs).map(duration),
        }
    }
}

impl Last {
    fn new(visitor: &Visitor, run: &RunRow, runs: &[BriefRow], failed: &[FailedStep]) -> Self {
        let clock = &visitor.clock;
        let newer = runs.first().filter(|newest| newest.id != run.id && !state::is_over(&newest.status));
        Self {
            state: State::of_job(&run.status, run.reason_kind.as_deref()),
            href: link::run(&run.pipeline, run.number),
            number: run.number,
            branch: run.source_ref.clone().unwrap_or_default(),
            title: run.source_title.clone().unwrap_or_default(),
            actor: run.actor.clone().unwrap_or_default(),
            when: clock.when(run.finished_ms.or(run.started_ms).unwrap_or(run.created_ms)),
            took: run.finished_ms.and_then(|_| clock.between(run.started_ms, run.finished_ms)).map(duration),
            note: red_since(runs).map(|first| red(visitor, run, first, failed)),
            newer: newer.map(|newest| Newer::of(&run.pipeline, newest)),
        }
    }
}

impl Newer {
    fn of(pipeline: &str, run: &BriefRow) -> Self {
        let word = State::of_job(&run.status, None).word;
        Self { number: run.number, href: link::run(pipeline, run.number), word }
    }
}

/// The run that tells how a pipeline is: what fails is not hidden by one that has only begun, or was cancelled.
fn telling(runs: &[BriefRow]) -> Option<&BriefRow> {
    let newest_bad = || runs.iter().find(|run| state::is_bad(&run.status));
    red_since(runs).and_then(|_| newest_bad()).or(runs.first())
}

/// What is wrong, and since when.
fn red(visitor: &Visitor, run: &RunRow, first: &BriefRow, failed: &[FailedStep]) -> String {
    let step = failed.iter().find(|step| step.job == run.id);
    let words = words::note(step, run.reason_message.as_deref()).unwrap_or_default();
    if first.id == run.id {
        return words;
    }
    let since = visitor.clock.when(first.created_ms);
    let words = if words.is_empty() { words } else { format!(" · {words}") };
    format!("red since #{}, {}{words}", first.number, since.ago)
}

/// The run with which it began to fail, if it fails now: the oldest of the bad ones since a good one.
pub(super) fn red_since(runs: &[BriefRow]) -> Option<&BriefRow> {
    let over = runs.iter().filter(|run| state::is_over(&run.status) && run.status != "cancelled");
    over.take_while(|run| state::is_bad(&run.status)).last()
}

fn need(runs: &[BriefRow]) -> Need {
    let over = runs.iter().filter(|run| state::is_over(&run.status) && run.status != "cancelled");
    let mut bad = over.map(|run| state::is_bad(&run.status));
    match (bad.next(), bad.next()) {
        (Some(true), Some(true)) => Need::StillFailing,
        (Some(true), _) => Need::NewlyFailing,
        _ if runs.first().is_some_and(|run| !state::is_over(&run.status)) => Need::Running,
        _ => Need::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: i64, status: &str) -> BriefRow {
        BriefRow {
            id: format!("j{number}"),
            number,
            source_ref: None,
            status: status.into(),
            reason_kind: None,
            created_ms: number,
            started_ms: None,
            finished_ms: None,
        }
    }

    fn runs(statuses: &[&str]) -> Vec<BriefRow> {
        let newest = statuses.len() as i64;
        statuses.iter().enumerate().map(|(at, status)| run(newest - at as i64, status)).collect()
    }

    #[test]
    fn what_has_just_broken_comes_first() {
        assert_eq!(need(&runs(&["failure", "success"])), Need::NewlyFailing);
        assert_eq!(need(&runs(&["failure"])), Need::NewlyFailing);
        assert_eq!(need(&runs(&["cancelled", "failure", "timeout"])), Need::StillFailing);
        assert_eq!(need(&runs(&["running", "failure", "success"])), Need::NewlyFailing, "until it has passed");
        assert_eq!(need(&runs(&["running", "success"])), Need::Running);
        assert_eq!(need(&runs(&["success", "failure"])), Need::Rest);
        assert_eq!(need(&[]), Need::Rest);
    }

    #[test]
    fn what_fails_is_not_hidden_by_what_has_only_begun() {
        let telling = |statuses: &[&str]| telling(&runs(statuses)).map(|run| run.number);
        assert_eq!(telling(&["pending", "running", "failure", "success"]), Some(2));
        assert_eq!(telling(&["cancelled", "failure"]), Some(1));
        assert_eq!(telling(&["running", "success", "failure"]), Some(3));
        assert_eq!(telling(&["cancelled", "success"]), Some(2));
        assert_eq!(telling(&[]), None);
    }

    #[test]
    fn red_since_the_first_failure_after_the_last_good_run() {
        let since = |statuses: &[&str]| red_since(&runs(statuses)).map(|run| run.number);
        assert_eq!(since(&["failure", "cancelled", "timeout", "success", "failure"]), Some(3));
        assert_eq!(since(&["success", "failure"]), None);
        assert_eq!(since(&["running", "failure"]), Some(1));
    }
}
