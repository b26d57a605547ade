//! Images from registries: pulled by the monitor, as the caller and over the caller's own network, then unpacked as any
//! other. A job resolves a reference once, whatever its tag names later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use danube_core::id::ContainerName;

use super::images::{self, KeepersHands};
use super::serve::Group;
use crate::images::registry::{Cache, Credentials, Found, Patience, Pull, Pulled, Reference, Watch, cache_limit};
use crate::images::{Digest, Limits, Result, StoredImage};

/// What the references of this job named when they were first used.
#[derive(Default)]
pub struct Pinned(Mutex<BTreeMap<Reference, Digest>>);

impl Pinned {
    fn get(&self, reference: &Reference) -> Option<Digest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(reference).cloned()
    }

    /// The first one stays.
    fn set(&self, reference: &Reference, digest: &Digest) -> Digest {
        let mut pinned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.entry(reference.clone()).or_insert_with(|| digest.clone()).clone()
    }
}

/// The unpacked image of a reference.
pub fn stored(
    group: &Arc<Group>,
    reference: &Reference,
    limits: &Limits,
    hands: &mut KeepersHands<'_>,
) -> Result<StoredImage> {
    let cache = Cache::open(&group.assignment.config.image_dir)?;
    let watch = Told { group, container: &hands.spec.name, reference };
    let credentials = Credentials::of_caller()?;
    let pull = Pull { cache: &cache, credentials: &credentials, patience: Patience::default(), limits, watch: &watch };
    let found = found(&pull, group, reference)?;
    let (store, key) = (images::store(group)?, images::key(group, &found.digest));
    let stored = match store.get(&key)? {
        Some(stored) => stored,
        None => unpacked(&pull, found, |pulled| store.ensure(&key, &pulled.image, hands))?,
    };
    shrink(&cache, |limit| store.shrink(limit, &key, hands).map(drop));
    Ok(stored)
}

fn found(pull: &Pull<'_>, group: &Group, reference: &Reference) -> Result<Found> {
    if let Some(digest) = group.pinned.get(reference) {
        return pull.find(&reference.at(digest));
    }
    let found = pull.find(reference)?;
    let pinned = group.pinned.set(reference, &found.named);
    if pinned == found.named { Ok(found) } else { pull.find(&reference.at(pinned)) }
}

/// Downloads and unpacks. Blobs that were damaged on this machine's disk are downloaded once more.
fn unpacked(
    pull: &Pull<'_>,
    found: Found,
    mut unpack: impl FnMut(&Pulled) -> Result<StoredImage>,
) -> Result<StoredImage> {
    let again = found.reference.at(found.named.clone());
    let pulled = pull.fetch(found)?;
    let error = match unpack(&pulled) {
        Err(error) => error,
        stored => return stored,
    };
    let blobs: Vec<Digest> = pulled.image.layers.iter().map(|layer| layer.digest.clone()).collect();
    drop(pulled);
    match pull.cache.remove_damaged(&blobs)? {
        0 => Err(error),
        _ => unpack(&pull.fetch(pull.find(&again)?)?),
    }
}

/// Keeps what is kept within its limit. A job whose image is there does not fail for what could not be removed.
fn shrink(cache: &Cache, unpacked: impl FnOnce(u64) -> Result<()>) {
    let done = cache_limit().and_then(|limit| cache.shrink(limit).and_then(|_| unpacked(limit)));
    if let Err(error) = done {
        eprintln!("monitor: images are not removed: {error}");
    }
}

/// Tells of the container that waits.
struct Told<'a> {
    group: &'a Group,
    container: &'a ContainerName,
    reference: &'a Reference,
}

impl Watch for Told<'_> {
    fn tell(&self, words: String) {
        self.group.tell_waiting(self.container, format!("pulling {}: {words}", self.reference));
    }

    fn stopped(&self) -> bool {
        self.group.is_stopping()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_means_the_same_throughout_a_job() {
        let (pinned, tag) = (Pinned::default(), |text: &str| text.parse::<Reference>().unwrap());
        let [first, second] = ["first", "second"].map(|text| Digest::of(text.as_bytes()));
        assert_eq!(pinned.set(&tag("r.example/tool"), &first), first);
        assert_eq!(pinned.set(&tag("r.example/tool:latest"), &second), first);
        assert_eq!(pinned.get(&tag("r.example/tool:2")), None);
    }
}
