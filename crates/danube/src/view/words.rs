//! The sentences and figures of both views, in one place.

use danube_core::egress::EgressVerdict;
use danube_core::job::FailureKind;
use danube_engine::job::progress::StepEnded;
use danube_proto::mailbox::StepCause;

/// `0.3 s`, `12 s`, `3 min 5 s`, `1 h 2 min`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..60_000 => format!("{} s", ms / 1000),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// At most so many characters, with `…` for what is left out.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// `1 file`, `3 files`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How a step ended: `exit 1`, `timed out`, `lost`.
pub fn outcome(end: &StepEnded) -> String {
    let how = match end.cause {
        StepCause::Exited => format!("exit {}", end.exit_code),
        StepCause::TimedOut => "timed out".to_owned(),
        StepCause::Stopped => "stopped".to_owned(),
        StepCause::NotStarted => "not started".to_owned(),
        StepCause::Lost => "lost".to_owned(),
    };
    match &end.message {
        Some(message) => format!("{how}: {message}"),
        None => how,
    }
}

/// What to do about a failure. A script may fail without any of its steps.
pub const fn advice(kind: FailureKind, a_step_failed: bool) -> &'static str {
    match (kind, a_step_failed) {
        (FailureKind::Script, false) => "Read what the danubefile printed above; run again when it is mended.",
        _ => kind.advice(),
    }
}

/// Why a name was refused.
pub const fn refusal(verdict: EgressVerdict) -> &'static str {
    match verdict {
        EgressVerdict::Allowed => "allowed",
        EgressVerdict::DeniedName => "no rule allows it",
        EgressVerdict::DeniedPrivate => "it leads to a private address; a rule may allow that: NAME private",
        EgressVerdict::DeniedServerName => "the TLS client asked for another name than it looked up",
        EgressVerdict::Unreachable => "it does not exist, or nothing answers there",
    }
}

/// `512 B`, `12.3 KiB`, `4.0 GiB`.
pub fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let Some(unit) = (1..=4).rev().find(|unit| bytes >> (10 * unit) > 0) else { return format!("{bytes} B") };
    let tenths = (u128::from(bytes) * 10) >> (10 * unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit - 1])
}

/// Text of a tenant for a terminal: without control characters that could move the cursor or fake our own lines.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_by_characters() {
        assert_eq!((shortened("größer", 6), shortened("größer", 4)), ("größer".to_owned(), "grö…".to_owned()));
        assert_eq!(shortened("abc", 0), "…");
    }

    #[test]
    fn bytes_have_a_unit_that_fits() {
        let words = [0, 1023, 1024, 12_650, 5 << 20, u64::MAX].map(bytes);
        assert_eq!(words, ["0 B", "1023 B", "1.0 KiB", "12.3 KiB", "5.0 MiB", "16777215.9 TiB"]);
    }

    #[test]
    fn durations_are_short_and_exact_enough() {
        for (ms, words) in [
            (0, "0.0 s"),
            (349, "0.3 s"),
            (9_999, "9.9 s"),
            (59_999, "59 s"),
            (185_000, "3 min 5 s"),
            (3_720_000, "1 h 2 min"),
        ] {
            assert_eq!(duration(ms), words);
        }
    }
}
