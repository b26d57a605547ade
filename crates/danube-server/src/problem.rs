//! What goes wrong with a request, as the caller reads it: a stable code, a sentence, the request's id. What only we may
//! know goes to our own log, under the same id.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use danube_engine::EngineError;
use danube_engine::logs::LogError;
use danube_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request makes no sense.
    BadRequest,
    /// Nobody has come in.
    Unauthenticated,
    /// Who came in may not do this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// Not with this method.
    MethodNotAllowed,
    /// Not in the state that it is in.
    Conflict,
    /// It was there once.
    Gone,
    /// Too many bytes.
    TooLarge,
    /// Understood, but it cannot be done.
    Unprocessable,
    /// Not now.
    Unavailable,
    /// Danube failed.
    Internal,
}

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub status: StatusCode,
    pub code: Code,
    /// A sentence for the caller.
    pub message: String,
    /// For our own log only.
    pub cause: Option<String>,
    /// Headers that belong to it.
    pub headers: Vec<(header::HeaderName, HeaderValue)>,
}

/// A problem as JSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody<'a> {
    error: ErrorFields<'a>,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorFields<'a> {
    /// What went wrong, for programs.
    code: Code,
    /// What went wrong and what to do, for people.
    message: &'a str,
    /// Danube's own log says more under this id.
    request_id: &'a str,
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { status: code.status(), code, message: message.into(), cause: None, headers: Vec::new() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// Nobody has come in.
    pub(crate) fn unauthenticated(message: &str) -> Self {
        let asks = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"danube\""));
        Self { headers: vec![asks], ..Self::new(Code::Unauthenticated, message) }
    }

    /// Danube failed; `cause` is not for the caller.
    pub(crate) fn internal(cause: impl ToString) -> Self {
        let message = "Danube failed at this request. Its log says more under the request id.";
        Self { cause: Some(cause.to_string()), ..Self::new(Code::Internal, message) }
    }

    /// Not now; `cause` is not for the caller.
    fn unavailable(message: &str, cause: impl ToString) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::new(Code::Unavailable, message) }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// As JSON, with the id of the request.
    pub(crate) fn to_json(&self, request_id: &str) -> Vec<u8> {
        let error = ErrorFields { code: self.code, message: &self.message, request_id };
        serde_json::to_vec(&ErrorBody { error }).unwrap_or_default()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::unavailable("Danube is stopping: try again soon.", error),
            full if full.is_full() => {
                Self::unavailable("Danube's disk is full: nothing was changed. Make room, then try again.", full)
            }
            other => Self::internal(other),
        }
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Store(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::Log(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// The body is written where the request's id is known (`request::finish`).
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers.iter().cloned());
        response.extensions_mut().insert(self);
        response
    }
}
