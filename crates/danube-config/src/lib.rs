//! What users write down, read without running it.
//!
//! [`danubefile::read`] gives the static metadata of a `danubefile.py`: its name, images, parameters, limits. The
//! file is parsed, never executed, so a hostile one can do nothing on the master but be refused.

pub mod danubefile;
mod diagnostic;
mod nearest;

pub use diagnostic::{Diagnostic, Diagnostics};
