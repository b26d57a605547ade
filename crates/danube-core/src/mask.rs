//! Hides secrets in a byte stream.
