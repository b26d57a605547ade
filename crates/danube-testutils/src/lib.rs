//! Scripted runtime, lying shim, fixtures: for tests only.
