//! `/pipelines/{name}`: one pipeline's runs, and how it does.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_store::pipelines;
use danube_store::runs::{self, BriefRow, FailedStep, RunRow};
use serde::Deserialize;

use super::chart::{Chart, usual};
use super::home::red_since;
use super::shell::{Crumb, Shell, Tab};
use super::state::{self, State};
use super::time::{When, duration};
use super::visitor::Visitor;
use super::{link, page, words};
use crate::api::pipelines::no_pipeline;
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};

/// Runs of a page.
const PAGE: u32 = 50;
/// Runs that the head is made from, and whose branches can be chosen.
const LATEST: u32 = 100;

/// Which runs to show. A form sends empty values for what was not chosen.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    branch: String,
    #[serde(default)]
    trigger: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    before: String,
}

/// A run in the list.
pub(super) struct Row {
    /// In a list of more than one pipeline's.
    pub pipeline: Option<String>,
    pub number: i64,
    pub href: String,
    pub state: State,
    pub branch: String,
    pub sha: String,
    pub title: String,
    pub actor: String,
    pub trigger: String,
    pub when: When,
    pub took: Option<String>,
    /// Against the usual, in percent.
    pub change: Option<String>,
    pub note: Option<String>,
}

/// How the pipeline does.
struct Health {
    /// Of its newest run that has ended by itself.
    state: Option<State>,
    red_since: Option<(i64, String)>,
    usual: Option<String>,
    /// In words: of how many.
    passed: Option<String>,
    chart: Chart,
}

