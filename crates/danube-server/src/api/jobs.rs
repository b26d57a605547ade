//! Jobs: list, one, start, stop, again.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use danube_core::id::{AttemptId, JobId};
use danube_core::job::JobStatus;
use danube_engine::master::{Accepted, Cancelled, Submission, SubmitError};
use danube_store::jobs::{self, Filter, JobRow};
use danube_store::{attempts, containers, reports, steps};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Json;
use crate::auth::Identity;
use crate::context::Ctx;
use crate::model::{Job, JobDetail, TestCounts};
use crate::problem::{Code, Problem};
use crate::request::body::{InBody, Texts};
use crate::request::extract::{InPath, InQuery, Of, job_id, no_job};

/// Jobs of a page, unless the query says otherwise.
const PAGE: u32 = 50;
/// Jobs of a page at most.
const LARGEST_PAGE: u32 = 200;

/// A page of jobs, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobPage {
    jobs: Vec<Job>,
    /// Give it as `before` for the next page; none at the end.
    next: Option<String>,
}

/// Which jobs to list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pipeline: Option<String>,
    status: Option<JobStatus>,
    before: Option<JobId>,
    limit: Option<u32>,
}

/// What a new job is made from.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewJob {
    /// A branch, tag or commit; without one the checkout as it stands.
    #[serde(rename = "ref", default)]
    reference: Option<String>,
    /// Parameters by name, as written.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    params: Texts,
}

/// A body that says nothing: none, or `{}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NothingMore {}

pub(crate) async fn list(State(ctx): State<Ctx>, InQuery(wanted): InQuery<Wanted>) -> Result<Json<JobPage>, Problem> {
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("The limit is a number from 1 to {LARGEST_PAGE}.")));
    }
    let filter = Filter { pipeline: wanted.pipeline, status: wanted.status, before: wanted.before };
    // One more than asked for, to know whether there are more.
    let mut rows = jobs::page(ctx.store().read(), &filter, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    Ok(Json(JobPage { jobs: with_queue(&ctx, rows).await?, next }))
}

pub(crate) async fn get(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    InQuery(of): InQuery<Of>,
) -> Result<Json<JobDetail>, Problem> {
    let id = job_id(&ctx, &id).await?;
    let row = row(&ctx, &id).await?;
    let attempts = attempts::list(ctx.store().read(), &id).await?;
    let attempt = attempt_of(&row, of.attempt)?;
    let steps = steps::list(ctx.store().read(), &attempt).await?;
    let reports = reports::list(ctx.store().read(), &attempt).await?;
    let waiting = if waits(&row) { ctx.master.waiting(&id).await? } else { None };
    let job = Job::new(row, waiting);
    let (steps, attempts) =
        (steps.into_iter().map(Into::into).collect(), attempts.into_iter().map(Into::into).collect());
    let tests = (!reports.is_empty()).then(|| TestCounts::of(&reports));
    let containers = containers::list(ctx.store().read(), &attempt).await?.into_iter().map(Into::into).collect();
    Ok(Json(JobDetail { job, steps, attempts, tests, containers }))
}

pub(crate) async fn create(
    State(ctx): State<Ctx>,
    InPath(pipeline): InPath<String>,
    Extension(who): Extension<Identity>,
    InBody(wish): InBody<NewJob>,
) -> Result<Response, Problem> {
    let params = wish.params.0.into_iter().collect();
    let submission =
        Submission { pipeline, params, reference: wish.reference, trigger: "manual", actor: Some(who.actor) };
    let accepted = ctx.master.submit(submission).await.map_err(refused)?;
    created(&ctx, &accepted).await
}

pub(crate) async fn rerun(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    Extension(who): Extension<Identity>,
    _: InBody<NothingMore>,
) -> Result<Response, Problem> {
    let id = job_id(&ctx, &id).await?;
    let accepted = ctx.master.rerun(&id, Some(who.actor)).await.map_err(refused)?;
    created(&ctx, &accepted).await
}

pub(crate) async fn cancel(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    _: InBody<NothingMore>,
) -> Result<(StatusCode, Json<Job>), Problem> {
    let id = job_id(&ctx, &id).await?;
    match ctx.master.cancel(&id).await? {
        Cancelled::Requested => Ok((StatusCode::ACCEPTED, Json(load(&ctx, &id).await?))),
        Cancelled::AlreadyFinished => Err(Problem::new(Code::Conflict, format!("The job {id} has ended already."))),
        Cancelled::NotFound => Err(no_job(id.as_str())),
    }
}

async fn created(ctx: &Ctx, accepted: &Accepted) -> Result<Response, Problem> {
    let job = load(ctx, &accepted.id).await?;
    let place = HeaderValue::from_str(&format!("/api/v1/jobs/{}", accepted.id)).map_err(Problem::internal)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(job)).into_response())
}

/// Why there is no such job, for who asked.
pub(crate) fn refused(error: SubmitError) -> Problem {
    match error {
        SubmitError::UnknownPipeline(name) => super::pipelines::no_pipeline(&name),
        SubmitError::UnknownJob(id) => no_job(id.as_str()),
        SubmitError::Invalid(refused) => Problem::new(Code::Unprocessable, refused.message),
        SubmitError::Draining => Problem::new(Code::Unavailable, "Danube takes no new jobs: it is about to stop."),
        SubmitError::Engine(error) => error.into(),
    }
}

/// A job's row.
pub(crate) async fn row(ctx: &Ctx, id: &JobId) -> Result<JobRow, Problem> {
    jobs::get(ctx.store().read(), id).await?.ok_or_else(|| no_job(id.as_str()))
}

/// A job as the API shows it, without its steps.
pub(crate) async fn load(ctx: &Ctx, id: &JobId) -> Result<Job, Problem> {
    let row = row(ctx, id).await?;
    let waiting = if waits(&row) { ctx.master.waiting(id).await? } else { None };
    Ok(Job::new(row, waiting))
}

/// Rows as the API shows them.
pub(crate) async fn with_queue(ctx: &Ctx, rows: Vec<JobRow>) -> Result<Vec<Job>, Problem> {
    let any = rows.iter().any(waits);
    let mut waiting = if any { ctx.master.all_waiting().await? } else { HashMap::new() };
    let dressed = rows.into_iter().map(|row| {
        let place = waiting.remove(row.id.as_str());
        Job::new(row, place)
    });
    Ok(dressed.collect())
}

/// Only what has not begun can wait.
fn waits(row: &JobRow) -> bool {
    row.status == JobStatus::Pending.as_str()
}

/// The attempt that a query names, or the newest one, of the job that a path names.
pub(crate) async fn chosen_attempt(ctx: &Ctx, id: &str, wanted: Option<u32>) -> Result<AttemptId, Problem> {
    attempt_of(&row(ctx, &job_id(ctx, id).await?).await?, wanted)
}

/// The attempt of a job that somebody wants to see, or the newest one. Before there is one that has the number 0, and
/// nothing of it is found.
pub(crate) fn attempt_of(row: &JobRow, wanted: Option<u32>) -> Result<AttemptId, Problem> {
    let newest = AttemptId { job: row.id.parse().map_err(Problem::internal)?, number: row.attempt };
    match wanted {
        None => Ok(newest),
        Some(number) if (1..=newest.number).contains(&number) => Ok(AttemptId { number, ..newest }),
        Some(number) => Err(Problem::not_found(format!("The job {} has no attempt {number}.", newest.job))),
    }
}
