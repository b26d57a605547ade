//! Amounts as users write them: `10m`, `500m`, `512Mi`.

use std::time::Duration;

use super::literal::{Literal, Value};
use super::report::Wrong;

/// Longer than this is a slip.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Less memory or disk than this runs nothing: it is a slip of the unit.
const LEAST_BYTES: u64 = 1024 * 1024;
/// More than this is a slip.
const MOST_BYTES: u64 = 1 << 50;
/// More than this is a slip.
const MOST_CPU_MILLIS: u64 = 1_024_000;

/// A time: a number of seconds, or `90s`, `10m`, `1h30m`, `2d`.
pub(super) fn duration(literal: &Literal, what: &str) -> Result<Duration, Wrong> {
    let wrong =
        || literal.not(what, "a time above 0 and at most 30 days", "\"10m\", \"1h30m\", or a number of seconds");
    let time = match &literal.value {
        Value::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Value::Text(text) => parse_duration(text),
        _ => None,
    };
    time.filter(|time| !time.is_zero() && *time <= LONGEST).ok_or_else(wrong)
}

pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        rest = rest[digits + 1..].trim_start();
    }
    Some(total)
}

/// Thousandths of a CPU, written as text: `2`, `0.5`, `500m`.
pub(crate) fn parse_cpu_millis(text: &str) -> Option<u64> {
    let millis = match text.trim().strip_suffix('m') {
        Some(millis) => millis.parse().ok(),
        None => scaled(text.trim(), 1000),
    };
    millis.filter(|millis| (1..=MOST_CPU_MILLIS).contains(millis))
}

/// Thousandths of a CPU: `2`, `0.5`, `"500m"`.
pub(super) fn cpu_millis(literal: &Literal, what: &str) -> Result<u64, Wrong> {
    let millis = match &literal.value {
        Value::Int(cpus) => u64::try_from(*cpus).ok().and_then(|cpus| cpus.checked_mul(1000)),
        Value::Float(cpus) => scaled(&cpus.to_string(), 1000),
        Value::Text(text) => parse_cpu_millis(text),
        _ => None,
    };
    millis
        .filter(|millis| (1..=MOST_CPU_MILLIS).contains(millis))
        .ok_or_else(|| literal.not(what, "a number of CPUs, at least 0.001", "2, 0.5 or \"500m\""))
}

/// Bytes: `"512Mi"`, `"2G"`, or a number of bytes.
pub(super) fn bytes(literal: &Literal, what: &str) -> Result<u64, Wrong> {
    let wanted = "a size of at least 1Mi with the unit Ki, Mi, Gi, Ti (1024) or K, M, G, T (1000)";
    let size = match &literal.value {
        Value::Int(bytes) => u64::try_from(*bytes).ok(),
        Value::Text(text) => parse_size(text),
        _ => None,
    };
    size.filter(|size| (LEAST_BYTES..=MOST_BYTES).contains(size))
        .ok_or_else(|| literal.not(what, wanted, "\"512Mi\" or \"2G\""))
}

/// Bytes written as text: `512Mi`, `2G`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    parse_bytes(text.trim()).filter(|size| (LEAST_BYTES..=MOST_BYTES).contains(size))
}

fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match text[digits..].trim_start() {
        "" | "B" => 1,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        "Ti" | "TiB" => 1 << 40,
        "k" | "K" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        _ => return None,
    };
    scaled(&text[..digits], unit)
}

/// A decimal number times `unit`, rounded down, without a float's surprises.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || part.is_empty() || part.len() > 9 {
        return None;
    }
    let (whole, digits): (u64, u64) = (whole.parse().ok()?, part.parse().ok()?);
    let tenths = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let below = u64::try_from(u128::from(digits) * u128::from(unit) / tenths).ok()?;
    whole.checked_mul(unit)?.checked_add(below)
}

#[cfg(test)]
mod tests {
    use ruff_text_size::TextRange;

    use super::*;

    fn text(text: &str) -> Literal {
        Literal { range: TextRange::default(), value: Value::Text(text.into()) }
    }

    #[test]
    fn times_are_read_in_their_units() {
        let seconds = |written: &str| duration(&text(written), "timeout").ok().map(|time| time.as_secs());
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("2d"), Some(172_800));
        for bad in ["", "0s", "10", "m", "10 minutes", "-5m", "31d", "99999999999999999999s", "1é"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_in_their_units() {
        let size = |written: &str| bytes(&text(written), "memory").ok();
        assert_eq!(size("512Mi"), Some(512 << 20));
        assert_eq!(size("1.5Gi"), Some(3 << 29));
        assert_eq!(size("2G"), Some(2_000_000_000));
        for bad in ["", "Mi", "512m", "4096", "1e9", "-1Gi", "999999999T", "1..5Gi", "１Gi"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn cpus_are_read_in_thousandths() {
        let cpu = |written: &str| cpu_millis(&text(written), "cpu").ok();
        assert_eq!((cpu("500m"), cpu("2"), cpu("0.25")), (Some(500), Some(2000), Some(250)));
        assert_eq!((cpu("0"), cpu("0m"), cpu("a"), cpu("1e3")), (None, None, None, None));
    }
}
