//! A job's status, the reasons for its end with their words, and the one function that computes a verdict from facts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::runtime::{GroupFailure, OomRecord};

/// Where a job stands. The last four are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Accepted, not yet begun.
    Pending,
    /// Its containers are being made.
    Scheduling,
    /// The danubefile runs.
    Running,
    /// Ended well.
    Success,
    /// Ended badly; the reason says how.
    Failure,
    /// Its time was up.
    Timeout,
    /// Somebody stopped it.
    Cancelled,
}

impl JobStatus {
    /// Every status with its text, as stored and shown.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Pending, "pending"),
        (Self::Scheduling, "scheduling"),
        (Self::Running, "running"),
        (Self::Success, "success"),
        (Self::Failure, "failure"),
        (Self::Timeout, "timeout"),
        (Self::Cancelled, "cancelled"),
    ];

    /// Its text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(status, _)| *status == self).map_or("", |(_, text)| text)
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Timeout | Self::Cancelled)
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no status.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a job status")]
pub struct UnknownStatus(String);

impl FromStr for JobStatus {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.iter().find(|(_, t)| *t == text).map(|(s, _)| *s).ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// Why a job did not succeed, as data: each kind has its words, its exit class and its retry rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A step failed or the danubefile raised.
    Script,
    /// The danubefile ended without starting a step.
    NoSteps,
    /// Steps were still running when the danubefile ended.
    StepsAbandoned,
    /// The job's time was up.
    Timeout,
    /// Somebody stopped it.
    Cancelled,
    /// A container ran out of memory.
    Oom,
    /// A service ended while the job still needed it.
    Service,
    /// A worker's container vanished.
    WorkerLost,
    /// The machine or cluster needed its place.
    Evicted,
    /// An image could not be had.
    ImagePull,
    /// A name was refused and a step failed for it.
    EgressDenied,
    /// Danube failed, not the job.
    Infra,
    /// A rule of the instance forbids the job.
    Policy,
    /// The danubefile or the configuration cannot be read.
    Config,
}

/// What the exit code of `danube run` says (product.md M2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitClass {
    /// 0.
    Success,
    /// 1: the job failed.
    Failed,
    /// 2: usage, configuration, or a danubefile that cannot be read.
    Config,
    /// 3: infrastructure.
    Infra,
    /// 4: the job's timeout.
    Timeout,
    /// 130: cancelled.
    Cancelled,
}

impl ExitClass {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Config => 2,
            Self::Infra => 3,
            Self::Timeout => 4,
            Self::Cancelled => 130,
        }
    }
}

impl FailureKind {
    /// Its name, as stored and shown in `--json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::NoSteps => "no_steps",
            Self::StepsAbandoned => "steps_abandoned",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Oom => "oom",
            Self::Service => "service",
            Self::WorkerLost => "worker_lost",
            Self::Evicted => "evicted",
            Self::ImagePull => "image_pull",
            Self::EgressDenied => "egress_denied",
            Self::Infra => "infra",
            Self::Policy => "policy",
            Self::Config => "config",
        }
    }

    /// The class of exit code it leads to.
    #[must_use]
    pub const fn exit_class(self) -> ExitClass {
        match self {
            Self::Script | Self::NoSteps | Self::StepsAbandoned | Self::Oom | Self::Service | Self::EgressDenied => {
                ExitClass::Failed
            }
            Self::Config | Self::Policy | Self::ImagePull => ExitClass::Config,
            Self::WorkerLost | Self::Evicted | Self::Infra => ExitClass::Infra,
            Self::Timeout => ExitClass::Timeout,
            Self::Cancelled => ExitClass::Cancelled,
        }
    }

    /// Its retry rule: whether the same job may end otherwise when it is tried again with nothing changed.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::WorkerLost | Self::Evicted | Self::Infra => true,
            Self::Script
            | Self::NoSteps
            | Self::StepsAbandoned
            | Self::Timeout
            | Self::Cancelled
            | Self::Oom
            | Self::ImagePull
            | Self::EgressDenied
            | Self::Service
            | Self::Policy
            | Self::Config => false,
        }
    }

    /// What the user can do about it; shown after the message.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Script => "Read the failing step's output above; run again when it is mended.",
            Self::NoSteps => "Call step.run(…) in the function that @pipeline decorates.",
            Self::StepsAbandoned => "Wait for every step: use step.parallel(…), or join your threads before returning.",
            Self::Timeout => "Raise timeout= in @pipeline, or find the step that takes the time.",
            Self::Cancelled => "",
            Self::Oom => "Raise memory= in @pipeline or step.run, or use less.",
            Self::Service => "Read the service's last lines; its whole log is that of its step.",
            Self::WorkerLost => "Run again; if it happens again, look at what the last step does to its container.",
            Self::Evicted => "Run again: the machine was needed for something else.",
            Self::ImagePull => "Check the image's name, or give it: --image NAME=oci:DIR or --image NAME=tar:FILE.",
            Self::EgressDenied => "Add the name to the allow-list, or stop asking for it.",
            Self::Infra => "This is Danube's or the machine's fault: run `danube doctor`, then run again.",
            Self::Policy => "Ask an administrator of this instance.",
            Self::Config => "Mend the file named above.",
        }
    }
}

