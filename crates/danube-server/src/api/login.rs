//! The one-time link.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Json;
use crate::auth::LINK_LIFE;
use crate::context::Ctx;
use crate::pages::{self, Visitor};
use crate::problem::Problem;
use crate::request::extract::InQuery;
use crate::request::wrong_method;

/// A link that lets one browser in, once.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewLink {
    /// Below the address by which the server was asked.
    path: String,
    /// So long may it be used.
    seconds: u64,
}

/// Makes a link. It is told to whoever asked, and written nowhere.
pub(crate) async fn issue(State(ctx): State<Ctx>) -> (StatusCode, Json<NewLink>) {
    let path = format!("/login?token={}", ctx.auth.issue_link());
    (StatusCode::CREATED, Json(NewLink { path, seconds: LINK_LIFE.as_secs() }))
}

/// The secret part of the link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// None from who looks for the way in.
    token: Option<String>,
}

pub(crate) async fn login(
    State(ctx): State<Ctx>,
    visitor: Visitor,
    method: Method,
    headers: HeaderMap,
    InQuery(link): InQuery<Link>,
) -> Result<Response, Problem> {
    // What only asks for the headers must not use up the link.
    if method != Method::GET {
        return Err(wrong_method().await.with_header(header::ALLOW, HeaderValue::from_static("GET")));
    }
    let Some(token) = link.token else { return pages::login::show(&visitor) };
    let Some(cookie) = ctx.auth.log_in(&token, &headers).await? else { return Err(spent()) };
    let cookie = HeaderValue::from_str(&cookie).map_err(Problem::internal)?;
    let home = HeaderValue::from_static("/");
    Ok((StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, home)]).into_response())
}

fn spent() -> Problem {
    let minutes = LINK_LIFE.as_secs() / 60;
    Problem::unauthenticated(&format!(
        "This link was used already, or is older than {minutes} minutes: ask for another one where it was printed."
    ))
}
