//! A state as it is shown everywhere: a shape, a word and a colour (docs/ui.md, "States").

use super::words;

/// How a state is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The colour.
    pub tone: &'static str,
    /// How heavy.
    pub weight: &'static str,
    /// The symbol of icons.svg.
    pub shape: &'static str,
    pub word: String,
}

const fn known(
    tone: &'static str,
    weight: &'static str,
    shape: &'static str,
) -> (&'static str, &'static str, &'static str) {
    (tone, weight, shape)
}

impl State {
    fn new((tone, weight, shape): (&'static str, &'static str, &'static str), word: impl Into<String>) -> Self {
        Self { tone, weight, shape, word: word.into() }
    }

    /// Of a job.
    pub fn of_job(status: &str, reason: Option<&str>) -> Self {
        match status {
            "pending" => Self::new(known("idle", "plain", "ring"), "queued"),
            "scheduling" => Self::new(known("run", "tint", "quarter"), "starting"),
            "running" => Self::new(known("run", "tint turns", "half"), "running"),
            "success" => Self::new(known("ok", "tint", "tick"), "passed"),
            "timeout" => Self::new(known("fail", "filled", "clock"), "timed out"),
            "cancelled" => Self::new(known("idle", "tint", "barred"), "cancelled"),
            _ => Self::failed(reason.unwrap_or_default()),
        }
    }

    /// The picture for the browser's tab.
    pub fn icon(&self) -> &'static str {
        match self.tone {
            "ok" => "favicon-ok.svg",
            "fail" => "favicon-fail.svg",
            "run" => "favicon-run.svg",
            _ => "favicon.svg",
        }
    }

    fn failed(reason: &str) -> Self {
        let word = format!("failed · {}", words::reason(reason));
        match reason {
            "infra" | "evicted" | "worker_lost" => Self::new(known("fail", "outline", "triangle"), word),
            _ => Self::new(known("fail", "filled", "cross"), word),
        }
    }

    /// Of a step. One whose failure the danubefile did not mind is no failure of the job.
    pub fn of_step(status: &str, checked: bool) -> Self {
        match status {
            "running" => Self::new(known("run", "tint turns", "half"), "running"),
            "success" => Self::new(known("ok", "plain", "tick"), "passed"),
            "timeout" => Self::new(known("fail", if checked { "filled" } else { "outline" }, "clock"), "timed out"),
            "cancelled" => Self::new(known("idle", "plain", "barred"), "cancelled"),
            "infra" => Self::new(known("fail", "outline", "triangle"), "lost"),
            _ if checked => Self::new(known("fail", "filled", "cross"), "failed"),
            _ => Self::new(known("fail", "outline", "cross"), "failed, ignored"),
        }
    }

    /// Of a test.
    pub fn of_test(status: &str) -> Self {
        match status {
            "passed" => Self::new(known("ok", "plain", "tick"), "passed"),
            "skipped" => Self::new(known("idle", "plain", "dash"), "skipped"),
            "flaky" => Self::new(known("wait", "tint outline", "triangle"), "flaky"),
            "error" => Self::new(known("fail", "filled", "cross"), "error"),
            _ => Self::new(known("fail", "filled", "cross"), "failed"),
        }
    }

    /// Of a part of the master.
    pub fn of_part(ill: bool) -> Self {
        if ill {
            Self::new(known("fail", "filled", "cross"), "ill")
        } else {
            Self::new(known("ok", "plain", "tick"), "well")
        }
    }
}

/// Whether a job with this status is over.
pub(super) fn is_over(status: &str) -> bool {
    !matches!(status, "pending" | "scheduling" | "running")
}

/// Whether it ended, and badly. A cancelled one did neither well nor badly.
pub(super) fn is_bad(status: &str) -> bool {
    matches!(status, "failure" | "timeout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_states_of_a_job_look_alike_without_colour() {
        let states = [
            ("pending", None),
            ("scheduling", None),
            ("running", None),
            ("success", None),
            ("failure", Some("script")),
            ("failure", Some("infra")),
            ("timeout", Some("timeout")),
            ("cancelled", Some("cancelled")),
        ];
        let shown = states.map(|(status, reason)| State::of_job(status, reason));
        let shapes: std::collections::BTreeSet<_> = shown.iter().map(|state| state.shape).collect();
        let said: std::collections::BTreeSet<_> = shown.iter().map(|state| state.word.as_str()).collect();
        assert_eq!((shapes.len(), said.len()), (states.len(), states.len()), "{shown:?}");
    }

    #[test]
    fn every_shape_is_drawn() {
        let icons = include_str!("../../../../web/static/icons.svg");
        let jobs = ["pending", "scheduling", "running", "success", "failure", "timeout", "cancelled"];
        let steps = ["running", "success", "failure", "timeout", "cancelled", "infra"];
        let all = jobs.map(|status| State::of_job(status, Some("infra"))).into_iter();
        let all = all.chain(steps.map(|status| State::of_step(status, true)));
        let all = all.chain(["passed", "failed", "error", "skipped", "flaky"].map(State::of_test));
        for state in all.chain([State::of_part(true), State::of_part(false)]) {
            assert!(icons.contains(&format!("id=\"{}\"", state.shape)), "{state:?}");
        }
    }
}
