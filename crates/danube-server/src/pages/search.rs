//! `/search`: runs by number, commit or id, and pipelines by name.

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;
use danube_store::{pipelines, runs};
use serde::Deserialize;

use super::pipeline::Row;
use super::shell::{Shell, Tab};
use super::visitor::Visitor;
use super::{link, page, state};
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::InQuery;

/// Things that are shown of each kind.
const MOST: u32 = 50;
/// The beginning of a commit's id has at least so many digits.
const SHORTEST_SHA: usize = 4;

/// What is looked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    q: String,
}

#[derive(Template)]
#[template(path = "search.html")]
struct Search {
    shell: Shell,
    q: String,
    pipelines: Vec<(String, String)>,
    rows: Vec<Row>,
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response, Problem> {
    let q = wanted.q.trim().to_owned();
    let found = if q.is_empty() { Vec::new() } else { runs_of(&ctx, &q).await? };
    let bad: Vec<_> = found.iter().filter(|run| state::is_bad(&run.status)).map(|run| run.id.clone()).collect();
    let failed = runs::failed_steps(ctx.store().read(), &bad).await?;
    let shell = Shell::new(&ctx, &visitor, "Search", Tab::None).await?;
    page(&Search {
        shell,
        pipelines: if q.is_empty() { Vec::new() } else { pipelines_of(&ctx, &q).await? },
        rows: found.iter().map(|run| Row::new(&visitor, run, None, &failed).named(&run.pipeline)).collect(),
        q,
    })
}

async fn pipelines_of(ctx: &Ctx, q: &str) -> Result<Vec<(String, String)>, Problem> {
    let all = pipelines::list(ctx.store().read()).await?;
    let fits = |name: &String| name.to_lowercase().contains(&q.to_lowercase());
    let names = all.into_iter().map(|row| row.name).filter(fits).take(MOST as usize);
    Ok(names.map(|name| (name.clone(), link::pipeline(&name))).collect())
}

async fn runs_of(ctx: &Ctx, q: &str) -> Result<Vec<runs::RunRow>, Problem> {
    let db = ctx.store().read();
    let mut ids = Vec::new();
    if let Ok(number) = q.trim_start_matches('#').parse::<i64>() {
        ids.extend(runs::by_number(db, number, MOST).await?);
    }
    let hex = q.to_ascii_lowercase();
    if (SHORTEST_SHA..=64).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        ids.extend(runs::by_commit(db, &hex, MOST).await?);
    }
    // A job's id as other parts of Danube print it.
    ids.push(q.to_owned());
    Ok(runs::by_ids(db, ids).await?)
}
