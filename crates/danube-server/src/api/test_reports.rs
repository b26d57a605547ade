//! What tests said: how many ended how, the tests, and all about one.

use axum::extract::State;
use danube_core::id::AttemptId;
use danube_core::report::{CASE_STATUSES, CaseStatus};
use danube_store::reports::{self, CaseKey, CaseRow, Filter, ReportKey, ReportRow};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::jobs::chosen_attempt;
use crate::answer::Json;
use crate::context::Ctx;
use crate::model::TestCounts;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery, Of};

/// Tests of a page, unless the query says otherwise.
const PAGE: u32 = 100;
/// Tests of a page at most.
const LARGEST_PAGE: u32 = 1000;

/// What the tests of an attempt said.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tests {
    /// Of all reports together, whatever was asked for.
    counts: TestCounts,
    /// In order of the calls.
    reports: Vec<Report>,
    /// What failed first, then what is flaky, what was left out, what passed.
    cases: Vec<Case>,
    /// Give it as `after` for the next page; none at the end.
    next: Option<String>,
}

/// What one `reports.junit` brought.
#[derive(Serialize, ToSchema)]
struct Report {
    /// In order of the calls, from 1.
    number: u32,
    name: String,
    counts: TestCounts,
    /// Files that were read for it.
    files: i64,
    created_ms: i64,
}

/// A test.
#[derive(Serialize, ToSchema)]
struct Case {
    /// Within its attempt.
    id: String,
    /// Its report's number.
    report: u32,
    /// The names of its suites, outermost first, with ` › ` between them.
    suite: String,
    class: String,
    name: String,
    /// `passed`, `failed`, `error`, `skipped` or `flaky`.
    status: String,
    duration_ms: Option<i64>,
    /// Why it failed or was left out, in short.
    message: Option<String>,
    /// Whether there is more to read about it.
    has_details: bool,
}

/// All about one test.
#[derive(Serialize, ToSchema)]
pub(crate) struct CaseDetail {
    #[serde(flatten)]
    case: Case,
    /// Its failures, then what it wrote to stdout and stderr; at most 64 KiB.
    details: Option<String>,
}

/// Which tests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default, deserialize_with = "status")]
    status: Option<CaseStatus>,
    #[serde(default)]
    failures: bool,
    report: Option<u32>,
    q: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
    attempt: Option<u32>,
}

fn status<'de, D: Deserializer<'de>>(from: D) -> Result<Option<CaseStatus>, D::Error> {
    let text = String::deserialize(from)?;
    let known = CASE_STATUSES.into_iter().find(|status| status.as_str() == text);
    let names = || CASE_STATUSES.map(CaseStatus::as_str).join(", ");
    known.map(Some).ok_or_else(|| serde::de::Error::custom(format!("a test's status is one of {}", names())))
}

pub(crate) async fn list(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Json<Tests>, Problem> {
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("The limit is a number from 1 to {LARGEST_PAGE}.")));
    }
    let after = wanted.after.as_deref().map(read_key).transpose()?;
    let attempt = chosen_attempt(&ctx, &id, wanted.attempt).await?;
    let filter =
        Filter { report: wanted.report, status: wanted.status, failures: wanted.failures, text: wanted.q.as_deref() };
    // One more than asked for, to know whether there are more.
    let mut rows = reports::cases(ctx.store().read(), &attempt, filter, after, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(key);
    let kept = reports::list(ctx.store().read(), &attempt).await?;
    Ok(Json(Tests {
        counts: TestCounts::of(&kept),
        reports: kept.into_iter().map(Into::into).collect(),
        cases: rows.into_iter().map(Into::into).collect(),
        next,
    }))
}

pub(crate) async fn get(
    State(ctx): State<Ctx>,
    InPath((id, case)): InPath<(String, String)>,
    InQuery(of): InQuery<Of>,
) -> Result<Json<CaseDetail>, Problem> {
    let attempt = chosen_attempt(&ctx, &id, of.attempt).await?;
    let none = || no_case(&attempt, &case);
    let (number, seq) = read_id(&case).ok_or_else(none)?;
    let report = ReportKey { attempt: attempt.clone(), number };
    let row = reports::case(ctx.store().read(), &report, seq).await?.ok_or_else(none)?;
    let details = reports::details(ctx.store().read(), &report, seq).await?;
    Ok(Json(CaseDetail { case: row.into(), details }))
}

fn no_case(attempt: &AttemptId, case: &str) -> Problem {
    let shown: String = case.chars().take(64).collect();
    Problem::not_found(format!("The job {} has no test {shown}.", attempt.job))
}

/// `REPORT-PLACE`.
fn read_id(text: &str) -> Option<(u32, u32)> {
    let (report, seq) = text.split_once('-')?;
    Some((report.parse().ok()?, seq.parse().ok()?))
}

/// `RANK-REPORT-PLACE`: where a page ended.
fn key(row: &CaseRow) -> String {
    format!("{}-{}-{}", row.rank, row.report, row.seq)
}

fn read_key(text: &str) -> Result<CaseKey, Problem> {
    let read = || {
        let (rank, id) = text.split_once('-')?;
        let (report, seq) = read_id(id)?;
        Some(CaseKey { rank: rank.parse().ok()?, report, seq })
    };
    read().ok_or_else(|| Problem::bad_request("`after` is the `next` of the page before."))
}

impl From<ReportRow> for Report {
    fn from(row: ReportRow) -> Self {
        let counts = row.counts().into();
        Self { number: row.number, name: row.name, counts, files: row.files, created_ms: row.created_ms }
    }
}

impl From<CaseRow> for Case {
    fn from(row: CaseRow) -> Self {
        Self {
            id: format!("{}-{}", row.report, row.seq),
            report: row.report,
            suite: row.suite,
            class: row.class,
            name: row.name,
            status: row.status,
            duration_ms: row.duration_ms,
            message: row.message,
            has_details: row.has_details,
        }
    }
}
