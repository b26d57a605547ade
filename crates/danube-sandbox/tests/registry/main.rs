//! Images from registries: honest ones, tired ones, lying ones, and a real one.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may fail anywhere")]

mod honest;
mod lying;
mod permission;
mod real;
mod server;
mod tired;
mod world;
