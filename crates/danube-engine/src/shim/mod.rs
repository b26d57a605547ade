//! Speaking to shims: the connection ([`link`]), following a step to its end ([`follow`]), moving files
//! ([`transfer`]). A shim lives in the tenant's house: nothing it says is believed without bounds.

use bytes::Bytes;
use danube_proto::v1::StartRequest;
use prost::Message;
use sha2::{Digest, Sha256};

pub mod follow;
pub mod link;
pub mod transfer;

/// Fills in the hash by which the shim tells a repeated start from a conflicting one. Maps are sorted first, so that
/// the same step always has the same hash.
#[must_use]
pub fn with_hash(request: StartRequest) -> StartRequest {
    let mut env: Vec<_> = request.env.iter().collect();
    env.sort();
    let rest = StartRequest { env: [].into(), spec_hash: Bytes::new(), ..request.clone() };
    let mut hash = Sha256::new();
    hash.update(rest.encode_to_vec());
    for (name, value) in env {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    }
    StartRequest { spec_hash: Bytes::copy_from_slice(&hash.finalize()), ..request }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_step_has_the_same_hash_and_another_another() {
        let request = |value: &str| {
            let names = (0..20).map(|n| (format!("N{n}"), value.to_owned()));
            with_hash(StartRequest { env: names.collect(), cwd: "x".into(), ..StartRequest::default() }).spec_hash
        };
        assert_eq!(request("a"), request("a"));
        assert_ne!(request("a"), request("b"));
        assert_eq!(request("a").len(), 32);
    }
}
