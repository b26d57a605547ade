//! Tests: of one run, what failed first; of a pipeline, which fail again and again.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_core::report::CaseStatus;
use danube_store::pipelines;
use danube_store::reports::{self, CaseKey, CaseRow, Details, Filter, ReportRow};
use danube_store::runs::{self, Fate};
use serde::Deserialize;

use super::job::{RunPath, crumbs, find};
use super::shell::{Crumb, Shell, Tab};
use super::state::State;
use super::time::duration;
use super::visitor::Visitor;
use super::{job_page, link, page};
use crate::api::jobs::attempt_of;
use crate::api::pipelines::no_pipeline;
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};

/// Cases of a page.
const PAGE: u32 = 100;
/// Failed cases that stand open, with their details.
const OPEN: usize = 10;
/// Characters of details that a page shows.
const DETAILS: usize = 8 * 1024;
/// Runs that a pipeline's history is made from.
const PAST: u32 = 40;

/// Which cases.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    status: String,
    #[serde(default)]
    q: String,
    /// Behind this case: `rank.report.seq`.
    #[serde(default)]
    after: String,
    attempt: Option<u32>,
}

struct Report {
    name: String,
    passed: i64,
    failed: i64,
    flaky: i64,
    skipped: i64,
    took: String,
}

struct Case {
    state: State,
    suite: String,
    class: String,
    name: String,
    message: String,
    details: String,
    past: String,
    took: Option<String>,
    open: bool,
}

#[derive(Template)]
#[template(path = "tests.html")]
struct TestsPage {
    shell: Shell,
    name: String,
    number: i64,
    href: String,
    reports: Vec<Report>,
    cases: Vec<Case>,
    status: String,
    q: String,
    /// Not the newest one.
    attempt: Option<u32>,
    next: Option<String>,
}

struct Often {
    name: String,
    class: String,
    failed: i64,
    number: i64,
    href: String,
}

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    shell: Shell,
    name: String,
    rows: Vec<Often>,
    runs: usize,
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response, Problem> {
    let row = find(&ctx, &name, number).await?;
    let attempt = attempt_of(&row, wanted.attempt)?;
    let db = ctx.store().read();
    let text = Some(wanted.q.as_str()).filter(|text| !text.is_empty());
    let filter = Filter { status: status(&wanted.status), text, ..Filter::default() };
    let mut rows = reports::cases(db, &attempt, filter, key(&wanted.after), PAGE + 1).await?;
    let more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let href = link::run(&name, number);
    let next = rows.last().filter(|_| more).map(|last| wanted.behind(&href, last));
    let told = rows.iter().filter(|row| row.has_details && row.rank <= 1).map(|row| (row.report, row.seq));
    let details = reports::details_of(db, &attempt, &told.collect::<Vec<_>>()).await?;
    let names: Vec<String> = rows.iter().filter(|row| row.is_failure()).map(|row| row.name.clone()).collect();
    let before = runs::up_to(db, &name, &row.id, PAST).await?;
    let past = Past { job: row.id, fates: runs::fates(db, &before, &names).await? };
    let cases = rows.into_iter().enumerate().map(|(at, case)| Case::new(case, &details, &past, at < OPEN)).collect();
    let shell = Shell::new(&ctx, &visitor, format!("Tests of {name} #{number}"), Tab::Pipelines).await?;
    job_page(&TestsPage {
        shell: shell.under(crumbs(&name, number)).under([Crumb::new("Tests", "")]),
        reports: reports::list(db, &attempt).await?.into_iter().map(Report::from).collect(),
        cases,
        status: wanted.status,
        q: wanted.q,
        attempt: wanted.attempt,
        name,
        number,
        href,
        next,
    })
}

/// The tests of a pipeline that failed lately, the most frequent first.
pub(crate) async fn history(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath(name): InPath<String>,
) -> Result<Response, Problem> {
    let db = ctx.store().read();
    pipelines::get(db, &name).await?.ok_or_else(|| no_pipeline(&name))?;
    let latest = runs::recent(db, &name, PAST).await?;
    let numbers: HashMap<&str, i64> = latest.iter().map(|run| (run.id.as_str(), run.number)).collect();
    let ids: Vec<String> = latest.iter().map(|run| run.id.clone()).collect();
    let often = runs::often_failed(db, &ids, PAGE).await?.into_iter().map(|test| {
        let number = numbers.get(test.last_job.as_str()).copied().unwrap_or_default();
        let href = format!("{}/tests", link::run(&name, number));
        Often { name: test.name, class: test.class, failed: test.failed, number, href }
    });
    let (rows, runs) = (often.collect(), latest.len());
    let shell = Shell::new(&ctx, &visitor, format!("Tests of {name}"), Tab::Pipelines).await?;
    let way = [Crumb::new("Pipelines", "/"), Crumb::new(&name, link::pipeline(&name)), Crumb::new("Tests", "")];
    page(&History { shell: shell.under(way), name, rows, runs })
}