/// Why a job did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReason {
    /// As data.
    pub kind: FailureKind,
    /// In words: what happened, and where.
    pub message: String,
}

/// A reason's first line, for where there is room for one: below it stand a service's last lines.
#[must_use]
pub fn headline(message: &str) -> &str {
    match message.split_once('\n') {
        Some((first, _)) => first.trim_end_matches("; its last lines:"),
        None => message,
    }
}

/// A job's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// A final status.
    pub status: JobStatus,
    /// Why, unless it succeeded.
    pub reason: Option<FailureReason>,
}

/// What ended a job before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Somebody stopped it.
    Cancel,
    /// Its time was up.
    Timeout,
    /// A service that it needs has died.
    Service,
}

/// How the runner's process ended, as the coordinator's shim recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerEnd {
    /// 128 + signal when a signal ended it.
    pub exit_code: i32,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// The coordinator ran out of memory.
    pub oom: bool,
    /// It was stopped with its container, from outside: an eviction, or somebody who deleted it.
    pub evicted: bool,
    /// Steps that still ran when it ended.
    pub abandoned: u32,
}

/// A container that ended before it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Its name.
    pub container: String,
    /// The out-of-memory record, if that was why.
    pub oom: Option<OomRecord>,
}

/// Everything that decides a verdict. Nothing here was said by the tenant: exits are the shim's record and the
/// runtime's, which must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The first interrupt.
    pub interrupt: Option<Interrupt>,
    /// The group as a whole failed.
    pub group_failure: Option<(GroupFailure, String)>,
    /// The shim's record of the runner.
    pub runner: Option<RunnerEnd>,
    /// The runtime's record: exit code of the coordinator's PID 1.
    pub coordinator_exit: Option<i32>,
    /// The first service that died before the job needed it no more, in words.
    pub service: Option<String>,
    /// The first worker that was lost.
    pub loss: Option<Loss>,
    /// Steps started.
    pub steps: u32,
    /// A peer broke the protocol, or a record cannot be trusted.
    pub distrust: Option<String>,
}

/// Exit statuses of the SDK's runner (`danube._runner.Exit`).
pub mod runner_exit {
    /// The danubefile raised.
    pub const RAISED: i32 = 1;
    /// No step was started.
    pub const NO_STEPS: i32 = 10;
    /// Steps were still running.
    pub const STEPS_ABANDONED: i32 = 11;
    /// The danubefile cannot be loaded.
    pub const UNLOADABLE: i32 = 12;
}

/// Computes how a job ended. The only place that does.
#[must_use]
pub fn verdict(facts: &Facts) -> Verdict {
    if let Some(verdict) = facts.interrupt.and_then(interrupted) {
        return verdict;
    }
    if let Some(message) = &facts.distrust {
        return failure(FailureKind::Infra, message.clone());
    }
    let Some(runner) = facts.runner else { return without_record(facts) };
    if runner.evicted {
        let message =
            "its containers were stopped from outside: somebody deleted them, or the machine needed their place";
        return failure(FailureKind::Evicted, message.to_owned());
    }
    match facts.coordinator_exit {
        Some(seen) if seen == runner.exit_code => by_exit(runner, facts),
        seen => failure(FailureKind::Infra, disagreement(runner.exit_code, seen)),
    }
}

