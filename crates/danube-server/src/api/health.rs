//! Whether the server answers, and whether its parts are well.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Json;
use crate::context::Ctx;
use crate::request::AsItIs;

/// The server answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    version: &'static str,
}

/// Whether everything is well.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready` or `ill`.
    status: &'static str,
    parts: Vec<PartHealth>,
}

/// One part of the master.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartHealth {
    name: &'static str,
    /// What ails it; nothing when it is well.
    ill: Option<String>,
}

pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

pub(crate) async fn ready(State(ctx): State<Ctx>) -> (StatusCode, Extension<AsItIs>, Json<Readiness>) {
    let parts: Vec<_> =
        ctx.master.health().into_iter().map(|part| PartHealth { name: part.name, ill: part.ill }).collect();
    let well = parts.iter().all(|part| part.ill.is_none());
    let (code, status) = if well { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "ill") };
    (code, Extension(AsItIs), Json(Readiness { status, parts }))
}
