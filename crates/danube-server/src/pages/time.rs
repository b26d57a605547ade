//! Times as people read them: the clock in their zone, how long ago, and UTC to look up.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What time it is, and where.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub now_ms: i64,
    pub zone: TimeZone,
}

/// A moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct When {
    /// For programs.
    pub iso: String,
    pub utc: String,
    /// The time of the day; with the date if it is another one.
    pub clock: String,
    pub ago: String,
    pub of_today: bool,
}

impl Clock {
    pub fn when(&self, ms: i64) -> When {
        let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MIN);
        let now = Timestamp::from_millisecond(self.now_ms).unwrap_or(Timestamp::MIN);
        let (here, today) = (at.to_zoned(self.zone.clone()), now.to_zoned(self.zone.clone()));
        let of_today = here.date() == today.date();
        let form = match () {
            () if of_today => "%H:%M",
            () if here.year() == today.year() => "%-d %b %H:%M",
            () => "%-d %b %Y %H:%M",
        };
        When {
            iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            utc: at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            clock: here.strftime(form).to_string(),
            ago: ago(self.now_ms - ms),
            of_today,
        }
    }

    /// From one moment to another, or to now.
    pub fn between(&self, from: Option<i64>, to: Option<i64>) -> Option<i64> {
        from.map(|from| (to.unwrap_or(self.now_ms) - from).max(0))
    }
}

/// How long ago, roughly.
fn ago(ms: i64) -> String {
    match ms {
        i64::MIN..0 => "just now".to_owned(),
        0..MINUTE => format!("{} s ago", ms / SECOND),
        MINUTE..HOUR => format!("{} min ago", ms / MINUTE),
        HOUR..DAY => format!("{} h ago", ms / HOUR),
        _ => format!("{} d ago", ms / DAY),
    }
}

/// A duration: `2.1s`, `31s`, `4m 05s`, `1h 02m`.
pub(super) fn duration(ms: i64) -> String {
    match ms {
        i64::MIN..950 => format!("{}ms", ms.max(0)),
        950..9_950 => format!("{:.1}s", ms as f64 / 1000.0),
        9_950..59_500 => format!("{}s", (ms + 500) / SECOND),
        59_500..HOUR => format!("{}m {:02}s", (ms + 500) / MINUTE, (ms + 500) % MINUTE / SECOND),
        _ => format!("{}h {:02}m", ms / HOUR, ms % HOUR / MINUTE),
    }
}

/// The middle one; of an even number the lower of the two.
pub(super) fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let said =
            [0, 949, 950, 2_100, 9_949, 9_950, 31_400, 59_499, 59_500, 245_000, 3_599_999, 3_720_000].map(duration);
        let short =
            ["0ms", "949ms", "0.9s", "2.1s", "9.9s", "10s", "31s", "59s", "1m 00s", "4m 05s", "60m 00s", "1h 02m"];
        assert_eq!(said, short.map(str::to_owned));
    }

    #[test]
    fn a_moment_has_its_date_only_on_another_day() {
        let now_ms = "2026-11-21T14:08:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let clock = Clock { now_ms, zone: TimeZone::UTC };
        let said = |ms: i64| {
            let when = clock.when(now_ms - ms);
            format!("{} ({})", when.clock, when.ago)
        };
        assert_eq!(said(6 * MINUTE), "14:02 (6 min ago)");
        assert_eq!(said(15 * HOUR), "20 Nov 23:08 (15 h ago)");
        assert_eq!(said(400 * DAY), "17 Oct 2025 14:08 (400 d ago)");
        assert_eq!(said(-5), "14:08 (just now)");
        assert_eq!(clock.when(now_ms).utc, "2026-11-21 14:08:00 UTC");
    }

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3, 1, 2]), Some(2));
        assert_eq!(median(vec![4, 1, 2, 3]), Some(2));
    }
}
