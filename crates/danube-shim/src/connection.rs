//! Connections of masters: who is the one master, and who is cut off.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::transport::server::Connected;

/// How long a refused master has to read why.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Every open connection, and which of them is the master's.
#[derive(Debug)]
pub struct Masters {
    known: Mutex<Known>,
    present: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Known {
    epoch: u64,
    current: Option<u64>,
    open: HashMap<u64, CancellationToken>,
    next: u64,
}

impl Default for Masters {
    fn default() -> Self {
        Self { known: Mutex::default(), present: watch::Sender::new(false) }
    }
}

impl Masters {
    /// Takes in a new connection, which is nobody's until its Hello.
    pub fn admit(self: &Arc<Self>, stream: UnixStream) -> Link {
        let mut known = self.known();
        known.next += 1;
        let cut = CancellationToken::new();
        let id = known.next;
        known.open.insert(id, cut.clone());
        let connection = Connection { id, cut: cut.clone(), masters: self.clone() };
        Link { stream, connection, cut: Box::pin(cut.cancelled_owned()) }
    }

    /// Whether a master is connected now, and each change of it.
    pub fn present(&self) -> watch::Receiver<bool> {
        self.present.subscribe()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self, id: u64) {
        let mut known = self.known();
        known.open.remove(&id);
        if known.current == Some(id) {
            known.current = None;
            self.present.send_replace(false);
        }
    }
}

/// A connection as its calls see it.
#[derive(Clone, Debug)]
pub struct Connection {
    id: u64,
    cut: CancellationToken,
    masters: Arc<Masters>,
}

impl Connection {
    /// Makes this the master's connection and cuts all older ones, or refuses it.
    pub fn hello(&self, epoch: u64) -> Result<(), Status> {
        let mut known = self.masters.known();
        if epoch < known.epoch {
            self.cut_soon();
            return Err(Status::aborted("fenced: a master with a higher epoch has been here"));
        }
        if epoch == known.epoch && known.current.is_some_and(|current| current > self.id) {
            self.cut_soon();
            return Err(Status::unavailable("a newer connection has taken over"));
        }
        known.epoch = epoch;
        known.current = Some(self.id);
        known.open.iter().filter(|(id, _)| **id < self.id).for_each(|(_, cut)| cut.cancel());
        self.masters.present.send_replace(true);
        Ok(())
    }

    /// Refuses calls of everybody but the master. A call that was under way when its master opened a newer connection
    /// is no mistake of its caller's.
    pub fn require_master(&self) -> Result<(), Status> {
        if self.cut.is_cancelled() {
            return Err(Status::aborted("a newer connection has taken over"));
        }
        if self.is_master() { Ok(()) } else { Err(Status::failed_precondition("say Hello first")) }
    }

    /// Whether this is the master's connection still.
    pub fn is_master(&self) -> bool {
        !self.cut.is_cancelled() && self.masters.known().current == Some(self.id)
    }

    /// Cuts the connection when the answer to its last call is out.
    pub fn cut_soon(&self) {
        let cut = self.cut.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            cut.cancel();
        });
    }
}

/// The byte stream of a connection, until it is cut.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    connection: Connection,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Link {
    fn poll_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(context).is_ready() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.masters.closed(self.connection.id);
    }
}

impl Connected for Link {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn connection(masters: &Arc<Masters>) -> (Link, UnixStream) {
        let (inside, outside) = UnixStream::pair().expect("a pair");
        (masters.admit(inside), outside)
    }

    /// The master itself opened the newer one, in doubt about this one: it may repeat the call there.
    #[tokio::test]
    async fn a_call_on_an_old_connection_is_cut_off_and_one_without_hello_refused() {
        let masters = Arc::new(Masters::default());
        let ((old, _other), (new, _another)) = (connection(&masters), connection(&masters));
        let refused = |link: &Link| link.connection.require_master().expect_err("refused").code();
        assert_eq!(refused(&old), Code::FailedPrecondition);
        old.connection.hello(1).expect("the first");
        old.connection.require_master().expect("it is the master's");
        new.connection.hello(1).expect("the newer");
        assert_eq!(refused(&old), Code::Aborted);
    }
}
