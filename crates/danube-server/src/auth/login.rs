//! One-time links. They live in memory: a restart forgets them, and prints a new one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::secret::{new_secret, secret_hash};

/// How long a link may be used.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(10 * 60);
/// Links that wait to be used; more push out the oldest.
const MOST: usize = 16;

/// Links that were given out and not used yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<Vec<Link>>);

#[derive(Debug)]
struct Link {
    sha256: [u8; 32],
    expires: Instant,
}

impl Links {
    pub(super) fn issue(&self, now: Instant) -> String {
        let secret = new_secret();
        let mut links = self.living(now);
        if links.len() == MOST {
            links.remove(0);
        }
        links.push(Link { sha256: secret_hash(&secret), expires: now + LINK_LIFE });
        secret
    }

    /// Whether the link was still good. It is not any more.
    pub(super) fn take(&self, secret: &str, now: Instant) -> bool {
        let given = secret_hash(secret);
        let mut links = self.living(now);
        let before = links.len();
        links.retain(|link| !bool::from(link.sha256.ct_eq(&given)));
        links.len() < before
    }

    fn living(&self, now: Instant) -> MutexGuard<'_, Vec<Link>> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.expires > now);
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_once() {
        let (links, now) = (Links::default(), Instant::now());
        let (one, other) = (links.issue(now), links.issue(now));
        assert!(!links.take("something else", now));
        assert!(links.take(&one, now));
        assert!(!links.take(&one, now), "it was used");
        assert!(links.take(&other, now));
    }

    #[test]
    fn a_link_dies_after_ten_minutes() {
        let (links, now) = (Links::default(), Instant::now());
        let (early, late) = (links.issue(now), links.issue(now));
        assert!(links.take(&early, now + Duration::from_secs(599)));
        assert!(!links.take(&late, now + Duration::from_secs(600)));
    }

    #[test]
    fn links_that_nobody_uses_do_not_pile_up() {
        let (links, now) = (Links::default(), Instant::now());
        let first = links.issue(now);
        let last = (0..MOST).map(|_| links.issue(now)).last().unwrap();
        assert!(!links.take(&first, now));
        assert!(links.take(&last, now));
    }
}