/// A person's wish and the time's end stand above all else. A service's death does not: records that cannot be trusted
/// are worse.
fn interrupted(interrupt: Interrupt) -> Option<Verdict> {
    let (status, kind, message) = match interrupt {
        Interrupt::Cancel => (JobStatus::Cancelled, FailureKind::Cancelled, "cancelled"),
        Interrupt::Timeout => (JobStatus::Timeout, FailureKind::Timeout, "the job's time was up"),
        Interrupt::Service => return None,
    };
    Some(Verdict { status, reason: Some(FailureReason { kind, message: message.to_owned() }) })
}

fn failure(kind: FailureKind, message: String) -> Verdict {
    Verdict { status: JobStatus::Failure, reason: Some(FailureReason { kind, message }) }
}

/// No exit record means infrastructure, never success.
fn without_record(facts: &Facts) -> Verdict {
    let Some((kind, message)) = &facts.group_failure else {
        return failure(FailureKind::Infra, "the coordinator ended without an exit record".to_owned());
    };
    let kind = match kind {
        GroupFailure::Image => FailureKind::ImagePull,
        GroupFailure::Config => FailureKind::Config,
        GroupFailure::Infra | GroupFailure::Lost => FailureKind::Infra,
    };
    failure(kind, message.clone())
}

fn disagreement(shim: i32, runtime: Option<i32>) -> String {
    let seen = runtime.map_or("no exit at all".to_owned(), |code| format!("exit {code}"));
    format!("the shim recorded exit {shim} of the danubefile, the runtime saw {seen} of its container")
}

fn by_exit(runner: RunnerEnd, facts: &Facts) -> Verdict {
    if runner.oom {
        return failure(FailureKind::Oom, "the coordinator ran out of memory".to_owned());
    }
    if let Some(message) = &facts.service {
        return failure(FailureKind::Service, message.clone());
    }
    match runner.exit_code {
        0 | runner_exit::STEPS_ABANDONED if runner.abandoned > 0 => {
            let n = runner.abandoned;
            let message = format!("the danubefile ended while {n} step{} still ran", if n == 1 { "" } else { "s" });
            failure(FailureKind::StepsAbandoned, message)
        }
        runner_exit::STEPS_ABANDONED => {
            failure(FailureKind::StepsAbandoned, "the danubefile ended while steps still ran".to_owned())
        }
        0 if facts.steps > 0 => Verdict { status: JobStatus::Success, reason: None },
        0 | runner_exit::NO_STEPS => {
            failure(FailureKind::NoSteps, "the danubefile ended without starting a step".to_owned())
        }
        runner_exit::UNLOADABLE => failure(FailureKind::Config, "the danubefile cannot be loaded".to_owned()),
        code => raised(code, runner.signal, facts.loss.as_ref()),
    }
}

fn raised(code: i32, signal: Option<i32>, loss: Option<&Loss>) -> Verdict {
    match loss {
        Some(Loss { container, oom: Some(oom) }) => failure(FailureKind::Oom, oom_words(container, oom)),
        Some(Loss { container, oom: None }) => {
            failure(FailureKind::WorkerLost, format!("the container `{container}` ended before its steps did"))
        }
        None if code == runner_exit::RAISED => failure(FailureKind::Script, "the danubefile failed".to_owned()),
        None => failure(FailureKind::Script, runner_words(code, signal)),
    }
}

fn runner_words(code: i32, signal: Option<i32>) -> String {
    match signal {
        Some(signal) => format!("the danubefile's Python was ended by signal {signal}"),
        None => format!("the danubefile's Python ended with exit code {code}"),
    }
}

