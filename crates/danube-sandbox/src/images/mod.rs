//! Unpacks images.
