//! The job's resolver: reads questions strictly, answers each from the policy alone.

mod message;
mod responder;

pub(super) use responder::{serve_datagrams, serve_streams};
