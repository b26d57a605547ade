//! What users write down, read without running it.
//!
//! [`danubefile::read`] gives the static metadata of a `danubefile.py`: its name, images, parameters, limits. The
//! file is parsed, never executed, so a hostile one can do nothing on the master but be refused.
//! [`server::read`] gives what `danube.toml` says, [`repository::read`] the pipelines that a configuration repository
//! declares.

pub mod danubefile;
mod diagnostic;
mod location;
mod nearest;
pub mod repository;
pub mod server;
mod text;

pub use diagnostic::{Diagnostic, Diagnostics};
