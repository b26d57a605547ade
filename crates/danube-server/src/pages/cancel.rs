//! Cancelling a run: one's own at once; of somebody else's it is asked first, in a dialog, or without scripts on
//! `/pipelines/{name}/{number}/cancel`, which has the same form.

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_core::id::JobId;
use danube_engine::master::Cancelled;

use super::job::{RunPath, crumbs, find, no_run};
use super::shell::{Crumb, Shell, Tab};
use super::visitor::Visitor;
use super::{job_page, link, see_after};
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::InPath;

/// The button that cancels a run.
pub(super) struct Cancel {
    /// Names its dialog.
    pub id: String,
    pub pipeline: String,
    pub number: i64,
    pub href: String,
    /// Whose run it is, if not one's own, and since when there is one.
    pub others: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "cancel.html")]
struct CancelPage {
    shell: Shell,
    cancel: Cancel,
    over: bool,
}

impl Cancel {
    /// Of this run, for somebody who looks at it. A run that nobody started is nobody else's.
    pub fn new(visitor: &Visitor, id: &str, (pipeline, number): (&str, i64), actor: Option<&str>, at_ms: i64) -> Self {
        let others = actor.filter(|actor| visitor.actor().as_deref() != Some(actor));
        Self {
            id: id.to_owned(),
            pipeline: pipeline.to_owned(),
            number,
            href: link::run(pipeline, number),
            others: others.map(|actor| (actor.to_owned(), visitor.clock.when(at_ms).ago)),
        }
    }
}

pub(crate) async fn ask(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
) -> Result<Response, Problem> {
    let row = find(&ctx, &name, number).await?;
    let shell = Shell::new(&ctx, &visitor, format!("Cancel #{number} of {name}?"), Tab::Pipelines).await?;
    let cancel = Cancel::new(&visitor, &row.id, (name.as_str(), number), row.actor.as_deref(), row.created_ms);
    let way = crumbs(&name, number).into_iter().chain([Crumb::new("Cancel", "")]);
    job_page(&CancelPage { shell: shell.under(way), cancel, over: row.finished_ms.is_some() })
}

pub(crate) async fn cancel(Shared(ctx): Shared<Ctx>, InPath((name, number)): RunPath) -> Result<Response, Problem> {
    let row = find(&ctx, &name, number).await?;
    let id: JobId = row.id.parse().map_err(Problem::internal)?;
    let code = match ctx.master.cancel(&id).await? {
        Cancelled::Requested => "cancelled",
        Cancelled::AlreadyFinished => "over",
        Cancelled::NotFound => return Err(no_run(&name, number)),
    };
    see_after(&link::run(&name, number), code, number)
}
