//! Events as `text/event-stream` has them.

use std::fmt::Write as _;

use axum::body::Bytes;
use serde::Serialize;

use super::cursor::Cursor;

/// A line that says nothing: the connection lives.
pub(crate) const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// How soon a browser comes back.
pub(crate) const OPENING: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// An event with the cursor after it. JSON has no line ends, whatever the texts in it.
pub(crate) fn event(name: &str, cursor: &Cursor, data: &str) -> Bytes {
    let mut text = String::with_capacity(data.len() + 256);
    // Writing to memory cannot fail.
    let _ = write!(text, "id: {cursor}\nevent: {name}\ndata: {data}\n\n");
    text.into()
}

/// A thing as JSON.
pub(super) fn json(thing: &impl Serialize) -> String {
    // No thing of ours has keys that are not texts.
    serde_json::to_string(thing).unwrap_or_default()
}
