//! Named points at which a test makes the process kill itself as `kill -9` would. Only with the feature `failpoints`;
//! otherwise nothing at all.

/// Kills this process when the environment variable `DANUBE_FAILPOINT` names this point.
#[cfg(feature = "failpoints")]
pub fn failpoint(name: &str) {
    if std::env::var_os("DANUBE_FAILPOINT").is_some_and(|wanted| wanted == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub fn failpoint(_name: &str) {}

/// Every point, in the order in which a job passes them.
pub const FAILPOINTS: [&str; 24] = [
    "job-scheduling",
    "group-created",
    "job-running",
    "runner-started",
    "before-step-row",
    "after-step-row",
    "step-started",
    "step-output",
    "before-step-end",
    "after-step-end",
    "container-written",
    "container-added",
    "service-started",
    "service-ready",
    "artifact-received",
    "artifact-kept",
    "artifact-placed",
    "report-received",
    "report-written",
    "report-kept",
    "summary-kept",
    "before-verdict",
    "after-verdict",
    "group-deleted",
];

/// The points between the end of an attempt and the beginning of the next, in order.
pub const RETRY_FAILPOINTS: [&str; 5] =
    ["attempt-ended", "group-deleted", "attempt-removed", "again-prepared", "again-planned"];

/// The points that only a job of a master passes, in order; the last two when its end is asked for, at any time.
pub const MASTER_FAILPOINTS: [&str; 6] =
    ["job-accepted", "job-claimed", "job-prepared", "plan-written", "cancel-written", "superseded"];
