//! For tests only: a runtime whose containers are scripted ([`Scripted`]), and in each a shim that keeps to the
//! protocol or lies as its [`Script`] says. The engine above them is the real one. And a real [`Registry`] of images.

mod cut;
mod random;
mod registry;
mod replies;
mod runtime;
mod script;
mod shim;

pub use cut::Cut;
pub use random::{Random, seed};
pub use registry::Registry;
pub use replies::{chunk, end, honest, sha256};
pub use runtime::Scripted;
pub use script::{Gate, Hello, Script, StepScript, call_id};
