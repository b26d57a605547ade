//! Streams that die after so many bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

/// How many bytes may pass each way before the stream dies in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// From the engine.
    pub to_shim: u64,
    /// To the engine.
    pub to_engine: u64,
}

/// Bytes under way.
const BUFFER: usize = 256 * 1024;

/// The engine's end of a stream that reaches `shim` until it is cut; `reached` counts those that were.
pub fn through(shim: DuplexStream, cut: Cut, reached: Arc<AtomicU64>) -> DuplexStream {
    let (engine, middle) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        let (from_engine, to_engine) = tokio::io::split(middle);
        let (from_shim, to_shim) = tokio::io::split(shim);
        let was_cut = tokio::select! {
            was_cut = carry(from_engine, to_shim, cut.to_shim) => was_cut,
            was_cut = carry(from_shim, to_engine, cut.to_engine) => was_cut,
        };
        reached.fetch_add(u64::from(was_cut), Ordering::Relaxed);
    });
    engine
}

/// Carries so many bytes; whether they were that many, and neither side hung up before.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut left: u64) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..wanted]).await else { return false };
        if to.write_all(&buffer[..read]).await.is_err() {
            return false;
        }
        left -= read as u64;
    }
    true
}
