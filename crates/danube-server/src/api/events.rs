//! A job's live stream.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use danube_core::id::JobId;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;

use super::jobs::row;
use crate::context::Ctx;
use crate::events::{Cursor, OPENING, Reader};
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery, job_id};

/// What a browser that comes back sends.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where to go on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resume {
    after: Option<String>,
}

pub(crate) async fn stream(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    InQuery(resume): InQuery<Resume>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // A browser that comes back asks at the address that it was given first, and says the newer cursor in its header.
    let told = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?")).or(resume.after.as_deref());
    let told = told.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(|_| no_cursor())).transpose()?;
    let cursor = cursor(&ctx, &id, told).await?;
    row(&ctx, &cursor.job).await?;
    if cursor.ended {
        // Tells a browser that there is nothing to come back for.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let kind = HeaderValue::from_static("text/event-stream");
    Ok(([(header::CONTENT_TYPE, kind)], body(Reader::new(ctx, cursor))).into_response())
}

/// Where to begin. `latest` may be another job by now: who goes on, goes on with the job that it was.
async fn cursor(ctx: &Ctx, id: &str, told: Option<Cursor>) -> Result<Cursor, Problem> {
    match told {
        Some(cursor) if id == "latest" || id == cursor.job.as_str() => Ok(cursor),
        Some(_) => Err(no_cursor()),
        None => job_id(ctx, id).await.map(|job: JobId| Cursor::new(job)),
    }
}

fn no_cursor() -> Problem {
    Problem::bad_request("The stream cannot go on there: give the id of an event of this job's stream, or none.")
}

/// Events are made when there is room to send them.
fn body(reader: Reader) -> Body {
    let events = stream::try_unfold(reader, |mut reader| async move {
        match reader.next().await {
            Ok(told) => Ok(told.map(|bytes| (bytes, reader))),
            Err(problem) => {
                tracing::error!(cause = problem.cause, message = problem.message, "a stream ended before its job");
                Err(std::io::Error::other("ended before its job"))
            }
        }
    });
    Body::from_stream(stream::once(async { Ok(OPENING) }).chain(events))
}
