//! The addresses that names have inside the job.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::RESOLVER;

/// The most names that get an address in one job; bounds the monitor's memory to a few megabytes however many
/// names a hostile step invents.
const MAX_NAMES: usize = 16_384;
/// The first name's address: 198.18.1.1. What is below stays free for Danube's own.
const FIRST: u32 = RESOLVER.to_bits() + 256;

/// One name, one address, for as long as the job lives.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    /// The name's address; none when too many names have one.
    pub(super) fn address(&mut self, name: &str) -> Option<Ipv4Addr> {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => self.add(name)?,
        };
        Some(Ipv4Addr::from_bits(FIRST + number))
    }

    /// The name that has this address.
    pub(super) fn name(&self, address: Ipv4Addr) -> Option<Arc<str>> {
        let number = address.to_bits().checked_sub(FIRST)?;
        self.names.get(usize::try_from(number).ok()?).cloned()
    }

    fn add(&mut self, name: &str) -> Option<u32> {
        let number = u32::try_from(self.names.len()).ok().filter(|_| self.names.len() < MAX_NAMES)?;
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::is_served;

    #[test]
    fn a_name_keeps_its_address_and_the_pool_has_an_end() {
        let mut names = Names::default();
        let first = names.address("a.example").unwrap();
        assert_eq!(first, Ipv4Addr::new(198, 18, 1, 1));
        for number in 1..MAX_NAMES {
            let address = names.address(&format!("{number}.example")).unwrap();
            assert!(is_served(address));
        }
        assert_eq!(names.address("one.too.many"), None);
        assert_eq!(names.address("a.example"), Some(first));
        assert_eq!(names.name(first).as_deref(), Some("a.example"));
        for other in ["198.18.0.1", "198.18.1.0", "127.0.0.1", "0.0.0.0", "255.255.255.255", "198.19.0.0"] {
            assert_eq!(names.name(other.parse().unwrap()), None, "{other}");
        }
    }
}
