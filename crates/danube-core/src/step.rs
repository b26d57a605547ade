//! A step, as the SDK asks for it.
