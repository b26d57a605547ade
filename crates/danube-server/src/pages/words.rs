//! Every sentence that pages say about states, reasons and times, in one place.

use danube_core::job::{FailureKind, headline};
use danube_store::runs::FailedStep;

/// The word for why a job failed.
pub(super) fn reason(kind: &str) -> &'static str {
    match kind {
        "script" => "script",
        "no_steps" => "no steps",
        "steps_abandoned" => "steps abandoned",
        "timeout" => "timeout",
        "cancelled" => "cancelled",
        "oom" => "out of memory",
        "worker_lost" | "evicted" | "infra" => "infra",
        "image_pull" => "image",
        "egress_denied" => "network",
        "policy" => "policy",
        "config" => "config",
        _ => "unknown reason",
    }
}

/// What the word does not say.
pub(super) fn not_your_code(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Infra | FailureKind::Evicted | FailureKind::WorkerLost => "This is not your code's fault.",
        _ => "",
    }
}

/// What was done, on the page after it.
pub(super) fn done(code: &str, number: &str) -> Option<String> {
    Some(match code {
        "cancelled" => format!("#{number} was asked to end. It may clean up first."),
        "over" => format!("#{number} had ended already: nothing was cancelled."),
        "started" => format!("#{number} was started."),
        "settings" => "Your settings are kept in this browser.".to_owned(),
        _ => return None,
    })
}

/// A run's bars for who does not see them.
pub(super) fn bars(runs: usize, failed: usize, median: Option<&str>) -> String {
    let runs = if runs == 1 { "the last run".to_owned() } else { format!("last {runs} runs") };
    let median = median.map_or_else(String::new, |median| format!(", median {median}"));
    format!("{runs}{median}, {failed} failed")
}

/// How a failed step ended.
pub(super) fn step_end(cause: Option<&str>, exit_code: Option<i32>, signal: Option<i32>) -> String {
    match (cause, exit_code, signal) {
        (_, _, Some(signal)) => format!("was killed by signal {signal}"),
        (Some("timeout"), ..) => "ran longer than its timeout".to_owned(),
        (Some("cancelled"), ..) => "was cancelled".to_owned(),
        (_, Some(code), _) => format!("exited with {code}"),
        _ => "was lost".to_owned(),
    }
}

/// Why a run is bad, in a list: the step that failed says more than the reason.
pub(super) fn note(step: Option<&FailedStep>, message: Option<&str>) -> Option<String> {
    let of_step = |step: &FailedStep| {
        let ended = step_end(step.cause.as_deref(), step.exit_code, step.signal);
        format!("step {} “{}” {ended}", step.number, step.name)
    };
    step.map(of_step).or_else(|| message.map(|message| headline(message).to_owned()))
}

/// A number of things.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_every_reason() {
        let words: Vec<_> = ["script", "no_steps", "oom", "infra", "evicted", "image_pull", "egress_denied", "config"]
            .map(reason)
            .into();
        assert_eq!(words, ["script", "no steps", "out of memory", "infra", "infra", "image", "network", "config"]);
        assert_eq!(reason("of a newer Danube"), "unknown reason");
    }

    #[test]
    fn how_a_step_ended_in_words() {
        assert_eq!(step_end(Some("exited"), Some(1), None), "exited with 1");
        assert_eq!(step_end(Some("signalled"), None, Some(9)), "was killed by signal 9");
        assert_eq!(step_end(Some("timeout"), None, None), "ran longer than its timeout");
        assert_eq!(step_end(None, None, None), "was lost");
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!((count(1, "test", "tests"), count(2, "test", "tests")), ("1 test".into(), "2 tests".into()));
        assert_eq!(bars(1, 0, None), "the last run, 0 failed");
        assert_eq!(bars(20, 2, Some("4m 05s")), "last 20 runs, median 4m 05s, 2 failed");
    }

    #[test]
    fn only_known_codes_have_words() {
        assert_eq!(done("cancelled", "7").as_deref(), Some("#7 was asked to end. It may clean up first."));
        assert_eq!(done("<script>", "7"), None);
    }
}
