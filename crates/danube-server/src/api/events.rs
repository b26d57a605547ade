//! A job's live stream.

use axum::body::{Body, Bytes};
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
    let told = parse(&headers, resume.after.as_deref())?;
    let cursor = cursor(&ctx, &id, told).await?;
    row(&ctx, &cursor.job).await?;
    if cursor.ended {
        // Tells a browser that there is nothing to come back for.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let next = |mut reader: Reader| async move { Ok(reader.next().await?.map(|bytes| (bytes, reader))) };
    Ok(answer(Reader::new(ctx, cursor), next))
}

/// What the caller was told, if it is of this job.
pub(crate) fn told(headers: &HeaderMap, after: Option<&str>, job: &JobId) -> Result<Option<Cursor>, Problem> {
    let told = parse(headers, after)?;
    if told.as_ref().is_some_and(|cursor| cursor.job != *job) { Err(no_cursor()) } else { Ok(told) }
}

/// A browser that comes back asks at the address that it was given first, and says the newer cursor in its header.
fn parse(headers: &HeaderMap, after: Option<&str>) -> Result<Option<Cursor>, Problem> {
    let told = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?")).or(after);
    told.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(|_| no_cursor())).transpose()
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

/// A stream of events. They are made when there is room to send them.
pub(crate) fn answer<R, N, F>(reader: R, next: N) -> Response
where
    R: Send + 'static,
    N: Fn(R) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Option<(Bytes, R)>, Problem>> + Send + 'static,
{
    let events = stream::try_unfold(reader, move |reader| {
        let next = next.clone();
        async move {
            next(reader).await.map_err(|problem| {
                tracing::error!(cause = problem.cause, message = problem.message, "a stream ended before its job");
                std::io::Error::other("ended before its job")
            })
        }
    });
    let body = Body::from_stream(stream::once(async { Ok(OPENING) }).chain(events));
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))], body).into_response()
}
