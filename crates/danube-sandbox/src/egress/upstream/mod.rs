//! The way out, in the host's own network: which addresses a name leads to, and a connection to one of them.

mod dial;
mod proxy;
mod proxy_settings;
mod resolve;
mod system;

use std::io;
use std::net::{IpAddr, SocketAddr};

use danube_core::egress::is_public;
use tokio::net::TcpStream;

pub use proxy_settings::Proxies;
pub use resolve::Resolver;

use proxy_settings::Proxy;
use resolve::{Cache, Lookup};

/// How the relays reach the outside: the host's resolver and the host's proxies.
#[derive(Debug)]
pub struct Upstream {
    cache: Cache,
    proxies: Proxies,
}

/// Where a name leads, after the addresses that it may not lead to are taken away.
#[derive(Debug)]
pub(super) enum Targets<'a> {
    /// To these addresses. They are what is connected to: the name is not asked for again in between, so it cannot
    /// lead elsewhere by then.
    Found(Vec<IpAddr>),
    /// To a proxy of the host's, which resolves the name itself.
    ThroughProxy(&'a Proxy),
    /// To private addresses only.
    OnlyPrivate,
    /// The name does not exist.
    NoName,
    /// The host's resolver does not answer.
    Unknown,
}

impl Upstream {
    /// Reaches the outside by this resolver and these proxies.
    #[must_use]
    pub fn new(resolver: Resolver, proxies: Proxies) -> Self {
        Self { cache: Cache::new(resolver), proxies }
    }

    /// Where a name leads; `port` is none for a look-up.
    pub(super) async fn targets(&self, name: &str, port: Option<u16>, private: bool) -> Targets<'_> {
        let proxy = self.proxies.for_target(name, port);
        match (self.cache.lookup(name).await, proxy) {
            (Lookup::Found(addresses), proxy) => {
                let allowed: Vec<IpAddr> = addresses.into_iter().filter(|a| private || is_public(*a)).collect();
                match proxy {
                    _ if allowed.is_empty() => Targets::OnlyPrivate,
                    Some(proxy) if port.is_some() => Targets::ThroughProxy(proxy),
                    _ => Targets::Found(allowed),
                }
            }
            // Behind a proxy the host itself often cannot resolve outside names.
            (Lookup::NoName | Lookup::Failed, Some(proxy)) => Targets::ThroughProxy(proxy),
            (Lookup::NoName, None) => Targets::NoName,
            (Lookup::Failed, None) => Targets::Unknown,
        }
    }

    /// Connects to one of the addresses.
    pub(super) async fn connect(&self, addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
        dial::first(&addresses).await
    }

    /// Connects to a name through a proxy.
    pub(super) async fn connect_through(&self, proxy: &Proxy, name: &str, port: u16) -> io::Result<TcpStream> {
        let Lookup::Found(addresses) = self.cache.lookup(&proxy.host).await else {
            return Err(io::Error::from(io::ErrorKind::HostUnreachable));
        };
        let stream = self.connect(&addresses, proxy.port).await?;
        proxy::tunnel(stream, proxy, name, port).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(addresses: &[&str]) -> Upstream {
        Upstream::new(names(addresses), Proxies::default())
    }

    fn names(addresses: &[&str]) -> Resolver {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Resolver::Fixed([("a.example".to_owned(), addresses)].into())
    }

    async fn found(upstream: &Upstream, private: bool) -> Option<Vec<String>> {
        match upstream.targets("a.example", Some(443), private).await {
            Targets::Found(addresses) => Some(addresses.iter().map(ToString::to_string).collect()),
            Targets::OnlyPrivate => None,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn of_mixed_addresses_only_the_public_ones_are_connected_to() {
        let mixed = upstream(&["10.0.0.1", "192.0.2.1", "::ffff:127.0.0.1", "2001:db8::1", "169.254.169.254"]);
        assert_eq!(found(&mixed, false).await.unwrap(), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(found(&mixed, true).await.unwrap().len(), 5);
    }

    #[tokio::test]
    async fn a_name_that_turns_to_a_private_address_is_followed_there_by_no_connection() {
        let mut rebound = upstream(&["192.0.2.1"]);
        assert_eq!(found(&rebound, false).await.unwrap(), ["192.0.2.1"]);
        rebound.cache.rebind(names(&["127.0.0.1"]));
        assert_eq!(found(&rebound, false).await.unwrap(), ["192.0.2.1"], "the answer that was checked still holds");
        rebound.cache.expire();
        assert_eq!(found(&rebound, false).await, None, "and each later one is checked again");
    }
}
