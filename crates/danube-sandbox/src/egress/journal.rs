//! The record of what the job tried: everything is counted, and told often enough to be read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use danube_core::egress::{EgressEvent, EgressVerdict};

/// The same thing is told again only after this long, so that a loop of retries cannot fill the record.
const REPEAT: Duration = Duration::from_secs(5);
/// The most that is told per job, of what was let through and of what was denied each: a flood of the one cannot
/// hide the other.
const MOST_TOLD: u32 = 8192;

/// How often each thing was decided, told or not.
#[derive(Debug, Default)]
pub struct Totals {
    /// Look-ups and connections let through.
    pub allowed: AtomicU64,
    /// Look-ups and connections refused by the policy.
    pub denied: AtomicU64,
    /// Names that do not exist and hosts that did not answer.
    pub unreachable: AtomicU64,
    /// Decisions that were counted here but not told, because they repeat or are too many.
    pub untold: AtomicU64,
}

type Key = (Arc<str>, Option<u16>, EgressVerdict);

struct Telling {
    tell: Box<dyn FnMut(EgressEvent) + Send>,
    last: HashMap<Key, Instant>,
    left: [u32; 2],
}

/// Tells the caller what was decided.
pub(super) struct Journal {
    telling: Mutex<Telling>,
    totals: Arc<Totals>,
}

impl Journal {
    pub(super) fn new(tell: impl FnMut(EgressEvent) + Send + 'static) -> Self {
        let telling = Telling { tell: Box::new(tell), last: HashMap::new(), left: [MOST_TOLD; 2] };
        Self { telling: Mutex::new(telling), totals: Arc::default() }
    }

    pub(super) fn totals(&self) -> Arc<Totals> {
        self.totals.clone()
    }

    /// A name was looked up.
    pub(super) fn looked_up(&self, name: &str, verdict: EgressVerdict) {
        self.record((name.into(), None, verdict), Instant::now());
    }

    /// A connection was let through or refused.
    pub(super) fn connection(&self, name: &str, port: u16, verdict: EgressVerdict) {
        self.record((name.into(), Some(port), verdict), Instant::now());
    }

    fn record(&self, key: Key, now: Instant) {
        let total = match key.2 {
            EgressVerdict::Allowed => &self.totals.allowed,
            EgressVerdict::Unreachable => &self.totals.unreachable,
            _ => &self.totals.denied,
        };
        total.fetch_add(1, Ordering::Relaxed);
        let mut telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        if !telling.tell(key, now) {
            self.totals.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Telling {
    fn tell(&mut self, key: Key, now: Instant) -> bool {
        let left = &mut self.left[usize::from(key.2.is_denied())];
        let told_before = self.last.get(&key);
        // That an allowed name was looked up is worth telling once: tools ask before every connection.
        let once = key.1.is_none() && key.2 == EgressVerdict::Allowed;
        if *left == 0 || told_before.is_some_and(|at| once || now.duration_since(*at) < REPEAT) {
            return false;
        }
        *left -= 1;
        let (name, port, verdict) = (key.0.to_string(), key.1, key.2);
        self.last.insert(key, now);
        (self.tell)(EgressEvent { at_ms: now_ms(), name, port, verdict });
        true
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn journal() -> (Journal, mpsc::Receiver<EgressEvent>) {
        let (sender, receiver) = mpsc::channel();
        (Journal::new(move |event| sender.send(event).unwrap()), receiver)
    }

    #[test]
    fn repeats_are_counted_and_told_again_only_later() {
        let (journal, told) = journal();
        let start = Instant::now();
        let key = |port, verdict| ("a.example".into(), port, verdict);
        for seconds in [0, 1, 4, 6, 7] {
            journal.record(key(Some(443), EgressVerdict::DeniedName), start + Duration::from_secs(seconds));
            journal.record(key(None, EgressVerdict::Allowed), start + Duration::from_secs(seconds));
        }
        let told: Vec<EgressVerdict> = told.try_iter().map(|event| event.verdict).collect();
        assert_eq!(told, [EgressVerdict::DeniedName, EgressVerdict::Allowed, EgressVerdict::DeniedName]);
        assert_eq!(journal.totals().denied.load(Ordering::Relaxed), 5);
        assert_eq!(journal.totals().untold.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_flood_of_allowed_names_cannot_hide_a_denied_one() {
        let (journal, told) = journal();
        for number in 0..20_000 {
            journal.looked_up(&format!("{number}.example"), EgressVerdict::Allowed);
        }
        journal.looked_up("evil.example", EgressVerdict::DeniedName);
        let told: Vec<EgressEvent> = told.try_iter().collect();
        assert_eq!(told.len(), MOST_TOLD as usize + 1);
        assert_eq!(told.last().unwrap().name, "evil.example");
        assert_eq!(journal.totals().allowed.load(Ordering::Relaxed), 20_000);
    }
}
