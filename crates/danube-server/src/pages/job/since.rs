//! What is new since the branch was last green: the tests that fail now, and what else differs.

use danube_core::id::AttemptId;
use danube_store::jobs::{self, JobRow};
use danube_store::reports::{self, CaseRow, Filter};
use danube_store::runs;

use crate::context::Ctx;
use crate::pages::home::red_since;
use crate::pages::reports::Past;
use crate::pages::{link, state};
use crate::problem::Problem;

/// Failed tests that are named.
const NAMED: u32 = 10;
/// Runs that a test's past is read from.
const PAST: u32 = 40;

/// What is new.
pub(super) struct Since {
    pub tests: Vec<FailedTest>,
    /// Failed tests that are not named.
    pub more_tests: u64,
    pub green: Option<Green>,
}

/// A test that failed.
pub(super) struct FailedTest {
    pub name: String,
    /// `new failure`, or how often it failed lately.
    pub past: String,
}

/// The last green run of the branch.
pub(super) struct Green {
    pub number: i64,
    pub href: String,
    pub compare: String,
    /// What differs, in words.
    pub changes: Vec<String>,
}

impl Since {
    /// None for a run that did not fail.
    pub async fn of(ctx: &Ctx, row: &JobRow, attempt: &AttemptId, green: &[String]) -> Result<Option<Self>, Problem> {
        if !state::is_bad(&row.status) {
            return Ok(None);
        }
        let (tests, more_tests) = failed_tests(ctx, row, attempt).await?;
        let green = match green.first().map(|id| id.parse()) {
            Some(Ok(id)) => jobs::get(ctx.store().read(), &id).await?.map(|green| Green::new(row, &green)),
            _ => None,
        };
        Ok((!tests.is_empty() || green.is_some()).then_some(Self { tests, more_tests, green }))
    }
}

impl Green {
    fn new(row: &JobRow, green: &JobRow) -> Self {
        let commit = match (&row.source_sha, &green.source_sha) {
            (Some(now), Some(then)) if now == then => "same commit".to_owned(),
            (_, Some(then)) => format!("commit was {}", then.chars().take(7).collect::<String>()),
            _ => "commit unknown".to_owned(),
        };
        let params = if row.params == green.params { "parameters unchanged" } else { "parameters changed" };
        let home = link::pipeline(&row.pipeline);
        Self {
            number: green.number,
            href: link::run(&green.pipeline, green.number),
            compare: format!("{home}/compare/{}...{}", green.number, row.number),
            changes: vec![commit, params.to_owned()],
        }
    }
}

/// The oldest of the failed runs of the branch just before this one, which passed.
pub(super) async fn red_before(ctx: &Ctx, row: &JobRow) -> Result<Option<i64>, Problem> {
    if row.status != "success" {
        return Ok(None);
    }
    let wanted = runs::Wanted { branch: row.source_ref.as_deref(), before: Some(&row.id), ..runs::Wanted::default() };
    let before = runs::of_pipeline(ctx.store().read(), &row.pipeline, &wanted, PAST).await?;
    let same = before.into_iter().filter(|run| run.source_ref == row.source_ref).map(Into::into).collect::<Vec<_>>();
    Ok(red_since(&same).map(|run| run.number))
}

async fn failed_tests(ctx: &Ctx, row: &JobRow, attempt: &AttemptId) -> Result<(Vec<FailedTest>, u64), Problem> {
    let db = ctx.store().read();
    let counts = reports::counts(db, attempt).await?;
    let failed = counts.failed + counts.errors;
    if failed == 0 {
        return Ok((Vec::new(), 0));
    }
    let mut cases = reports::cases(db, attempt, Filter::default(), None, NAMED).await?;
    cases.retain(CaseRow::is_failure);
    let before = runs::up_to(db, &row.pipeline, &row.id, PAST).await?;
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    let past = Past { job: row.id.clone(), fates: runs::fates(db, &before, &names).await? };
    let tests = cases.iter().map(|case| FailedTest { name: case.name.clone(), past: past.of(case) });
    let tests: Vec<_> = tests.collect();
    let more = failed - (tests.len() as u64).min(failed);
    Ok((tests, more))
}
