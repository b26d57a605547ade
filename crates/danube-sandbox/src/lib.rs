//! The embedded runtime: images, namespaces, monitor, network by name (docs/isolation.md).
//!
//! In reading order: `sandbox` (the engine's side, [`Sandbox`]) makes a folder (`group`) and starts a `monitor`;
//! that makes a `keeper`, plans containers (`plan`) and has the keeper make them; `inside` is what a container does
//! before it becomes the shim.

mod cgroup_tree;
pub mod config;
pub mod egress;
pub mod error;
pub mod failpoint;
mod group;
pub mod ids;
mod image_removal;
pub mod images;
mod inside;
mod keeper;
pub mod monitor;
pub mod paths;
pub mod plan;
pub mod probe;
mod sandbox;
mod spares;
mod sys;

pub use config::{Images, Isolation, SandboxConfig};
pub use error::SandboxError;
pub use group::follow::Events;
pub use paths::JobPaths;
pub use plan::python::{Python, find_python};
pub use plan::tools::HomeTools;
pub use sandbox::Sandbox;
pub use spares::Warmth;
