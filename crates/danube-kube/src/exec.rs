//! A byte stream into a container: the API server's exec of `danube-shim bridge`, which does nothing but copy to and from
//! the shim's socket. The API server reports success when it should not, and a broken connection does not end its output;
//! so the stream's end is read off the status channel alone, and it tells nothing about the container (docs/kubernetes.md).

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::manifest;

/// Bytes under way each way; the client's own default of one kilobyte makes a message of each.
const BUFFER: usize = 1 << 20;
/// How long the API server may take to reach a container: half a minute was seen on a node with no processor to spare.
const PATIENCE: Duration = Duration::from_secs(60);

type Over = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A stream to a shim.
pub struct ExecStream {
    output: Pin<Box<dyn AsyncRead + Send>>,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    over: Over,
    is_over: bool,
    /// Empty lines come before anything else: the shim was started ahead, and said that it is there.
    is_greeted: bool,
    /// Its task copies; dropping it ends the exec on this side.
    _process: AttachedProcess,
}

impl fmt::Debug for ExecStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecStream").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// Opens a stream to a container's shim.
///
/// # Errors
/// When the API server or the node cannot be reached, or refuse.
pub async fn open(pods: &Api<Pod>, pod: &str, container: &str) -> Result<ExecStream, kube::Error> {
    let wanted = AttachParams {
        container: Some(container.to_owned()),
        stdin: true,
        stdout: true,
        stderr: false,
        tty: false,
        max_stdin_buf_size: Some(BUFFER),
        max_stdout_buf_size: Some(BUFFER),
        max_stderr_buf_size: None,
    };
    let asked = pods.exec(pod, manifest::BRIDGE, &wanted);
    let late = || kube::Error::Service(format!("no answer to an exec within {PATIENCE:?}").into());
    let process = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| late())??;
    ExecStream::of(process).ok_or_else(|| kube::Error::Service("an exec without its streams".into()))
}

impl ExecStream {
    fn of(mut process: AttachedProcess) -> Option<Self> {
        let (output, input, status) = (process.stdout()?, process.stdin()?, process.take_status()?);
        Some(Self {
            output: Box::pin(output),
            input: Box::pin(input),
            // Whatever it says, the bridge is gone: what became of the container is the pod's to tell.
            over: Box::pin(async move { drop(status.await) }),
            is_over: false,
            is_greeted: false,
            _process: process,
        })
    }

    /// Tells a shim that was started ahead for which job it is.
    ///
    /// # Errors
    /// When the stream is over.
    pub async fn introduce(mut self, line: &str) -> io::Result<Self> {
        self.write_all(line.as_bytes()).await?;
        self.is_greeted = true;
        Ok(self)
    }

    /// How often a shim that was told nothing yet said, since this was asked last, that it is there. None when the stream is
    /// over, or something else was said.
    pub fn greetings(&mut self) -> Option<u64> {
        let (mut count, mut context, mut bytes) = (0, Context::from_waker(Waker::noop()), [0; 64]);
        loop {
            let mut into = ReadBuf::new(&mut bytes);
            match self.poll_output(&mut context, &mut into) {
                Poll::Pending => return Some(count),
                Poll::Ready(Ok(())) if !into.filled().is_empty() && into.filled().iter().all(|byte| *byte == b'\n') => {
                    count += into.filled().len() as u64;
                }
                Poll::Ready(_) => return None,
            }
        }
    }

    fn poll_output(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = self.output.as_mut().poll_read(context, into) {
            return Poll::Ready(read);
        }
        if !self.is_over(context) {
            return Poll::Pending;
        }
        // What came before the end may have been put there between the two looks.
        match self.output.as_mut().poll_read(context, into) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.is_over = self.is_over || self.over.as_mut().poll(context).is_ready();
        self.is_over
    }
}

impl AsyncRead for ExecStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let before = into.filled().len();
            ready!(self.poll_output(context, into))?;
            if !self.is_greeted || into.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            pass_over_greetings(into, before);
            if into.filled().len() > before {
                self.is_greeted = false;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Takes the empty lines off the front of what was read into a buffer behind what was there before.
fn pass_over_greetings(into: &mut ReadBuf<'_>, before: usize) {
    let greetings = into.filled()[before..].iter().take_while(|byte| **byte == b'\n').count();
    into.filled_mut().copy_within(before + greetings.., before);
    into.set_filled(into.filled().len() - greetings);
}

impl AsyncWrite for ExecStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.input.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_taken_off_the_front_and_nothing_else_is() {
        for (read, left) in [("\n\nabc\n", "abc\n"), ("a\n", "a\n"), ("\n\n\n", ""), ("", "")] {
            let mut bytes = [0; 16];
            let mut into = ReadBuf::new(&mut bytes);
            into.put_slice(b"\nfirst");
            into.put_slice(read.as_bytes());
            pass_over_greetings(&mut into, 6);
            assert_eq!(into.filled(), format!("\nfirst{left}").as_bytes(), "{read:?}");
        }
    }
}
