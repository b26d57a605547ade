//! `/pipelines/{name}/{number}`: one run. What failed and why, its last lines, its tests and what changed stand first.

use askama::Template;
use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use danube_core::id::JobId;
use danube_store::attempts::{self, AttemptRow};
use danube_store::jobs::{self, JobRow};
use danube_store::runs;
use serde::Deserialize;

use super::cancel::Cancel;
use super::shell::{Crumb, Shell, Tab};
use super::state::State;
use super::time::{When, duration};
use super::visitor::Visitor;
use super::{job_page, link, see_after};
use crate::api::jobs::{attempt_of, refused};
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery, job_id, no_job};

mod facts;
mod forge;
mod since;
mod steps;
mod why;

use facts::Facts;
use since::Since;
use steps::Entry;
use why::Why;

/// A run within its pipeline.
pub(super) type RunPath = InPath<(String, i64)>;

/// Which attempt to show: the newest unless told otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub attempt: Option<u32>,
}

/// The line under the heading.
struct Head {
    number: i64,
    state: State,
    branch: String,
    sha: String,
    sha_short: String,
    title: String,
    dirty: bool,
    actor: String,
    trigger: String,
    created: When,
    took: Option<String>,
    /// When it began, while it goes on: the time it takes counts up.
    since: Option<i64>,
    usual: Option<String>,
    /// Percent of the usual time that has gone, while it runs.
    progress: Option<i64>,
    waited: Option<String>,
    over: bool,
    cancelling: bool,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    shell: Shell,
    id: String,
    name: String,
    href: String,
    /// Its log, to which more of the query is added.
    log: String,
    pipeline_href: String,
    head: Head,
    cancel: Cancel,
    waiting: Option<(usize, String)>,
    why: Option<Why>,
    since: Option<Since>,
    /// The oldest of the failed runs that this one, which passed, has ended.
    red_since: Option<i64>,
    entries: Vec<Entry>,
    facts: Facts,
    attempt: u32,
    /// It is not the newest attempt.
    older: bool,
    may_write: bool,
}

/// `/jobs/{id}`, which every other part of Danube can make: the run's page.
pub(crate) async fn by_id(Shared(ctx): Shared<Ctx>, InPath(id): InPath<String>) -> Result<Response, Problem> {
    let id = job_id(&ctx, &id).await?;
    let row = jobs::get(ctx.store().read(), &id).await?.ok_or_else(|| no_job(id.as_str()))?;
    let place = HeaderValue::from_str(&link::run(&row.pipeline, row.number)).map_err(Problem::internal)?;
    Ok((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, place)]).into_response())
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response, Problem> {
    let row = find(&ctx, &name, number).await?;
    let attempt = attempt_of(&row, wanted.attempt)?;
    let attempts = attempts::list(ctx.store().read(), &attempt.job).await?;
    let then = as_of(&row, &attempts, attempt.number);
    let id = attempt.job.clone();
    let green = runs::green_before(ctx.store().read(), &name, row.source_ref.as_deref(), &row.id, 20).await?;
    let rows = danube_store::steps::list(ctx.store().read(), &attempt).await?;
    let usual = steps::Usual::of(&ctx, &green).await?;
    let head = Head::new(&visitor, &row, &ctx, &green).await?;
    let waiting = if row.status == "pending" { ctx.master.waiting(&id).await? } else { None };
    let href = link::run(&name, number);
    let log = log_of(&href, &row, attempt.number);
    let title = format!("{} #{number} {name}", head.state.word);
    let icon = head.state.icon();
    let refresh = (!head.over).then_some(5);
    let shell = Shell::new(&ctx, &visitor, title, Tab::Pipelines).await?.refreshed(refresh).with_scripts(&["live.js"]);
    let shell = Shell { icon, ..shell };
    let page = JobPage {
        shell: shell.under(crumbs(&name, number)),
        waiting: waiting.map(|waiting| (waiting.position, waiting.reason)),
        why: Why::of(&ctx, &then, &attempt, &rows, &log).await?,
        since: Since::of(&ctx, &then, &attempt, &green).await?,
        red_since: since::red_before(&ctx, &then).await?,
        entries: steps::entries(&visitor, &rows, &usual, &log),
        facts: Facts::of(&ctx, &visitor, &row, &attempt, &attempts).await?,
        older: attempt.number < row.attempt,
        attempt: attempt.number,
        may_write: visitor.may_write(),
        cancel: Cancel::new(&visitor, &row.id, (name.as_str(), number), row.actor.as_deref(), row.created_ms),
        pipeline_href: link::pipeline(&name),
        id: row.id,
        name,
        href,
        log,
        head,
    };
    job_page(&page)
}

