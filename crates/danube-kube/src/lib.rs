//! Jobs as pods. What is asked of a cluster is made here without one: a group's pod ([`manifest`]) and the network
//! policies of its egress profile ([`policy`]); and what a cluster says of a pod is read into the words that the rest of
//! Danube knows ([`standing`]). All of it is pure.

pub mod error;
pub mod manifest;
pub mod names;
pub mod policy;
pub mod settings;
pub mod standing;

pub use error::KubeError;
pub use settings::Settings;
