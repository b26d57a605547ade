//! Network by name.