#[derive(Template)]
#[template(path = "pipeline.html")]
struct PipelinePage {
    shell: Shell,
    name: String,
    href: String,
    health: Health,
    rows: Vec<Row>,
    wanted: Wanted,
    branches: Vec<String>,
    triggers: [&'static str; 3],
    older: Option<String>,
    may_write: bool,
    entry_point: String,
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response, Problem> {
    let db = ctx.store().read();
    let known = pipelines::get(db, &name).await?.ok_or_else(|| no_pipeline(&name))?;
    let shell = Shell::new(&ctx, &visitor, &name, Tab::Pipelines).await?.refreshed(Some(30)).with_scripts(&["live.js"]);
    let shell = if wanted.before.is_empty() { shell.listening(&ctx, Some(&name)).await? } else { shell };
    let latest = runs::recent(db, &name, LATEST).await?;
    let mut shown = wanted.runs(&ctx, &name, &latest).await?;
    let bad: Vec<_> = shown.iter().filter(|run| state::is_bad(&run.status)).map(|run| run.id.clone()).collect();
    let failed = runs::failed_steps(db, &bad).await?;
    let branches = wanted.branches(&latest);
    let more = shown.len() > PAGE as usize;
    shown.truncate(PAGE as usize);
    let href = link::pipeline(&name);
    let older = shown.last().filter(|_| more).map(|run| format!("{href}?{}", wanted.query(&run.id)));
    let usual_ms = usual(&latest);
    page(&PipelinePage {
        shell: shell.under([Crumb::new("Pipelines", "/"), Crumb::new(&name, &href)]),
        health: Health::new(&visitor, &latest),
        rows: shown.iter().map(|run| Row::new(&visitor, run, usual_ms, &failed)).collect(),
        may_write: visitor.may_write(),
        entry_point: known.entry_point,
        triggers: ["manual", "dev", "rerun"],
        name,
        href,
        wanted,
        branches,
        older,
    })
}

impl Wanted {
    /// The runs of the page, and one more if there is. The newest are known already.
    async fn runs(&self, ctx: &Ctx, name: &str, latest: &[BriefRow]) -> Result<Vec<RunRow>, Problem> {
        let (db, most) = (ctx.store().read(), PAGE + 1);
        if self.is_some() || !self.before.is_empty() {
            return Ok(runs::of_pipeline(db, name, &self.filter(), most).await?);
        }
        let newest = latest.iter().take(most as usize).map(|run| run.id.clone()).collect();
        Ok(runs::by_ids(db, newest).await?)
    }

    /// The branches that can be chosen: those of the newest runs, and the one that is.
    fn branches(&self, latest: &[BriefRow]) -> Vec<String> {
        let chosen = Some(&self.branch).filter(|name| !name.is_empty());
        let names: BTreeSet<_> = latest.iter().filter_map(|run| run.source_ref.as_ref()).chain(chosen).collect();
        names.into_iter().cloned().collect()
    }

    fn filter(&self) -> runs::Wanted<'_> {
        let given = |text: &'_ str| !text.is_empty();
        runs::Wanted {
            branch: Some(self.branch.as_str()).filter(|text| given(text)),
            trigger: Some(self.trigger.as_str()).filter(|text| given(text)),
            actor: Some(self.by.as_str()).filter(|text| given(text)),
            before: Some(self.before.as_str()).filter(|text| given(text)),
        }
    }

    /// The same list, older than a job.
    fn query(&self, before: &str) -> String {
        let pairs = [("branch", &self.branch), ("trigger", &self.trigger), ("by", &self.by)];
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs = pairs.map(|(name, value)| format!("{name}={}&", link::segment(value)));
        format!("{}before={before}", pairs.collect::<String>())
    }

    fn is_some(&self) -> bool {
        [&self.branch, &self.trigger, &self.by].iter().any(|text| !text.is_empty())
    }
}

impl Health {
    fn new(visitor: &Visitor, latest: &[BriefRow]) -> Self {
        let over: Vec<_> = latest.iter().filter(|run| state::is_over(&run.status)).collect();
        let green = over.iter().filter(|run| run.status == "success").count();
        let red = red_since(latest).map(|run| (run.number, visitor.clock.when(run.created_ms).ago));
        let last = over.iter().find(|run| run.status != "cancelled");
        Self {
            state: last.map(|run| State::of_job(&run.status, run.reason_kind.as_deref())),
            red_since: red,
            usual: usual(latest).map(duration),
            passed: (!over.is_empty()).then(|| format!("{} % of {}", green * 100 / over.len(), over.len())),
            chart: Chart::new(&latest[..latest.len().min(40)]),
        }
    }
}

impl Row {
    pub fn new(visitor: &Visitor, run: &RunRow, usual: Option<i64>, failed: &[FailedStep]) -> Self {
        let step = failed.iter().find(|step| step.job == run.id);
        let took = run.finished_ms.zip(run.started_ms).map(|(end, start)| (end - start).max(0));
        Self {
            pipeline: None,
            number: run.number,
            href: link::run(&run.pipeline, run.number),
            state: State::of_job(&run.status, run.reason_kind.as_deref()),
            branch: run.source_ref.clone().unwrap_or_default(),
            sha: run.source_sha.as_deref().unwrap_or_default().chars().take(7).collect(),
            title: run.source_title.clone().unwrap_or_default(),
            actor: run.actor.clone().unwrap_or_default(),
            trigger: run.trigger.clone(),
            when: visitor.clock.when(run.started_ms.unwrap_or(run.created_ms)),
            took: took.map(duration),
            change: took.zip(usual).filter(|_| run.status == "success").and_then(|(took, usual)| change(took, usual)),
            note: words::note(step, run.reason_message.as_deref()),
        }
    }
}

impl Row {
    /// The same in a list of more than one pipeline's.
    pub fn named(self, pipeline: &str) -> Self {
        Self { pipeline: Some(pipeline.to_owned()), ..self }
    }
}

/// How much longer or shorter than usual, when it is worth a word.
fn change(took: i64, usual: i64) -> Option<String> {
    let percent = (took - usual) * 100 / usual.max(1);
    (percent.abs() >= 20 && (took - usual).abs() > 1000).then(|| format!("{percent:+} %"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_that_matters_is_told() {
        assert_eq!(change(192_000, 245_000).as_deref(), Some("-21 %"));
        assert_eq!(change(300_000, 200_000).as_deref(), Some("+50 %"));
        assert_eq!(change(210_000, 200_000), None);
        assert_eq!(change(900, 300), None, "less than a second");
    }

    #[test]
    fn the_next_page_keeps_the_filters() {
        let wanted = Wanted { branch: "fix/a b".into(), ..Wanted::default() };
        assert_eq!(wanted.query("01a"), "branch=fix%2Fa%20b&before=01a");
    }
}
