//! Pipelines: what can be run.

use std::collections::HashMap;

use axum::extract::State;
use danube_store::jobs::{self, Filter};
use danube_store::pipelines::{self, PipelineRow};
use serde::Serialize;
use utoipa::ToSchema;

use super::jobs::with_queue;
use crate::answer::Json;
use crate::context::Ctx;
use crate::model::Job;
use crate::problem::Problem;
use crate::request::extract::InPath;

/// Every pipeline, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pipelines {
    pub pipelines: Vec<Pipeline>,
}

/// A pipeline.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pipeline {
    pub name: String,
    /// The repository or checkout on the master's machine.
    pub dir: String,
    /// The danubefile, relative to it.
    pub entry_point: String,
    /// What a job builds when nothing else was asked for; none for the checkout as it stands.
    pub branch: Option<String>,
    /// The newest job.
    pub last_job: Option<Job>,
    pub counts: Counts,
}

/// Jobs that have not ended.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Counts {
    pub waiting: u32,
    pub running: u32,
}

pub(crate) async fn list(State(ctx): State<Ctx>) -> Result<Json<Pipelines>, Problem> {
    Ok(Json(Pipelines { pipelines: all(&ctx).await? }))
}

pub(crate) async fn get(State(ctx): State<Ctx>, InPath(name): InPath<String>) -> Result<Json<Pipeline>, Problem> {
    let row = pipelines::get(ctx.store().read(), &name).await?.ok_or_else(|| no_pipeline(&name))?;
    let counts = counts(&ctx).await?;
    Ok(Json(dress(&ctx, row, &counts).await?))
}

/// Every pipeline, by name.
pub(crate) async fn all(ctx: &Ctx) -> Result<Vec<Pipeline>, Problem> {
    let counts = counts(ctx).await?;
    let mut all = Vec::new();
    for row in pipelines::list(ctx.store().read()).await? {
        all.push(dress(ctx, row, &counts).await?);
    }
    Ok(all)
}

/// There is no such pipeline.
pub(crate) fn no_pipeline(name: &str) -> Problem {
    let shown: String = name.chars().take(64).collect();
    Problem::not_found(format!("There is no pipeline {shown}."))
}

async fn dress(ctx: &Ctx, row: PipelineRow, counts: &HashMap<String, Counts>) -> Result<Pipeline, Problem> {
    let filter = Filter { pipeline: Some(row.name.clone()), ..Filter::default() };
    let newest = jobs::page(ctx.store().read(), &filter, 1).await?;
    let counts = counts.get(&row.name).copied().unwrap_or_default();
    let last_job = with_queue(ctx, newest).await?.pop();
    let PipelineRow { name, dir, entry_point, branch, .. } = row;
    Ok(Pipeline { name, dir, entry_point, branch, last_job, counts })
}

/// Jobs that have not ended, by pipeline.
async fn counts(ctx: &Ctx) -> Result<HashMap<String, Counts>, Problem> {
    let mut counts: HashMap<String, Counts> = HashMap::new();
    for job in jobs::open(ctx.store().read()).await? {
        let count = counts.entry(job.pipeline).or_default();
        let one = if job.waits { &mut count.waiting } else { &mut count.running };
        *one += 1;
    }
    Ok(counts)
}