fn status(text: &str) -> Option<CaseStatus> {
    let all = [CaseStatus::Passed, CaseStatus::Failed, CaseStatus::Error, CaseStatus::Skipped, CaseStatus::Flaky];
    all.into_iter().find(|status| status.as_str() == text)
}

fn key(text: &str) -> Option<CaseKey> {
    let mut parts = text.split('.');
    let rank = parts.next()?.parse().ok()?;
    let report = parts.next()?.parse().ok()?;
    Some(CaseKey { rank, report, seq: parts.next()?.parse().ok()? })
}

impl Wanted {
    fn behind(&self, href: &str, last: &CaseRow) -> String {
        let (status, q) = (link::segment(&self.status), link::segment(&self.q));
        let attempt = self.attempt.map_or_else(String::new, |number| format!("attempt={number}&"));
        format!("{href}/tests?{attempt}status={status}&q={q}&after={}.{}.{}", last.rank, last.report, last.seq)
    }
}

impl From<ReportRow> for Report {
    fn from(row: ReportRow) -> Self {
        let ReportRow { name, passed, flaky, skipped, .. } = row;
        Self { name, passed, failed: row.failed + row.errors, flaky, skipped, took: duration(row.duration_ms) }
    }
}

impl Case {
    fn new(row: CaseRow, details: &[Details], past: &Past, open: bool) -> Self {
        let text = details.iter().find(|details| (details.report, details.seq) == (row.report, row.seq));
        Self {
            state: State::of_test(&row.status),
            details: text.map_or_else(String::new, |details| details.text.chars().take(DETAILS).collect()),
            past: if row.is_failure() { past.of(&row) } else { String::new() },
            open: open && row.is_failure(),
            took: row.duration_ms.map(duration),
            suite: row.suite,
            class: row.class,
            name: row.name,
            message: row.message.unwrap_or_default(),
        }
    }
}

/// What became of the tests before.
pub(super) struct Past {
    /// The run that is looked at, which is no past.
    pub job: String,
    /// Newest first.
    pub fates: Vec<Fate>,
}

impl Past {
    /// A test's past in words.
    pub fn of(&self, case: &CaseRow) -> String {
        let is_it = |fate: &&Fate| fate.job != self.job && fate.name == case.name && fate.class == case.class;
        let bad: Vec<bool> =
            self.fates.iter().filter(is_it).map(|fate| matches!(fate.status.as_str(), "failed" | "error")).collect();
        let failed = bad.iter().filter(|bad| **bad).count();
        match bad.first() {
            None => "first seen".to_owned(),
            Some(_) if failed == 0 => "new failure".to_owned(),
            Some(true) if bad.iter().take_while(|bad| **bad).count() == failed => {
                if failed == 1 {
                    "failed before it, too".to_owned()
                } else {
                    format!("failed the {failed} times before it, too")
                }
            }
            Some(_) => format!("flaky, failed {failed} of {} before", bad.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tests_past_says() {
        let fate = |job: &str, status: &str| Fate {
            job: job.into(),
            class: "c".into(),
            name: "n".into(),
            status: status.into(),
        };
        let said = |statuses: &[&str]| {
            let now = [fate("now", "failed")].into_iter();
            let fates = now.chain(statuses.iter().map(|status| fate("before", status))).collect();
            let case = CaseRow {
                report: 1,
                seq: 0,
                rank: 0,
                suite: String::new(),
                class: "c".into(),
                name: "n".into(),
                status: "failed".into(),
                duration_ms: None,
                message: None,
                has_details: false,
            };
            Past { job: "now".into(), fates }.of(&case)
        };
        assert_eq!(said(&[]), "first seen");
        assert_eq!(said(&["passed", "passed"]), "new failure");
        assert_eq!(said(&["failed", "error", "passed"]), "failed the 2 times before it, too");
        assert_eq!(said(&["passed", "failed", "passed"]), "flaky, failed 1 of 3 before");
        assert_eq!(said(&["failed", "passed", "failed"]), "flaky, failed 2 of 3 before");
    }

    #[test]
    fn a_place_in_the_list_is_read_back() {
        assert_eq!(key("1.2.30"), Some(CaseKey { rank: 1, report: 2, seq: 30 }));
        assert_eq!([key(""), key("1.2"), key("a.b.c")], [None, None, None]);
    }
}
