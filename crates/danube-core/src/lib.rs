//! The vocabulary of Danube: pure types and decisions, no input or output.
//!
//! Everything here can be tested without a clock, a disk or a network. Crates that act (store, sandbox,
//! engine) speak in these words.

#[cfg(feature = "ansi")]
pub mod ansi;
pub mod artifact;
pub mod egress;
pub mod id;
pub mod job;
pub mod machine;
#[cfg(feature = "mask")]
pub mod mask;
pub mod queue;
pub mod report;
pub mod retry;
pub mod runtime;
pub mod step;
