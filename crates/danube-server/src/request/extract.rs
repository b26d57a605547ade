//! What a request says in its path and its query, with our words when it makes no sense.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use danube_core::id::JobId;
use danube_store::jobs;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::context::Ctx;
use crate::problem::Problem;

/// The variable parts of the path.
pub(crate) struct InPath<T>(pub T);

/// Which attempt is meant; the newest one if it is not said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Of {
    pub attempt: Option<u32>,
}

/// The query. Keys that the route does not know are refused: a misspelt filter must not mean "all".
pub(crate) struct InQuery<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Ctx> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, ctx: &Ctx) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, ctx).await;
        path.map(|Path(value)| Self(value)).map_err(|_: PathRejection| {
            Problem::not_found("There is nothing at this address: a part of it has the wrong form.")
        })
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Ctx> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, ctx: &Ctx) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, ctx).await;
        query.map(|Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            use std::error::Error as _;
            let why = rejection.source().map_or_else(String::new, |source| format!(": {source}"));
            Problem::bad_request(format!("The query cannot be read{why}."))
        })
    }
}

/// The job that a path names, which may be the word `latest`. It need not exist.
pub(crate) async fn job_id(ctx: &Ctx, text: &str) -> Result<JobId, Problem> {
    if text == "latest" {
        let newest = jobs::page(ctx.store().read(), &jobs::Filter::default(), 1).await?;
        let newest = newest.first().and_then(|row| row.id.parse().ok());
        return newest.ok_or_else(|| Problem::not_found("There are no jobs yet."));
    }
    text.parse().map_err(|_| no_job(text))
}

/// There is no such job.
pub(crate) fn no_job(text: &str) -> Problem {
    let shown: String = text.chars().take(64).collect();
    Problem::not_found(format!("There is no job {shown}."))
}
