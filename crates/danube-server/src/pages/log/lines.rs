//! What a script asks for: `…/log/lines`, blocks of a step's lines; `…/log/hits`, where a search found something;
//! `…/summary`, how a run stands, for a tab that nobody looks at.

use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::find;
use super::steps::Steps;
use super::view::{BLOCK, Search, Time};
use super::window::Painter;
use crate::answer::{Json, blocking};
use crate::assets;
use crate::context::Ctx;
use crate::events::short_hash;
use crate::pages::Visitor;
use crate::pages::job::{RunPath, find as find_run};
use crate::pages::state::State;
use crate::problem::Problem;
use crate::range::has_it;
use crate::request::extract::{InPath, InQuery};

/// Lines at once.
const MOST: u64 = 2000;

/// Which lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// From 1; the first of a block.
    from: u64,
    count: u64,
    step: u32,
    t: Option<String>,
    q: Option<String>,
    re: Option<String>,
    attempt: Option<u32>,
}

/// How a run stands.
#[derive(Serialize)]
pub(crate) struct Summary {
    state: String,
    icon: String,
    over: bool,
}

/// What to search for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    q: String,
    re: Option<String>,
    attempt: Option<u32>,
}

pub(crate) async fn lines(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
    InQuery(window): InQuery<Window>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if window.from % BLOCK != 1 || window.count == 0 || window.count > MOST {
        return Err(Problem::bad_request(format!(
            "Blocks have {BLOCK} lines: `from` is the first of one (1, {}, …), `count` is from 1 to {MOST}.",
            BLOCK + 1
        )));
    }
    let (time, search) = (Time::parse(window.t.as_deref())?, Search::parse(window.q.as_deref(), window.re.as_deref())?);
    let row = find_run(&ctx, &name, number).await?;
    let steps = Steps::of(&ctx, &visitor.clock, &row, window.attempt).await?;
    let step = steps.find(window.step)?;
    let zone = &visitor.clock.zone;
    let painter = Painter::new(ctx.master.logs(), steps.key(step.number), steps.began_ms, step, (time, zone));
    let painter = painter.marking(search.as_ref(), None);
    // Of a step that has ended, the same question has the same answer for as long as this build answers.
    let tag = step.over.then(|| {
        let asked = format!("{window:?}{}{}{zone:?}", row.id, steps.attempt.number);
        format!("\"{:x}-{}\"", short_hash(asked.as_bytes()), assets::base().trim_start_matches("/static/"))
    });
    if tag.as_deref().is_some_and(|tag| has_it(&headers, tag)) {
        return Ok(kept(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let (first, count) = (window.from / BLOCK, window.count.div_ceil(BLOCK));
    let html = blocking(move || painter.blocks(first, count)).await??;
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    Ok(kept(([(header::CONTENT_TYPE, kind)], html).into_response(), tag))
}

fn kept(mut response: Response, tag: Option<String>) -> Response {
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    }
    response
}

pub(crate) async fn hits(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Json<find::Hits>, Problem> {
    let search = Search::parse(Some(&wanted.q), wanted.re.as_deref())?;
    let search = search.ok_or_else(|| Problem::bad_request("Say what to search for: `q` is empty."))?;
    let row = find_run(&ctx, &name, number).await?;
    let steps = Steps::of(&ctx, &visitor.clock, &row, wanted.attempt).await?;
    Ok(Json(find::find(&ctx, &steps, &search).await?))
}

pub(crate) async fn summary(
    Shared(ctx): Shared<Ctx>,
    InPath((name, number)): RunPath,
) -> Result<Json<Summary>, Problem> {
    let row = find_run(&ctx, &name, number).await?;
    let state = State::of_job(&row.status, row.reason_kind.as_deref());
    let icon = format!("{}/{}", assets::base(), state.icon());
    Ok(Json(Summary { state: state.word, icon, over: row.finished_ms.is_some() }))
}
