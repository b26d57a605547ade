//! Artifacts: the list, one file, a folder as tar.

use std::fs::File;
use std::path::PathBuf;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use danube_core::id::AttemptId;
use danube_store::artifacts::{self, ArtifactRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::chosen_attempt;
use crate::answer::{self, Json, attachment, blocking};
use crate::context::Ctx;
use crate::model::Artifact;
use crate::problem::Problem;
use crate::range::{Download, Source};
use crate::request::extract::{InPath, InQuery, Of};
use crate::tarball::{Entry, Tarball};

/// The artifacts of an attempt.
#[derive(Serialize, ToSchema)]
pub(crate) struct Artifacts {
    /// By name.
    artifacts: Vec<Artifact>,
}

/// How to give it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    format: Option<Format>,
    attempt: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// Everything below the name.
    Tar,
}

pub(crate) async fn list(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    InQuery(of): InQuery<Of>,
) -> Result<Json<Artifacts>, Problem> {
    let attempt = chosen_attempt(&ctx, &id, of.attempt).await?;
    let rows = artifacts::list(ctx.store().read(), &attempt).await?;
    Ok(Json(Artifacts { artifacts: rows.into_iter().map(Into::into).collect() }))
}

pub(crate) async fn get(
    State(ctx): State<Ctx>,
    InPath((id, name)): InPath<(String, String)>,
    InQuery(wanted): InQuery<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let attempt = chosen_attempt(&ctx, &id, wanted.attempt).await?;
    let rows = artifacts::list(ctx.store().read(), &attempt).await?;
    match wanted.format {
        None => one(&ctx, &attempt, rows, &name, &headers).await,
        Some(Format::Tar) => folder(&ctx, &attempt, rows, &name),
    }
}

async fn one(
    ctx: &Ctx,
    attempt: &AttemptId,
    rows: Vec<ArtifactRow>,
    name: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let found = rows.into_iter().find(|row| row.name == name);
    let row = found.ok_or_else(|| no_artifact(attempt, name))?;
    let (path, len) = (ctx.master.artifacts().path(attempt, &row), size(&row));
    let file = blocking(move || open(&path, len)).await??;
    let last = row.name.rsplit('/').next().unwrap_or_default().to_owned();
    let download = Download { bytes: Source::File(file), len, etag: hex::encode(&row.sha256), name: last };
    Ok(download.answer(headers))
}

/// Everything below a folder's name. Names in the archive begin with the folder's own last part.
fn folder(ctx: &Ctx, attempt: &AttemptId, rows: Vec<ArtifactRow>, name: &str) -> Result<Response, Problem> {
    let folder = name.trim_end_matches('/');
    let last = folder.rsplit('/').next().unwrap_or_default();
    let above = folder.len() - last.len();
    let below = rows.into_iter().filter(|row| row.name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
    let entries: Vec<Entry> = below
        .map(|row| Entry {
            path: ctx.master.artifacts().path(attempt, &row),
            len: size(&row),
            mtime: u64::try_from(row.created_ms / 1000).unwrap_or(0),
            name: row.name[above..].to_owned(),
        })
        .collect();
    if entries.is_empty() {
        return Err(no_artifact(attempt, name));
    }
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    let save = (header::CONTENT_DISPOSITION, attachment(&format!("{last}.tar")));
    Ok(([kind, save], answer::body(Tarball::new(entries))).into_response())
}

/// The file of an artifact, which must be as long as its row says.
pub(crate) fn open(path: &PathBuf, len: u64) -> Result<File, Problem> {
    let file = File::open(path).map_err(Problem::internal)?;
    let found = file.metadata().map_err(Problem::internal)?.len();
    if found == len {
        Ok(file)
    } else {
        Err(Problem::internal(format!("{} has {found} bytes, not {len}", path.display())))
    }
}

fn size(row: &ArtifactRow) -> u64 {
    u64::try_from(row.size).unwrap_or(0)
}

fn no_artifact(attempt: &AttemptId, name: &str) -> Problem {
    let shown: String = name.chars().take(200).collect();
    Problem::not_found(format!("The job {} has no artifact {shown}.", attempt.job))
}
