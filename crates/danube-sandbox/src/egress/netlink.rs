//! The three requests to the kernel's routing socket that a job's namespace needs.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

// linux/rtnetlink.h, linux/netlink.h. Loopback is the first interface of every namespace.
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const ERROR: u16 = 2;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const REPLACE_CREATE: u16 = 0x100 | 0x400;
const LOOPBACK: u32 = 1;
const INET: u8 = 2;
const SCOPE_HOST: u8 = 254;
const UP: u32 = 1;
const HEADER: usize = 16;

/// Brings loopback up.
pub(super) fn loopback_up(socket: &OwnedFd) -> io::Result<()> {
    let mut link = vec![0; 4]; // any family, any type
    for word in [LOOPBACK, UP, UP] {
        link.extend_from_slice(&word.to_ne_bytes());
    }
    request(socket, NEW_LINK, REQUEST_ACK, &link)
}

/// Gives loopback an address, as `ip addr add ADDRESS/32 dev lo scope host` does.
pub(super) fn local_address(socket: &OwnedFd, address: [u8; 4]) -> io::Result<()> {
    let mut message = vec![INET, 32, 0, SCOPE_HOST];
    message.extend_from_slice(&LOOPBACK.to_ne_bytes());
    attribute(&mut message, 1, address); // IFA_ADDRESS
    attribute(&mut message, 2, address); // IFA_LOCAL
    request(socket, NEW_ADDRESS, REQUEST_ACK | REPLACE_CREATE, &message)
}

/// Makes a range of addresses local, as `ip route add local RANGE dev lo` does.
pub(super) fn local_route(socket: &OwnedFd, range: [u8; 4], bits: u8) -> io::Result<()> {
    const TABLE_LOCAL: u8 = 255;
    const PROTOCOL_BOOT: u8 = 3;
    const TYPE_LOCAL: u8 = 2;
    let mut route = vec![INET, bits, 0, 0, TABLE_LOCAL, PROTOCOL_BOOT, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0];
    attribute(&mut route, 1, range); // RTA_DST
    attribute(&mut route, 4, LOOPBACK.to_ne_bytes()); // RTA_OIF
    request(socket, NEW_ROUTE, REQUEST_ACK | REPLACE_CREATE, &route)
}

/// A routing socket of the present network namespace.
pub(super) fn socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?)
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    message.extend_from_slice(&8u16.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&value);
}

fn request(socket: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&flags.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // sequence and port: one request at a time needs neither
    message.extend_from_slice(body);
    rustix::net::send(socket, &message, SendFlags::empty())?;
    let mut answer = [0; 1024];
    let (length, _) = rustix::net::recv(socket, &mut answer, RecvFlags::empty())?;
    acknowledged(&answer[..length])
}

/// An acknowledgement is an error message with the number 0.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let (Some(kind), Some(number)) = (answer.get(4..6), answer.get(HEADER..HEADER + 4)) else {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    };
    let number = i32::from_ne_bytes([number[0], number[1], number[2], number[3]]);
    match (u16::from_ne_bytes([kind[0], kind[1]]), number) {
        (ERROR, 0) => Ok(()),
        (ERROR, number) => Err(io::Error::from_raw_os_error(-number)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}
