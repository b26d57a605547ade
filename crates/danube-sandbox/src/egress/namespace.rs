//! What is done inside the job's network namespace, once, before any of the job's programs runs.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::{EgressError, EgressSockets, MAX_PORTS, RANGE, RANGE_BITS, RESOLVER, netlink};

/// Connections that may wait to be accepted, per port.
const BACKLOG: i32 = 1024;

/// Brings loopback up, gives it an address, makes 198.18.0.0/15 local, and opens the resolver's sockets and a listener per port.
///
/// Call it in the job's fresh network namespace, with the capabilities that its owner has over it. A socket stays
/// in the namespace it was made in, so the monitor can serve these from outside.
///
/// # Errors
/// What the kernel refused, with what to do.
pub fn prepare(ports: &[u16]) -> Result<EgressSockets, EgressError> {
    if ports.len() > MAX_PORTS {
        return Err(EgressError::TooManyPorts(ports.len()));
    }
    let step = |what| move |source| EgressError::Namespace { what, source };
    let routing = netlink::socket().map_err(step("open a routing socket"))?;
    netlink::loopback_up(&routing).map_err(step("bring loopback up"))?;
    // A machine whose only IPv4 address is 127.0.0.1 counts as one without IPv4: asked for the families that it has
    // (AI_ADDRCONFIG), the C library then finds no name at all.
    netlink::local_address(&routing, RESOLVER.octets()).map_err(step("give loopback an address"))?;
    netlink::local_route(&routing, RANGE.octets(), RANGE_BITS).map_err(step("add a local route"))?;
    let resolver = SocketAddrV4::new(RESOLVER, 53);
    Ok(EgressSockets {
        dns_datagrams: bound(SocketType::DGRAM, resolver).map_err(step("open the resolver's socket"))?,
        dns_streams: listening(resolver).map_err(step("open the resolver's socket"))?,
        listeners: ports.iter().map(|port| listener(*port)).collect::<Result<_, _>>()?,
    })
}

fn listener(port: u16) -> Result<OwnedFd, EgressError> {
    listening(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)).map_err(|source| EgressError::Port { port, source })
}

fn listening(address: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = bound(SocketType::STREAM, address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn bound(kind: SocketType, address: SocketAddrV4) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}
