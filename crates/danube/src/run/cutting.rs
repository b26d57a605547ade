//! For tests only (the feature `failpoints`): streams into containers die after a random number of bytes. With
//! `DANUBE_CUT_COUNT=n` the first n do, each told on stderr; `DANUBE_CUT_SEED` repeats a run's cuts.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{ContainerSpec, FoundGroup, GroupSpec, Runtime, RuntimeError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream lives for 2^7 to 2^22 bytes, each power alike: some die in the greeting, some amid a large output.
const POWERS: std::ops::Range<u64> = 7..22;

/// A runtime whose streams are cut.
#[derive(Debug)]
pub struct Cutting<R> {
    runtime: R,
    left: AtomicU64,
    random: AtomicU64,
}

/// A stream and how many bytes may pass it, both ways together.
#[derive(Debug)]
pub struct CutStream<S> {
    stream: S,
    left: Option<Arc<AtomicU64>>,
}

fn number(variable: &str) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl<R> Cutting<R> {
    /// As the environment says; without it nothing is cut.
    pub fn new(runtime: R) -> Self {
        let (left, random) = (number("DANUBE_CUT_COUNT").into(), number("DANUBE_CUT_SEED").into());
        Self { runtime, left, random }
    }

    /// How long the next stream lives; none when enough were cut.
    fn budget(&self) -> Option<u64> {
        let take = |left: u64| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        let (power, within) = (self.random(), self.random());
        let power = POWERS.start + power % (POWERS.end - POWERS.start);
        Some((1 << power) + within % (1 << power))
    }

    /// splitmix64.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl<R: Runtime> Runtime for Cutting<R> {
    type Stream = CutStream<R::Stream>;
    type Events = R::Events;

    async fn create(&self, spec: &GroupSpec) -> Result<(), RuntimeError> {
        self.runtime.create(spec).await
    }

    async fn add(&self, attempt: &AttemptId, container: &ContainerSpec) -> Result<(), RuntimeError> {
        self.runtime.add(attempt, container).await
    }

    async fn open(&self, attempt: &AttemptId, container: &ContainerName) -> Result<Self::Stream, RuntimeError> {
        let stream = self.runtime.open(attempt, container).await?;
        let budget = self.budget();
        if let Some(bytes) = budget {
            eprintln!("cut: a stream to {container} after {bytes} bytes");
        }
        Ok(CutStream { stream, left: budget.map(|bytes| Arc::new(bytes.into())) })
    }

    fn watch(&self, attempt: &AttemptId) -> Self::Events {
        self.runtime.watch(attempt)
    }

    async fn delete(&self, attempt: &AttemptId) -> Result<(), RuntimeError> {
        self.runtime.delete(attempt).await
    }

    async fn list(&self) -> Result<Vec<FoundGroup>, RuntimeError> {
        self.runtime.list().await
    }
}

impl<S> CutStream<S> {
    /// How many of `wanted` bytes may still pass; none when the stream is dead.
    fn allowed(&self, wanted: usize) -> io::Result<usize> {
        let Some(left) = &self.left else { return Ok(wanted) };
        match left.load(Ordering::Relaxed) {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            left => Ok(wanted.min(usize::try_from(left).unwrap_or(usize::MAX))),
        }
    }

    fn passed(&self, bytes: usize) {
        if let Some(left) = &self.left {
            left.fetch_sub(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let allowed = self.allowed(into.remaining())?;
        let mut part = into.take(allowed);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let bytes = part.filled().to_vec();
        into.put_slice(&bytes);
        self.passed(bytes.len());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let allowed = self.allowed(from.len())?;
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(context, &from[..allowed]))?;
        self.passed(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
