//! The outermost layer: every answer has the request's id and the headers that keep browsers careful, and every error
//! becomes JSON (or a small page, for a browser outside of the API).

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::pages::{self, Visitor};
use crate::problem::{Code, Problem};
use crate::request::is_this_machine;

/// Under this name the id of a request is in every answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Marks an answer that is meant as it is, although its status is that of an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsItIs;

/// Runs the request, and finishes its answer.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let id = request_id();
    let page = wants_page(&request);
    let asked = request.headers().clone();
    let line = format!("{} {}", request.method(), request.uri().path());
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| Problem::internal(words(&*panic)).into_response());
    if let Some(problem) = problem_of(&response) {
        log(&problem, &id, &line);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = match &page {
            Some(visitor) => Body::from(pages::problem::write(visitor, &problem, &id, response.headers_mut())),
            None => json(&problem, &id, response.headers_mut()),
        };
    }
    pages::forget_what_was_done(&asked, response.headers_mut());
    careful(response.headers_mut());
    if !is_this_machine(&asked) {
        by_tls_only(response.headers_mut());
    }
    response.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("?")));
    response
}

fn request_id() -> String {
    let mut bytes = [0; 8];
    // An id that is not random is still an id.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}

/// What a handler said, or what the framework found before there was a handler.
fn problem_of(response: &Response) -> Option<Problem> {
    if response.extensions().get::<AsItIs>().is_some() {
        return None;
    }
    let told = response.extensions().get::<Problem>().cloned();
    // A form that comes back with what was wrong in it is a page of its own.
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    told.or_else(|| match response.status() {
        status if status.is_server_error() => Some(Problem::internal(format!("answered {status} by itself"))),
        status if status.is_client_error() && !is_page => {
            Some(Problem::bad_request("The request makes no sense here."))
        }
        _ => None,
    })
}

fn log(problem: &Problem, id: &str, line: &str) {
    let cause = problem.cause.as_deref().unwrap_or_default();
    match problem.code {
        Code::Internal | Code::Unavailable => {
            tracing::error!(request.id = id, request.line = line, cause, "a request failed");
        }
        _ => tracing::debug!(request.id = id, request.line = line, message = problem.message, "a request was refused"),
    }
}

fn json(problem: &Problem, id: &str, headers: &mut HeaderMap) -> Body {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Body::from(problem.to_json(id))
}

/// For a browser outside of the API: how it likes pages.
fn wants_page(request: &Request) -> Option<Visitor> {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let wants =
        !request.uri().path().starts_with("/api/") && accepts.is_some_and(|accept| accept.contains("text/html"));
    wants.then(|| Visitor::of(request.headers(), None))
}

/// Headers that keep a browser from guessing, caching, embedding and telling.
fn careful(headers: &mut HeaderMap) {
    let rules = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in rules {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// What belongs to an answer that TLS carries: whatever a browser keeps or sends stays within it.
fn by_tls_only(headers: &mut HeaderMap) {
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    for cookie in headers.iter_mut().filter(|(name, _)| **name == header::SET_COOKIE).map(|(_, cookie)| cookie) {
        let secured = [cookie.as_bytes(), b"; Secure"].concat();
        *cookie = HeaderValue::from_bytes(&secured).unwrap_or_else(|_| cookie.clone());
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a handler panicked: {}", text.unwrap_or_default())
}

/// For an unknown path.
pub(crate) async fn not_found() -> Problem {
    Problem::not_found("There is nothing at this address; /openapi.json lists what there is.")
}

/// For a method that a path does not have.
pub(crate) async fn wrong_method() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "This address does not take this method; the header Allow names those it does.",
    )
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}
