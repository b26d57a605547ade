//! The pages for people (docs/ui.md): complete HTML, made here from rows; scripts only shorten a way that a link or a
//! form has too. One file per page; what all of them have around their content is the [`shell`].

use askama::Template;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

pub(crate) mod account;
pub(crate) mod artifacts;
pub(crate) mod cancel;
mod chart;
pub(crate) mod compare;
pub(crate) mod home;
pub(crate) mod job;
mod link;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod login;
mod markdown;
pub(crate) mod pipeline;
pub(crate) mod problem;
pub(crate) mod queue;
pub(crate) mod reports;
pub(crate) mod run;
pub(crate) mod search;
mod shell;
mod state;
pub(crate) mod system;

mod time;
mod visitor;
mod words;

pub(crate) use visitor::Visitor;

/// What a page may do: load our own files, send our own forms, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The same for pages with a job's output: scripts there make HTML by one parser only.
const JOB_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
                          require-trusted-types-for 'script'; trusted-types danube";

/// A page as an answer.
fn page(template: &impl Template) -> Result<Response, Problem> {
    with_policy(template, POLICY)
}

/// A page about a job as an answer.
fn job_page(template: &impl Template) -> Result<Response, Problem> {
    with_policy(template, JOB_POLICY)
}

fn with_policy(template: &impl Template, policy: &'static str) -> Result<Response, Problem> {
    let mut response = template.render().map_err(Problem::internal)?.into_response();
    dress(response.headers_mut(), policy);
    Ok(response)
}

/// The headers of a page.
fn dress(headers: &mut HeaderMap, policy: &'static str) {
    let rules = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "private, no-cache"),
        // Without an origin of its own, a form would be taken for another site's.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ];
    for (name, value) in rules {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// [`visitor::DONE`], over.
const FORGOTTEN: &str = "danube_done=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0";
const PERMISSIONS: &str = "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
                           microphone=(), midi=(), payment=(), publickey-credentials-get=(), usb=()";

/// After a change: look at this page, which says what was done to the run with this number.
fn see_after(path: &str, done: &str, number: i64) -> Result<Response, Problem> {
    let place = HeaderValue::from_str(path).map_err(Problem::internal)?;
    let cookie = format!("{}={done}.{number}; HttpOnly; SameSite=Lax; Path=/; Max-Age=60", visitor::DONE);
    let cookie = HeaderValue::from_str(&cookie).map_err(Problem::internal)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place), (header::SET_COOKIE, cookie)]).into_response())
}

/// What was done has been said once it is on a page.
pub(crate) fn forget_what_was_done(asked: &HeaderMap, answer: &mut HeaderMap) {
    let said = asked.get(header::COOKIE).and_then(|value| value.to_str().ok());
    let is_page = answer.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page && said.is_some_and(|cookies| cookies.contains(visitor::DONE)) {
        answer.append(header::SET_COOKIE, HeaderValue::from_static(FORGOTTEN));
    }
}
