//! What time it is: for people by the wall clock, which may be set at any moment; for deadlines by the machine's own count
//! since it was started, which is the same in every process until it is started again.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use danube_store::attempts::Anchor;
use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the Unix epoch on this machine's clock.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// This moment, for a deadline that another process may go on with.
pub fn anchor() -> Anchor {
    let up = clock_gettime(ClockId::Monotonic);
    let up_ms = up.tv_sec.saturating_mul(1000).saturating_add(up.tv_nsec / 1_000_000);
    // Without its name this start of the machine is no other's, and the wall clock must do.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    Anchor { boot, up_ms, wall_ms: now_ms() }
}

/// Milliseconds between two moments, never below none. Only across a start of the machine it is the wall clock's word.
pub fn between(from: &Anchor, to: &Anchor) -> i64 {
    let same = !from.boot.is_empty() && from.boot == to.boot;
    let passed = if same { to.up_ms.saturating_sub(from.up_ms) } else { to.wall_ms.saturating_sub(from.wall_ms) };
    passed.max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: &str, up_ms: i64, wall_ms: i64) -> Anchor {
        Anchor { boot: boot.to_owned(), up_ms, wall_ms }
    }

    #[test]
    fn a_jump_of_the_wall_clock_is_no_time_that_passed() {
        const HOUR: i64 = 3_600_000;
        for jump in [-24 * HOUR, -HOUR, HOUR, 24 * HOUR] {
            assert_eq!(between(&at("a", 100, 10 * HOUR), &at("a", 350, 10 * HOUR + jump)), 250, "{jump}");
        }
    }

    #[test]
    fn across_a_start_of_the_machine_the_wall_clock_tells() {
        for (from, to) in [("a", "b"), ("", ""), ("a", "")] {
            assert_eq!(between(&at(from, 900, 1_000), &at(to, 5, 3_500)), 2_500, "{from} {to}");
            assert_eq!(between(&at(from, 900, 1_000), &at(to, 5, 400)), 0, "never below none");
        }
    }

    #[test]
    fn this_machine_tells_it() {
        let (first, second) = (anchor(), anchor());
        assert!(!first.boot.is_empty() && first.boot == second.boot);
        assert!(between(&first, &second) < 60_000 && first.up_ms > 0 && first.wall_ms > 0);
    }
}
