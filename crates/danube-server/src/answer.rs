//! Answers: JSON, and bodies that are made a block at a time while they are sent.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use crate::problem::Problem;

/// Bytes made at once, about: what a download holds in memory.
pub(crate) const BLOCK: usize = 64 * 1024;

/// A JSON answer.
pub(crate) struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => {
                let kind = HeaderValue::from_static("application/json");
                ([(header::CONTENT_TYPE, kind)], Body::from(json)).into_response()
            }
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

/// Something that gives its bytes a block at a time. It may block: it is asked away from the tasks that must not.
pub(crate) trait Blocks: Send + 'static {
    /// The next block; none at the end.
    fn next_block(&mut self) -> Result<Option<Bytes>, Problem>;
}

/// A body that asks for a block when there is room to send it.
pub(crate) fn body(blocks: impl Blocks) -> Body {
    Body::from_stream(stream::try_unfold(blocks, |mut blocks| async move {
        let made = blocking(move || (blocks.next_block(), blocks)).await;
        let block = made.and_then(|(block, blocks)| Ok(block?.map(|block| (block, blocks))));
        // The connection is cut, so that half an answer is never taken for a whole one.
        block.map_err(|problem| {
            tracing::error!(cause = problem.cause, "an answer ended half way");
            std::io::Error::other("ended half way")
        })
    }))
}

/// Runs what may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)
}

/// The header that makes a browser save an answer under this name.
pub(crate) fn attachment(name: &str) -> HeaderValue {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.+ ".contains(c) { c } else { '_' }).collect();
    let exact: String = name.bytes().map(percent).collect();
    let value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}");
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// A byte as RFC 8187 writes it.
fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
        return char::from(byte).to_string();
    }
    format!("%{byte:02X}")
}
