//! The embedded runtime: images, namespaces, monitor, network by name.
