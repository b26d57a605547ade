//! One `Attach`: chunks from an offset, then the end; acknowledgements the other way on the same call.

use std::sync::Arc;

use danube_proto::v1::{AttachReply, AttachRequest, attach_reply::Of};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::connection::Connection;
use crate::step::record::Record;

/// What the response stream carries.
pub type Reply = Result<AttachReply, Status>;

/// One master following one step.
pub struct Attach {
    record: Arc<Record>,
    connection: Connection,
    acks: Streaming<AttachRequest>,
    sent: u64,
    end_sent: bool,
    grown: watch::Receiver<()>,
}

impl Attach {
    /// Begins at the first message's offset.
    pub fn begin(
        record: Arc<Record>,
        connection: Connection,
        acks: Streaming<AttachRequest>,
        first: &AttachRequest,
    ) -> Result<Self, Status> {
        let (acked, total) = {
            let output = record.output();
            (output.acked(), output.total())
        };
        if first.offset < acked {
            return Err(Status::out_of_range(format!("everything below {acked} was acknowledged and is gone")));
        }
        if first.offset > total {
            connection.cut_soon();
            return Err(Status::invalid_argument(format!("the step has written {total} bytes only")));
        }
        if first.release && first.offset == total {
            record.ack(total);
            record.release();
        }
        let grown = record.grown();
        Ok(Self { record, connection, acks, sent: first.offset, end_sent: false, grown })
    }

    /// Sends until the master has what it wants: it closes its side, or releases the step after the end.
    pub async fn run(mut self, to: mpsc::Sender<Reply>, exiting: CancellationToken) {
        let mut acks_open = true;
        loop {
            self.grown.mark_unchanged();
            let more = self.has_more();
            tokio::select! {
                biased;
                message = self.acks.message(), if acks_open => match message {
                    Ok(Some(message)) => match self.acknowledge(&message) {
                        Ok(true) => return,
                        Ok(false) => {}
                        Err(status) => return drop(to.send(Err(status)).await),
                    },
                    Ok(None) => acks_open = false,
                    Err(_) => return,
                },
                place = to.reserve(), if more => match place {
                    Ok(place) => place.send(self.next()),
                    Err(_) => return,
                },
                _ = self.grown.changed(), if !more && !self.end_sent => {}
                () = to.closed() => return,
                () = exiting.cancelled(), if self.end_sent || !more => return,
            }
            if self.end_sent && !acks_open {
                return;
            }
        }
    }

    fn has_more(&self) -> bool {
        !self.end_sent && (self.sent < self.record.output().total() || self.record.has_ended())
    }

    fn next(&mut self) -> Reply {
        let chunk = self.record.output().chunk_at(self.sent);
        let failed = |error| Status::data_loss(format!("the spool cannot be read: {error}"));
        if let Some(chunk) = chunk.map_err(failed)? {
            self.sent = chunk.offset + chunk.data.len() as u64;
            return Ok(AttachReply { of: Some(Of::Chunk(chunk)) });
        }
        let end = self.record.end().filter(|end| end.bytes == self.sent);
        let end = end.ok_or_else(|| Status::out_of_range("acknowledged on another call meanwhile; attach again"))?;
        self.end_sent = true;
        self.record.sent_end();
        Ok(AttachReply { of: Some(Of::End(end)) })
    }

    /// Whether the master is done with the step.
    fn acknowledge(&self, message: &AttachRequest) -> Result<bool, Status> {
        if !self.connection.is_master() {
            return Err(Status::aborted("another master has taken over"));
        }
        if message.offset > self.sent {
            self.connection.cut_soon();
            return Err(Status::invalid_argument(format!("acknowledged {}, sent {}", message.offset, self.sent)));
        }
        self.record.ack(message.offset);
        if message.release && self.end_sent {
            self.record.release();
        }
        Ok(message.release && self.end_sent)
    }
}
