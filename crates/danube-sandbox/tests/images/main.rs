//! Images: what is accepted, what is refused, and that nothing outside is ever touched.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may fail anywhere")]

mod builder;
mod hostile;
mod keeping;
mod layers;
mod ownership;
mod random;
mod sources;
mod tars;
mod users;
mod world;
