//! The embedded runtime: images, namespaces, monitor, network by name.

pub mod egress;
pub mod images;
