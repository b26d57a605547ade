//! From the start of the process to its runtime: session, lock, keeper.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use danube_core::egress::EgressMode;
use danube_core::runtime::GroupEvent;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};

use super::ground::Ground;
use super::keeper::{self, Started};
use super::{serve, spare};
use crate::config::Isolation;
use crate::error::{Doing, SandboxError};
use crate::group::folder::GroupFolder;
use crate::group::journal::Journal;
use crate::group::record::{self, Assignment, ExitRecord, Spare};
use crate::keeper::{Network, Setup};
use crate::sys;

/// Argument, before the folder, that makes the program a group that was started ahead.
pub const SPARE: &str = "--spare";

/// Runs a group from its folder.
pub fn main(folder: &GroupFolder) -> ExitCode {
    let Err(error) = run(folder) else { return ExitCode::SUCCESS };
    eprintln!("monitor: {error}");
    tell(folder, &error);
    ExitCode::FAILURE
}

/// Runs a group that is to become somebody's. Nobody follows it before that.
pub fn spare(folder: &GroupFolder) -> ExitCode {
    let Err(error) = run_spare(folder) else { return ExitCode::SUCCESS };
    eprintln!("monitor: {error}");
    ExitCode::FAILURE
}

/// Tells who follows the group why it failed.
pub fn tell(folder: &GroupFolder, error: &SandboxError) {
    let failed = GroupEvent::Failed { kind: error.kind(), message: error.to_string() };
    let told = Journal::open(folder).and_then(|mut journal| journal.append(&failed));
    // The group's end is known even when nobody can be told why.
    let ended = record::write(&folder.exit(), &ExitRecord::default());
    if let Err(error) = told.and(ended) {
        eprintln!("monitor: {error}");
    }
}

fn run(folder: &GroupFolder) -> Result<(), SandboxError> {
    // Fails for the leader of a session only, which needs no new one.
    let _ = rustix::process::setsid();
    let lock = hold_lock(folder)?;
    let assignment: Assignment = record::read(&folder.spec())?
        .ok_or_else(|| SandboxError::Config(format!("{} has no spec.json", folder.path().display())))?;
    let started = match assignment.config.isolation {
        Isolation::Namespaces => Some(start_keeper(&assignment, &lock)?),
        Isolation::None => None,
    };
    let open_files = raise_open_files();
    let done = within_runtime(async {
        let name = assignment.spec.attempt.to_string();
        let (ground, sockets) = Ground::lay(folder, &name, started, open_files)?;
        serve::run(folder.clone(), assignment, ground, sockets, Vec::new()).await
    });
    drop(lock);
    done
}

fn run_spare(folder: &GroupFolder) -> Result<(), SandboxError> {
    let _ = rustix::process::setsid();
    let (lock, engine) = (hold_lock(folder)?, take_line()?);
    let spare: Spare = record::read(&folder.spare())?
        .ok_or_else(|| SandboxError::Config(format!("{} has no spare.json", folder.path().display())))?;
    let setup = Setup { shim: Some(spare.config.shim.clone()), network: Network::Later };
    let started = keeper::start(&setup, spare.config.id_base, Some(&lock))?;
    let open_files = raise_open_files();
    let done = within_runtime(spare::run(folder.clone(), spare, started, engine, open_files));
    drop(lock);
    done
}

fn within_runtime(life: impl Future<Output = Result<(), SandboxError>>) -> Result<(), SandboxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(|| "start the monitor's runtime")?;
    let done = runtime.block_on(life);
    // A download that waits for its registry does not keep a job that was stopped.
    runtime.shutdown_background();
    done
}

/// The engine's line to a group that was started ahead is its standard output; what is printed goes to the log instead.
fn take_line() -> Result<OwnedFd, SandboxError> {
    let said = || "take the engine's line";
    let line = std::io::stdout().as_fd().try_clone_to_owned().doing(said)?;
    rustix::stdio::dup2_stdout(std::io::stderr()).doing(said)?;
    Ok(line)
}

/// Every connection of the job's network is two descriptors here, and the customary limit is 1024. Gives the limit
/// that was found: the keeper, and so each container, has kept it.
fn raise_open_files() -> Rlimit {
    let found = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: found.maximum, maximum: found.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        eprintln!("monitor: the limit of open files stays: {error}");
    }
    found
}

/// The group's lock: held by the monitor's open file for as long as that lives.
pub struct Lock(OwnedFd);

impl Lock {
    /// Stops holding it in a forked copy of this process, by putting another file in its place.
    pub fn let_go(&self) {
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        if let Err(error) = null.and_then(|null| sys::replace(&self.0, null)) {
            eprintln!("the keeper holds on to the group's lock: {error}");
        }
    }
}

/// The engine started this process with the locked file of process ids as standard input: the lock is on the open
/// file, so it was held before this process began and ends with it. The engine also writes the id.
fn hold_lock(folder: &GroupFolder) -> Result<Lock, SandboxError> {
    let said = || "take the group's lock";
    let lock = std::io::stdin().as_fd().try_clone_to_owned().doing(said)?;
    folder.name_monitor(&lock, std::process::id()).doing(said)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()).doing(said)?;
    rustix::stdio::dup2_stdin(&null).doing(said)?;
    Ok(Lock(lock))
}

fn start_keeper(assignment: &Assignment, lock: &Lock) -> Result<Started, SandboxError> {
    let egress = &assignment.spec.egress;
    let network = if egress.mode == EgressMode::Host { Network::Host } else { Network::Own(egress.ports()) };
    let setup = Setup { shim: Some(assignment.config.shim.clone()), network };
    keeper::start(&setup, assignment.config.id_base, Some(lock))
}
