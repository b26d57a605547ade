//! Bodies of requests: small, JSON, each key once.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};

use crate::context::Ctx;
use crate::problem::{Code, Problem};

/// Bytes of a body.
const LONGEST: usize = 64 * 1024;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A JSON body. None at all is the same as `{}`.
pub(crate) struct InBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Ctx> for InBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Ctx) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = whole(&parts.headers, body).await?;
        if body.is_empty() {
            return parse(b"{}").map(Self);
        }
        if !is_json(&parts.headers) {
            return Err(Problem::bad_request("The body must be JSON, with the header Content-Type: application/json."));
        }
        parse(&body).map(Self)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list of values without their names would be read too.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::bad_request("The body must be a JSON object."));
    }
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("The body cannot be read: {error}.")))
}

/// The bytes of a body that is small and arrives soon.
pub(super) async fn whole(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let reading = tokio::time::timeout(PATIENCE, read(headers, body));
    reading.await.map_err(|_| Problem::bad_request("The body took too long to arrive."))?
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|length| length > LONGEST) {
        return Err(too_large());
    }
    let whole = Limited::new(body, LONGEST).collect().await;
    whole.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_large()
        } else {
            Problem::bad_request("The body did not arrive whole.")
        }
    })
}

fn too_large() -> Problem {
    Problem::new(Code::TooLarge, format!("The body has more than {LONGEST} bytes."))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Texts by name, each name once: of two values for one parameter nobody knows which was meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose values are strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((name, text)) = map.next_entry::<String, String>()? {
            if texts.insert(name.clone(), text).is_some() {
                return Err(A::Error::custom(format_args!("`{name}` is given twice")));
            }
        }
        Ok(Texts(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_given_twice_is_refused() {
        let texts: Texts = serde_json::from_str(r#"{"a":"1","b":"2"}"#).unwrap();
        assert_eq!(texts.0.len(), 2);
        let twice = serde_json::from_str::<Texts>(r#"{"a":"1","a":"2"}"#).unwrap_err();
        assert!(twice.to_string().starts_with("`a` is given twice"), "{twice}");
        assert!(serde_json::from_str::<Texts>(r#"{"a":1}"#).is_err());
    }
}
