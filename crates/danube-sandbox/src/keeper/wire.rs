//! The lines between monitor and keeper: one JSON message per packet, descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::images::{ResolvedImage, Unpacked};
use crate::plan::{Bind, ContainerPlan};

/// Bytes of one message at most. A plan is some ten thousand.
const LONGEST: usize = 128 * 1024;
/// Descriptors beside one message at most.
const MOST_FDS: usize = 64;

/// What the monitor asks the keeper to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Make a container that waits for a byte before it builds its root. Descriptors: [`LaunchFds`].
    Launch(Box<ContainerPlan>),
    /// Give files to a container's user.
    Own(Vec<Own>),
    /// Unpack an image. Descriptor: the empty directory.
    Unpack(Box<ResolvedImage>),
    /// Empty a directory of unpacked files. Descriptor: the directory.
    Clear,
    /// Try whether an overlay can be mounted.
    TryOverlay,
    /// Give a directory and all beneath it back to the caller.
    TakeBack(PathBuf),
    /// Remove what tenants wrote in a group's folder.
    Remove(PathBuf),
    /// Open the resolver and listeners for these ports. Answered by [`Reply::Ready`], and the sockets after it.
    OpenNetwork(Vec<u16>),
    /// Mount these into a container that stands. Descriptor: its process.
    Attach(Vec<Bind>),
}

/// Files to give to a user of the containers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Own {
    /// The file or directory.
    pub path: PathBuf,
    /// User and group as a container calls them.
    pub user: (u32, u32),
    /// The mode the path itself gets.
    pub mode: u32,
    /// Everything beneath it as well.
    pub recursive: bool,
}

/// What the keeper answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The namespaces exist; their maps are still to be written.
    Unshared,
    /// The group's namespaces stand. Descriptors: the network's listeners.
    Ready,
    /// The container waits. Descriptor: the socket on which it waits for one byte and then reports a failure as
    /// text, or nothing.
    Launched {
        /// Its PID 1, as the monitor sees it.
        pid: i32,
    },
    /// An image is being unpacked: bytes read, bytes to read.
    Progress {
        /// Read so far.
        done: u64,
        /// All there is.
        total: u64,
    },
    /// The image is unpacked.
    Unpacked(Unpacked),
    /// Done.
    Done,
    /// It could not be done, in words.
    Failed(String),
}

/// Sends one message.
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message to the keeper is too long"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors in one message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&text)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message; `None` means that the other side is gone.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut text = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(Some((serde_json::from_slice(&text[..got.bytes])?, fds)))
}
