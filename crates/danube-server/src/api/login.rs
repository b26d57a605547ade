//! The one-time link.

use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::auth::LINK_LIFE;
use crate::context::Ctx;
use crate::pages::{self, Visitor};
use crate::problem::Problem;
use crate::request::extract::InQuery;
use crate::request::wrong_method;

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
    InQuery(link): InQuery<Link>,
) -> Result<Response, Problem> {
    // What only asks for the headers must not use up the link.
    if method != Method::GET {
        return Err(wrong_method().await.with_header(header::ALLOW, HeaderValue::from_static("GET")));
    }
    let Some(token) = link.token else { return pages::login::show(&visitor) };
    let Some(cookie) = ctx.auth.log_in(&token).await? else { return Err(spent()) };
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