pub(crate) async fn rerun(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
) -> Result<Response, Problem> {
    let row = find(&ctx, &name, number).await?;
    let id: JobId = row.id.parse().map_err(Problem::internal)?;
    let accepted = ctx.master.rerun(&id, visitor.actor()).await.map_err(refused)?;
    see_after(&link::run(&name, accepted.number), "started", accepted.number)
}

/// The run as it was at the end of one of its attempts.
fn as_of(row: &JobRow, attempts: &[AttemptRow], number: u32) -> JobRow {
    match attempts.iter().find(|attempt| attempt.number == number && number < row.attempt) {
        None => row.clone(),
        Some(attempt) => JobRow {
            attempt: number,
            status: attempt.status.clone(),
            reason_kind: attempt.reason_kind.clone(),
            reason_message: attempt.reason_message.clone(),
            ..row.clone()
        },
    }
}

/// The address of an attempt's log, to which more of the query is added.
fn log_of(href: &str, row: &JobRow, attempt: u32) -> String {
    let attempt = if attempt < row.attempt { format!("attempt={attempt}&") } else { String::new() };
    format!("{href}/log?{attempt}")
}

/// The breadcrumb of a run's page.
pub(super) fn crumbs(name: &str, number: i64) -> [Crumb; 3] {
    [
        Crumb::new("Pipelines", "/"),
        Crumb::new(name, link::pipeline(name)),
        Crumb::new(format!("#{number}"), link::run(name, number)),
    ]
}

/// A run's row.
pub(super) async fn find(ctx: &Ctx, name: &str, number: i64) -> Result<JobRow, Problem> {
    let id = runs::id(ctx.store().read(), name, number).await?.ok_or_else(|| no_run(name, number))?;
    let id = id.parse().map_err(Problem::internal)?;
    jobs::get(ctx.store().read(), &id).await?.ok_or_else(|| no_run(name, number))
}

pub(super) fn no_run(name: &str, number: i64) -> Problem {
    let shown: String = name.chars().take(64).collect();
    Problem::not_found(format!("The pipeline {shown} has no run #{number}."))
}

impl Head {
    async fn new(visitor: &Visitor, row: &JobRow, ctx: &Ctx, green: &[String]) -> Result<Self, Problem> {
        let clock = &visitor.clock;
        let green = runs::by_ids(ctx.store().read(), green.to_vec()).await?;
        let green: Vec<_> = green.into_iter().map(Into::into).collect();
        let usual = super::chart::usual(&green);
        let took = clock.between(row.started_ms, row.finished_ms);
        let over = row.finished_ms.is_some();
        let sha = row.source_sha.clone().unwrap_or_default();
        Ok(Self {
            number: row.number,
            state: State::of_job(&row.status, row.reason_kind.as_deref()),
            branch: row.source_ref.clone().unwrap_or_default(),
            sha_short: sha.chars().take(7).collect(),
            sha,
            title: row.source_title.clone().unwrap_or_default(),
            dirty: row.source_dirty,
            actor: row.actor.clone().unwrap_or_default(),
            trigger: row.trigger.clone(),
            created: clock.when(row.created_ms),
            progress: took.zip(usual).filter(|_| !over).map(|(took, usual)| (took * 100 / usual.max(1)).min(99)),
            took: took.map(duration),
            since: row.started_ms.filter(|_| !over),
            usual: usual.map(duration),
            waited: clock.between(Some(row.created_ms), row.started_ms).filter(|ms| *ms >= 1000).map(duration),
            over,
            cancelling: !over && row.cancel_ms.is_some(),
        })
    }
}
