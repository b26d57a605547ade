//! What a form of our own pages sends.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};

use super::body;
use crate::context::Ctx;
use crate::problem::Problem;

/// A form's fields, in order.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The value of a field; empty when it was not sent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(sent, _)| sent == name).map_or("", |(_, value)| value)
    }

    /// Every field.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromRequest<Ctx> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _: &Ctx) -> Result<Self, Problem> {
        let (parts, sent) = request.into_parts();
        let bytes = body::whole(&parts.headers, sent).await?;
        if !is_form(&parts.headers) {
            return Err(Problem::bad_request("This address takes what a page's form sends."));
        }
        let fields = serde_urlencoded::from_bytes(&bytes);
        fields.map(Self).map_err(|_| Problem::bad_request("The form cannot be read."))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next()).is_some_and(|kind| kind.trim() == "application/x-www-form-urlencoded")
}
