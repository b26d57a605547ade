//! The sockets that were opened inside the job's namespace, and their way to the monitor.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use super::EgressError;

/// The most ports that one job can have open: the kernel carries 253 descriptors per message.
pub const MAX_PORTS: usize = 250;
const MAX_DESCRIPTORS: usize = MAX_PORTS + 2;

/// What [`super::prepare`] opened.
#[derive(Debug)]
pub struct EgressSockets {
    pub(super) dns_datagrams: OwnedFd,
    pub(super) dns_streams: OwnedFd,
    pub(super) listeners: Vec<OwnedFd>,
}

impl EgressSockets {
    /// Sends the sockets, as one message, over a Unix socket (of any type).
    ///
    /// # Errors
    /// When the socket refuses them.
    pub fn send(&self, channel: impl AsFd) -> Result<(), EgressError> {
        let listeners = self.listeners.iter().map(AsFd::as_fd);
        let descriptors: Vec<BorrowedFd<'_>> =
            [self.dns_datagrams.as_fd(), self.dns_streams.as_fd()].into_iter().chain(listeners).collect();
        let mut space = control_space();
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(EgressError::TooManyPorts(self.listeners.len()));
        }
        let count = u8::try_from(descriptors.len()).map_err(|_| EgressError::TooManyPorts(self.listeners.len()))?;
        rustix::net::sendmsg(channel, &[IoSlice::new(&[count])], &mut control, SendFlags::NOSIGNAL)
            .map_err(|error| EgressError::Handover(error.into()))?;
        Ok(())
    }

    /// Receives what [`EgressSockets::send`] sent; blocks until it comes.
    ///
    /// # Errors
    /// When the other end went away, or sent something else.
    pub fn receive(channel: impl AsFd) -> Result<Self, EgressError> {
        let (count, descriptors) = received(channel.as_fd()).map_err(EgressError::Handover)?;
        if descriptors.len() != usize::from(count) {
            return Err(EgressError::Handover(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        let mut descriptors = descriptors.into_iter();
        let (Some(dns_datagrams), Some(dns_streams)) = (descriptors.next(), descriptors.next()) else {
            return Err(EgressError::Handover(io::Error::from(io::ErrorKind::UnexpectedEof)));
        };
        Ok(Self { dns_datagrams, dns_streams, listeners: descriptors.collect() })
    }
}

fn control_space() -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))]
}

fn received(channel: BorrowedFd<'_>) -> io::Result<(u8, Vec<OwnedFd>)> {
    let (mut count, mut space) = ([0], control_space());
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut body = [IoSliceMut::new(&mut count)];
    rustix::net::recvmsg(channel, &mut body, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors = rights.flatten().collect();
    Ok((count[0], descriptors))
}
