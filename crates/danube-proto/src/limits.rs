//! Bounds that both sides hold. A peer that exceeds one is broken or hostile: the stream is dropped.

/// The protocol this build speaks best.
pub const PROTOCOL: u32 = 1;
/// The oldest protocol this build speaks: n and n-1.
pub const PROTOCOL_MIN: u32 = 1;
/// Bytes of output in one chunk at most.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// A chunk is closed after so many milliseconds, full or not.
pub const CHUNK_MILLIS: u64 = 20;
/// Bytes of un-acknowledged output per step at most; then back-pressure.
pub const SPOOL_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of one gRPC message at most, either way.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one SDK call at most; a larger script goes by file.
pub const CALL_BYTES: usize = 1024 * 1024;
/// Bytes of a script carried inside `Start` at most.
pub const INLINE_SCRIPT_BYTES: usize = 256 * 1024;
/// Bytes of a script file at most.
pub const SCRIPT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of Markdown carried inside a call at most; a longer text goes by file.
pub const INLINE_TEXT_BYTES: usize = 256 * 1024;
/// Bytes of all Markdown of an attempt at most.
pub const SUMMARY_BYTES: u64 = 1024 * 1024;
/// Captured bytes per stream at most.
pub const CAPTURE_BYTES: u64 = 1024 * 1024;
/// Unanswered SDK calls at most.
pub const CALLS: usize = 1024;
/// Steps of one container at most, over its life.
pub const STEPS: usize = 10_000;
/// Steps of one container running at once at most.
pub const RUNNING_STEPS: usize = 512;
/// HTTP/2 ping interval in seconds.
pub const PING_SECONDS: u64 = 10;
/// A peer silent for so many seconds is lost.
pub const DEAD_SECONDS: u64 = 20;
/// Milliseconds between TERM and KILL unless told otherwise.
pub const GRACE_MILLIS: u64 = 10_000;
