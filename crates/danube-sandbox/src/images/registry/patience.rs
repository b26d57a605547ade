//! How often and after how long a request is made again.

use std::time::Duration;

/// How often and after how long a request is made again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Times in a row without any progress.
    pub tries: u32,
    /// Before the second time; then twice as long each time.
    pub first_pause: Duration,
    /// No pause is longer. A registry that asks for a longer one is not waited for.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 6, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(60) }
    }
}

impl Patience {
    /// How long to wait after this many failures in a row; none when it was tried often enough.
    #[must_use]
    pub fn pause(&self, failures: u32, asked: Option<Duration>) -> Option<Duration> {
        let doubled = self.first_pause.saturating_mul(1 << (failures.saturating_sub(1)).min(20));
        let asked = asked.unwrap_or_default();
        let worth_it = failures < self.tries && asked <= self.longest_pause;
        worth_it.then(|| doubled.max(asked).min(self.longest_pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_and_a_registry_may_ask_for_longer_but_not_for_ever() {
        let patience = Patience::default();
        let pauses: Vec<_> = (1..=6).map(|failures| patience.pause(failures, None).map(|p| p.as_millis())).collect();
        assert_eq!(pauses, [Some(500), Some(1000), Some(2000), Some(4000), Some(8000), None]);
        assert_eq!(patience.pause(1, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(patience.pause(1, Some(Duration::from_secs(3600))), None);
    }
}
