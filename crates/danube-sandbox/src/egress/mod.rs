//! Network by name, without proxies (docs/egress.md).
//!
//! A job's network namespace holds nothing but loopback. [`prepare`] runs inside it: it makes 198.18.0.0/15 local
//! there and opens a resolver and listeners. The job's monitor, in the host's namespace, receives those sockets and
//! serves them with [`Relays`]: the resolver gives each allowed name an address of that range, and a connection
//! to the address is connected on to the name. Nothing else has a route.
//!
//! In reading order: `namespace` (inside) → `sockets` (handed over) → `relays` → `dns` (a name gets an address) →
//! `relay` (a connection gets a verdict, then is copied) → `upstream` (the way out). `journal` keeps the record.

mod dns;
mod error;
mod journal;
mod names;
mod namespace;
mod netlink;
mod relay;
mod relays;
mod sockets;
mod upstream;

use std::net::Ipv4Addr;

pub use error::EgressError;
pub use journal::Totals;
pub use namespace::prepare;
pub use relays::Relays;
pub use sockets::{EgressSockets, MAX_PORTS};
pub use upstream::{Proxies, Resolver, Upstream};

/// The resolver's address inside the job.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// What `/etc/resolv.conf` says inside the job: one resolver, no search list, and the patience that a slow
/// resolver of the host's may need.
pub const RESOLV_CONF: &str = "nameserver 198.18.0.1\noptions ndots:1 timeout:15 attempts:2\n";

/// The bits that all served addresses share: 198.18.0.0/15, set aside for benchmarks by RFC 2544 and so never
/// the address of a real host.
const RANGE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const RANGE_BITS: u8 = 15;

/// Whether an address is one of those that the relays serve.
const fn is_served(address: Ipv4Addr) -> bool {
    address.to_bits() >> (32 - RANGE_BITS) == RANGE.to_bits() >> (32 - RANGE_BITS)
}
