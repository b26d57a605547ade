//! Logs of steps.
