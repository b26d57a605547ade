//! What a run left and what it was made from: tests, artifacts, summaries, names it asked for, parameters, attempts.

use std::collections::BTreeMap;

use danube_core::id::AttemptId;
use danube_engine::master::given_params;
use danube_store::attempts::AttemptRow;
use danube_store::jobs::JobRow;
use danube_store::{artifacts, containers, egress, reports, summaries};

use crate::context::Ctx;
use crate::model::Container;
use crate::pages::markdown;
use crate::pages::state::State;
use crate::pages::time::duration;
use crate::pages::visitor::Visitor;
use crate::pages::words::count;
use crate::problem::Problem;

/// Names of artifacts and hosts that are shown.
const NAMED: usize = 6;

/// What is known beside the steps.
pub(super) struct Facts {
    pub tests: Option<String>,
    pub artifacts: Vec<String>,
    pub artifact_count: usize,
    /// As HTML.
    pub summaries: Vec<String>,
    /// Names that were asked for and allowed, and those that were refused.
    pub hosts: usize,
    pub denied: Vec<String>,
    pub params: Vec<(String, String)>,
    pub images: Vec<String>,
    pub attempts: Vec<Attempt>,
    /// The run whose inputs it has.
    pub rerun_of: Option<String>,
}

/// A try at the job.
pub(super) struct Attempt {
    pub number: u32,
    pub state: State,
    pub took: Option<String>,
}

impl Facts {
    pub async fn of(
        ctx: &Ctx,
        visitor: &Visitor,
        row: &JobRow,
        attempt: &AttemptId,
        attempts: &[AttemptRow],
    ) -> Result<Self, Problem> {
        let db = ctx.store().read();
        let artifacts = artifacts::list(db, attempt).await?;
        let (allowed, denied) = hosts(&egress::list(db, attempt).await?);
        let counts = reports::counts(db, attempt).await?;
        let containers = containers::list(db, attempt).await?;
        let images = containers.into_iter().map(Container::from).filter(|one| one.role != "coordinator");
        let summaries = summaries::list(db, attempt).await?;
        let attempt = |row: &AttemptRow| Attempt {
            number: row.number,
            state: State::of_job(&row.status, row.reason_kind.as_deref()),
            took: visitor.clock.between(Some(row.started_ms), row.finished_ms).map(duration),
        };
        Ok(Self {
            tests: tests(&counts),
            artifact_count: artifacts.len(),
            artifacts: artifacts.into_iter().take(NAMED).map(|artifact| artifact.name).collect(),
            summaries: summaries.into_iter().map(|summary| markdown::to_html(&summary.text)).collect(),
            hosts: allowed,
            denied: denied.into_iter().take(NAMED).collect(),
            params: given_params(&row.params),
            images: images.map(|container| container.image).collect(),
            attempts: attempts.iter().map(attempt).collect(),
            rerun_of: row.rerun_of.clone(),
        })
    }
}

fn tests(counts: &danube_core::report::Counts) -> Option<String> {
    let bad = counts.failed + counts.errors;
    let all = bad + counts.passed + counts.skipped + counts.flaky;
    let flaky = if counts.flaky > 0 { format!(", {} flaky", counts.flaky) } else { String::new() };
    (all > 0).then(|| format!("{bad} of {} failed{flaky}", count(all as usize, "test", "tests")))
}

fn hosts(rows: &[egress::EgressRow]) -> (usize, Vec<String>) {
    let mut verdicts: BTreeMap<&str, bool> = BTreeMap::new();
    for row in rows {
        *verdicts.entry(&row.name).or_default() |= row.verdict != "allowed";
    }
    let denied: Vec<_> = verdicts.iter().filter(|(_, denied)| **denied).map(|(name, _)| (*name).to_owned()).collect();
    (verdicts.len() - denied.len(), denied)
}