/// `worker ran out of memory: limit 512 MiB, peak 511 MiB`.
#[must_use]
pub fn oom_words(container: &str, oom: &OomRecord) -> String {
    let peak = oom.peak_bytes.map_or(String::new(), |peak| format!(", peak {}", mebibytes(peak)));
    format!("{container} ran out of memory: limit {}{peak}", mebibytes(oom.limit_bytes))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: i32) -> Facts {
        let runner = RunnerEnd { exit_code, signal: None, oom: false, evicted: false, abandoned: 0 };
        Facts { runner: Some(runner), coordinator_exit: Some(exit_code), steps: 1, ..Facts::default() }
    }

    fn kind(facts: &Facts) -> Option<FailureKind> {
        verdict(facts).reason.map(|reason| reason.kind)
    }

    #[test]
    fn success_needs_both_records_and_a_step() {
        assert_eq!(verdict(&ended(0)).status, JobStatus::Success);
        assert_eq!(kind(&Facts { coordinator_exit: None, ..ended(0) }), Some(FailureKind::Infra));
        assert_eq!(kind(&Facts { coordinator_exit: Some(137), ..ended(0) }), Some(FailureKind::Infra));
        assert_eq!(kind(&Facts { runner: None, ..ended(0) }), Some(FailureKind::Infra));
        assert_eq!(kind(&Facts { steps: 0, ..ended(0) }), Some(FailureKind::NoSteps));
        assert_eq!(kind(&Facts { distrust: Some("hash".into()), ..ended(0) }), Some(FailureKind::Infra));
    }

    #[test]
    fn whoever_was_stopped_from_outside_has_neither_failed_nor_succeeded_by_itself() {
        for exit_code in [0, 130, 143] {
            let runner = RunnerEnd { exit_code, signal: None, oom: false, evicted: true, abandoned: 0 };
            for coordinator_exit in [None, Some(exit_code), Some(143)] {
                let facts = Facts { runner: Some(runner), coordinator_exit, ..ended(0) };
                assert_eq!(kind(&facts), Some(FailureKind::Evicted), "{facts:?}");
            }
        }
    }

    #[test]
    fn an_exit_with_running_steps_is_never_success() {
        let runner = RunnerEnd { exit_code: 0, signal: None, oom: false, evicted: false, abandoned: 2 };
        let facts = Facts { runner: Some(runner), ..ended(0) };
        let verdict = verdict(&facts);
        let reason = verdict.reason.expect("a failure");
        assert_eq!(reason.kind, FailureKind::StepsAbandoned);
        assert_eq!(reason.message, "the danubefile ended while 2 steps still ran");
    }

    #[test]
    fn the_script_s_own_number_never_becomes_the_exit_code() {
        for code in [1, 2, 3, 77, 130, 137] {
            let reason = verdict(&ended(code)).reason.expect("a failure");
            assert_eq!(reason.kind.exit_class().code(), 1, "{code}");
        }
    }

    #[test]
    fn a_lost_worker_is_told_from_a_failing_script() {
        let oom = OomRecord { limit_bytes: 512 << 20, peak_bytes: Some(511 << 20) };
        let loss = |oom| Some(Loss { container: "worker".into(), oom });
        assert_eq!(kind(&Facts { loss: loss(None), ..ended(1) }), Some(FailureKind::WorkerLost));
        let reason = verdict(&Facts { loss: loss(Some(oom)), ..ended(1) }).reason.expect("a failure");
        assert_eq!(reason.message, "worker ran out of memory: limit 512 MiB, peak 511 MiB");
        assert_eq!(kind(&Facts { loss: loss(None), ..ended(0) }), None, "a danubefile may handle it");
    }

    #[test]
    fn a_service_that_died_fails_the_job_whatever_the_danubefile_makes_of_it() {
        let died = |facts| Facts { service: Some("the service `db` ended".into()), ..facts };
        for code in [0, 1, 10] {
            let reason = verdict(&died(ended(code))).reason.expect("a failure");
            assert_eq!((reason.kind, reason.message.as_str()), (FailureKind::Service, "the service `db` ended"));
        }
        let interrupt = Some(Interrupt::Service);
        assert_eq!(kind(&died(Facts { interrupt, ..ended(1) })), Some(FailureKind::Service));
        let untrue = Some("hash".to_owned());
        assert_eq!(kind(&died(Facts { interrupt, distrust: untrue, ..ended(1) })), Some(FailureKind::Infra));
        let cancelled = Facts { interrupt: Some(Interrupt::Cancel), ..ended(1) };
        assert_eq!(kind(&died(cancelled)), Some(FailureKind::Cancelled));
    }

    #[test]
    fn of_a_reason_with_a_log_s_lines_the_first_is_its_headline() {
        assert_eq!(headline("it ended; its last lines:\n  a\n  b"), "it ended");
        assert_eq!(headline("it ended"), "it ended");
    }

    #[test]
    fn an_interrupt_wins() {
        let facts = Facts { interrupt: Some(Interrupt::Timeout), ..ended(0) };
        assert_eq!(verdict(&facts).status, JobStatus::Timeout);
        let facts = Facts { interrupt: Some(Interrupt::Cancel), ..Facts::default() };
        assert_eq!(verdict(&facts).status, JobStatus::Cancelled);
    }

    #[test]
    fn every_status_survives_its_text() {
        for (status, text) in JobStatus::ALL {
            assert_eq!(text.parse::<JobStatus>().expect("known"), status);
        }
    }
}
