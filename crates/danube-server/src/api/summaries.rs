//! Summaries: what a job's danubefile wrote for people.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use danube_store::summaries;

use super::jobs::chosen_attempt;
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery, Of};

/// The texts of all calls, each beginning on a line of its own.
pub(crate) async fn text(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    InQuery(of): InQuery<Of>,
) -> Result<Response, Problem> {
    let attempt = chosen_attempt(&ctx, &id, of.attempt).await?;
    let mut text = String::new();
    for row in summaries::list(ctx.store().read(), &attempt).await? {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&row.text);
    }
    let kind = HeaderValue::from_static("text/markdown; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
