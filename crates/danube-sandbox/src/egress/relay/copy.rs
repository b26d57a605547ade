//! Copies one direction of a connection.
//!
//! An idle connection holds no buffer: bytes pass through one that all connections of the thread share, and only
//! what the other side does not take at once is kept, so a slow reader slows its writer and nothing piles up.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// How long a connection may be silent in both directions.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// Bytes read at once, and the most that is kept per direction.
const CHUNK: usize = 64 * 1024;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// When bytes last passed, in either direction.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    last_ms: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0) }
    }
}

impl Activity {
    fn touch(&self) {
        self.last_ms.store(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }

    /// Waits for a socket for as long as either direction moves.
    pub(super) async fn wait(&self, ready: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        tokio::pin!(ready);
        loop {
            let left = IDLE.saturating_sub(self.silence());
            if left.is_zero() {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            if let Ok(done) = timeout(left, &mut ready).await {
                return done;
            }
        }
    }
}

/// Copies until the one side says that it has said everything, and passes that on.
pub(super) async fn until_end(from: &TcpStream, to: &TcpStream, activity: &Activity) -> io::Result<()> {
    loop {
        match SHARED.with_borrow_mut(|buffer| pass(from, to, buffer)) {
            Ok(Step::End) => break,
            Ok(Step::Passed) => {
                activity.touch();
                tokio::task::coop::consume_budget().await;
            }
            Ok(Step::Left(rest)) => write(to, &rest, activity).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => activity.wait(from.readable()).await?,
            Err(error) => return Err(error),
        }
    }
    match rustix::net::shutdown(to, Shutdown::Write) {
        // It is gone already, and what it had to say is read by the other direction.
        Err(rustix::io::Errno::NOTCONN) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

enum Step {
    End,
    Passed,
    Left(Vec<u8>),
}

/// One read, and as many writes as are taken at once.
fn pass(from: &TcpStream, to: &TcpStream, buffer: &mut [u8]) -> io::Result<Step> {
    let length = from.try_read(buffer)?;
    if length == 0 {
        return Ok(Step::End);
    }
    let written = write_now(to, &buffer[..length])?;
    Ok(if written == length { Step::Passed } else { Step::Left(buffer[written..length].to_vec()) })
}

/// Writes all of the bytes, waiting as long as it takes.
pub(super) async fn write(to: &TcpStream, mut bytes: &[u8], activity: &Activity) -> io::Result<()> {
    loop {
        let written = write_now(to, bytes)?;
        if written > 0 {
            activity.touch();
        }
        bytes = &bytes[written..];
        if bytes.is_empty() {
            return Ok(());
        }
        activity.wait(to.writable()).await?;
    }
}

fn write_now(to: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match to.try_write(&bytes[written..]) {
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
