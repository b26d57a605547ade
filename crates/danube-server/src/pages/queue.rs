//! `/queue`: what runs, and what waits, in order, each with its reason.

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_store::runs::{self, RunRow};

use super::cancel::Cancel;
use super::shell::{Shell, Tab};
use super::state::State;
use super::time::{When, duration};
use super::visitor::Visitor;
use super::{link, page};
use crate::context::Ctx;
use crate::problem::Problem;

/// A run that is not over.
struct Row {
    pipeline: String,
    number: i64,
    href: String,
    branch: String,
    actor: String,
    state: State,
    when: When,
    took: String,
    since_ms: i64,
    cancel: Cancel,
    position: usize,
    reason: String,
}

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    shell: Shell,
    running: Vec<Row>,
    waiting: Vec<Row>,
    may_write: bool,
}

pub(crate) async fn show(Shared(ctx): Shared<Ctx>, visitor: Visitor) -> Result<Response, Problem> {
    let shell = Shell::new(&ctx, &visitor, "Queue", Tab::Queue).await?.refreshed(Some(5)).with_scripts(&["live.js"]);
    let shell = shell.listening(&ctx, None).await?;
    let mut places = ctx.master.all_waiting().await?;
    let open = runs::open(ctx.store().read()).await?;
    let (mut running, mut waiting) = (Vec::new(), Vec::new());
    for run in &open {
        let place = places.remove(&run.id);
        let list = if run.status == "pending" { &mut waiting } else { &mut running };
        list.push(Row::new(&visitor, run, place.map(|place| (place.position, place.reason))));
    }
    waiting.sort_by_key(|row| row.position);
    page(&Queue { shell, running, waiting, may_write: visitor.may_write() })
}

impl Row {
    fn new(visitor: &Visitor, run: &RunRow, place: Option<(usize, String)>) -> Self {
        // One that was asked to end before it began has no place any more.
        let (position, reason) = place.unwrap_or_else(|| (0, "it is about to end".to_owned()));
        let since = run.started_ms.unwrap_or(run.created_ms);
        Self {
            pipeline: run.pipeline.clone(),
            number: run.number,
            href: link::run(run.pipeline.as_str(), run.number),
            branch: run.source_ref.clone().unwrap_or_default(),
            actor: run.actor.clone().unwrap_or_default(),
            state: State::of_job(&run.status, None),
            when: visitor.clock.when(since),
            since_ms: since,
            cancel: Cancel::new(
                visitor,
                &run.id,
                (run.pipeline.as_str(), run.number),
                run.actor.as_deref(),
                run.created_ms,
            ),
            took: visitor.clock.between(Some(since), None).map(duration).unwrap_or_default(),
            position,
            reason,
        }
    }
}
