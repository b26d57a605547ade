//! Named points at which a test makes the engine kill itself as `kill -9` would, between the deeds of this crate. Only
//! with the feature `failpoints`; otherwise nothing at all.

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

/// The point between a monitor's start and the note of its id.
pub const MONITOR_FAILPOINT: &str = "monitor-spawned";
/// The points that only a group passes which was started ahead, in order.
pub const SPARE_FAILPOINTS: [&str; 4] = ["spare-taken", "spare-named", "spare-furnished", "spare-told"];
