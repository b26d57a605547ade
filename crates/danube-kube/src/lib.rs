//! Jobs as pods: the runtime for Kubernetes ([`Kubernetes`]).
//!
//! What is asked of a cluster is made without one: a group's pod ([`manifest`]) and the network policies of its egress
//! profile ([`policy`]); and what a cluster says of a pod is read into the words that the rest of Danube knows
//! ([`standing`]). All of that is pure; only `cluster`, `exec`, `follow` and `warm` speak to an API server.

mod client;
mod cluster;
mod connect;
pub mod doctor;
mod error;
mod exec;
mod follow;
mod known;
mod lease;
pub mod manifest;
mod names;
mod patience;
mod places;
pub mod policy;
pub mod services;
mod settings;
pub mod standing;
mod sweep;
mod warm;

pub use cluster::Kubernetes;
pub use connect::{Access, ConnectError, connect};
pub use error::KubeError;
pub use exec::ExecStream;
pub use follow::Events;
pub use kube::Client;
pub use lease::{Held, Lease};
pub use settings::{Enforcement, Settings};
