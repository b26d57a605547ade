//! What can go wrong while a job's network is set up.

use std::io;

/// Why a job's network could not be set up. What happens to single connections is journalled, not an error.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The kernel refused a step of the set-up inside the namespace.
    #[error(
        "cannot set up the job's network: {what}: {source}; `danube doctor` shows what this machine allows, \
         `--network host` does without"
    )]
    Namespace {
        /// The step.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A rule's port cannot be opened.
    #[error("cannot open port {port} for the job: {source}; take the port out of the egress rules, or free it")]
    Port {
        /// The port.
        port: u16,
        /// The kernel's answer.
        source: io::Error,
    },
    /// More ports than one message can carry.
    #[error("the egress rules name {0} ports and at most {max} can be open; join or drop some", max = super::MAX_PORTS)]
    TooManyPorts(usize),
    /// The sockets did not reach the monitor.
    #[error(
        "the job's network sockets were not handed to its monitor: {0}; run the job again, and report it if it stays"
    )]
    Handover(io::Error),
    /// A proxy variable cannot be used.
    #[error("{variable} is not a usable proxy setting: {why}")]
    Proxy {
        /// The variable's name; its value may hold a password and is never shown.
        variable: String,
        /// What is wrong and what would be right.
        why: &'static str,
    },
    /// The relays cannot be started in this process.
    #[error("cannot serve the job's network: {0}; run the job again, and report it if it stays")]
    Serve(io::Error),
}
