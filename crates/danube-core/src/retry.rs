//! Whether a job is tried again: decided from how its attempt ended, and nothing else. A script's failure never is.

use serde::{Deserialize, Serialize};

use crate::job::FailureKind;

/// So often a job is tried again whose pipeline says nothing of it (`retries=`).
const UNASKED: u32 = 2;

/// How often a job may be tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retries {
    /// Never: whoever started it sees its failure and decides.
    #[default]
    Never,
    /// Only where none of its steps had started, so that nothing was done twice.
    BeforeSteps,
    /// So often, also when steps had started: the pipeline asks for it.
    AtMost(u32),
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// Counts from 1.
    pub number: u32,
    /// Why it failed.
    pub kind: FailureKind,
    /// A step had started.
    pub any_step: bool,
    /// What it ran on can be had again, byte for byte.
    pub same_inputs: bool,
}

impl Retries {
    /// How many attempts there may be in all.
    #[must_use]
    pub const fn tries(self) -> u32 {
        match self {
            Self::Never => 1,
            Self::BeforeSteps => 1 + UNASKED,
            Self::AtMost(retries) => retries.saturating_add(1),
        }
    }

    /// Whether there is another attempt after this one.
    #[must_use]
    pub const fn go_on_after(self, tried: Tried) -> bool {
        let may = match self {
            Self::Never => false,
            Self::BeforeSteps => !tried.any_step,
            Self::AtMost(_) => true,
        };
        may && tried.kind.may_pass() && tried.same_inputs && tried.number < self.tries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Tried = Tried { number: 1, kind: FailureKind::WorkerLost, any_step: false, same_inputs: true };

    #[test]
    fn only_a_failure_of_infrastructure_is_tried_again() {
        use FailureKind::*;
        for kind in [Infra, WorkerLost, Evicted] {
            assert!(Retries::AtMost(1).go_on_after(Tried { kind, ..LOST }), "{kind:?}");
        }
        let own = [
            Script,
            NoSteps,
            StepsAbandoned,
            Timeout,
            Cancelled,
            Oom,
            ImagePull,
            EgressDenied,
            Service,
            Policy,
            Config,
        ];
        for kind in own {
            assert!(!Retries::AtMost(10).go_on_after(Tried { kind, ..LOST }), "{kind:?}");
        }
    }

    #[test]
    fn nothing_is_done_twice_unless_the_pipeline_asks_for_it() {
        let begun = Tried { any_step: true, ..LOST };
        assert!(Retries::BeforeSteps.go_on_after(LOST));
        assert!(!Retries::BeforeSteps.go_on_after(begun));
        assert!(Retries::AtMost(1).go_on_after(begun));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let after = |retries: Retries, number| retries.go_on_after(Tried { number, ..LOST });
        assert_eq!([1, 2, 3].map(|n| after(Retries::BeforeSteps, n)), [true, true, false]);
        assert_eq!([1, 2].map(|n| after(Retries::AtMost(1), n)), [true, false]);
        assert_eq!([0, 1].map(|n| after(Retries::AtMost(0), n + 1)), [false, false]);
        assert!(!after(Retries::Never, 1));
        assert_eq!(Retries::AtMost(u32::MAX).tries(), u32::MAX);
    }

    #[test]
    fn what_cannot_be_had_again_is_not_run_on_something_else() {
        assert!(!Retries::AtMost(5).go_on_after(Tried { same_inputs: false, ..LOST }));
    }
}
