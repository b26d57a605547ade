//! Groups that are started ahead of their jobs: kept here until one is taken, once, or is too old.
//!
//! One is made when nothing was started or ended for a moment and a processor is free: what a running job needs comes
//! first. The engine holds a line to each; when the line breaks, the group's monitor ends by itself.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use danube_core::egress::EgressMode;
use danube_core::id::AttemptId;
use danube_core::runtime::{ContainerSpec, GroupSpec, ImageSource, Role};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::error::{Doing, SandboxError};
use crate::group::folder::GroupFolder;
use crate::monitor::{END, STANDS};

/// One that was not used for so long is thrown away: what it shows of this machine may have been replaced meanwhile.
const OLDEST: Duration = Duration::from_secs(5 * 60);
/// So long must nothing have been started or ended before one is made.
const QUIET: Duration = Duration::from_millis(250);
/// One that is being made and says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How jobs are got ready for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmth {
    /// How many groups are kept ready.
    pub count: usize,
    /// What a coordinator runs.
    pub runner: Vec<String>,
}

/// What a group that is started ahead consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The containers.
    pub containers: Vec<ContainerSpec>,
    /// What its coordinator's shim starts ahead.
    pub ready: Vec<String>,
}

/// What is to be done.
pub enum Due {
    /// One is missing.
    Make(Wanted),
    /// One is too old, or not what would be made now.
    Discard(Spare),
}

/// A file that must still be the same: device, inode, size, change time.
type Stamp = (u64, u64, u64, i64, i64);

/// A group that is nobody's yet. Dropped, its monitor ends; its folder stays.
#[derive(Debug)]
pub struct Spare {
    /// Where it is.
    pub folder: GroupFolder,
    line: UnixStream,
    made: Wanted,
    born: Instant,
    python: Option<(std::path::PathBuf, Option<Stamp>)>,
}

impl Spare {
    /// One whose monitor is still to be started; the other end of the line is for that.
    pub fn of(folder: GroupFolder, wanted: &Wanted, python: Option<&Path>) -> Result<(Self, OwnedFd), SandboxError> {
        let (line, theirs) = UnixStream::pair().doing(|| "make the line to a monitor")?;
        line.set_nonblocking(true).doing(|| "make the line to a monitor")?;
        let python = python.map(|python| (python.to_owned(), stamp(python)));
        Ok((Self { folder, line, made: wanted.clone(), born: Instant::now(), python }, theirs.into()))
    }

    /// Waits until its containers stand.
    pub async fn stands(&self) -> Result<(), SandboxError> {
        let said = || format!("wait for {}", self.folder.path().display());
        let line = self.line.try_clone().and_then(tokio::net::UnixStream::from_std).doing(said)?;
        let mut word = [0];
        let heard = async {
            loop {
                line.readable().await?;
                match line.try_read(&mut word) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, heard).await {
            Ok(Ok(1)) if word == [STANDS] => Ok(()),
            _ => {
                let log = fs::read_to_string(self.folder.log()).unwrap_or_default();
                Err(SandboxError::Reported(format!("a group could not be made ahead: {}", log.trim())))
            }
        }
    }

    /// Tells the monitor which group it is.
    pub fn tell(self, folder: &GroupFolder) -> io::Result<()> {
        let name = [folder.path().as_os_str().as_bytes(), &[END]].concat();
        // A path, which a socket takes in at once.
        (&self.line).write_all(&name)?;
        self.line.shutdown(Shutdown::Write)
    }

    /// Whether it can still be handed out.
    fn is_fresh(&self) -> bool {
        let lives = matches!((&self.line).read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        let same = self.python.as_ref().is_none_or(|(path, known)| stamp(path) == *known);
        lives && same && self.born.elapsed() < OLDEST
    }

    /// Whether the group is this one and, perhaps, more containers.
    fn is_part_of(&self, spec: &GroupSpec) -> bool {
        self.made.containers.iter().all(|made| spec.containers.contains(made))
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

/// A name that no other has, also on another data directory: it names cgroups as well.
pub fn name() -> String {
    format!("spare-{:016x}", RandomState::new().build_hasher().finish())
}

/// Those that are there, and what is known of the jobs that may take them.
#[derive(Debug, Default)]
pub struct Spares {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    spares: VecDeque<Spare>,
    /// Those that are of no use to anybody.
    rejected: Vec<Spare>,
    /// The groups that this process made and has not removed.
    groups: BTreeSet<AttemptId>,
    /// When a group was last made or removed.
    touched: Option<Instant>,
    /// The last group's containers that could have been made ahead; `None` when none of it could.
    last: Option<Option<Vec<ContainerSpec>>>,
}

impl Spares {
    /// A group is about to be made. The next one is taken to be like it.
    pub fn group_begins(&self, spec: &GroupSpec) {
        let mut state = self.state();
        state.groups.insert(spec.attempt.clone());
        state.last = Some(makeable(spec));
        self.touch(state);
    }

    /// A group is gone.
    pub fn group_ends(&self, attempt: &AttemptId) {
        let mut state = self.state();
        state.groups.remove(attempt);
        self.touch(state);
    }

    fn touch(&self, mut state: MutexGuard<'_, State>) {
        state.touched = Some(Instant::now());
        drop(state);
        self.changed.notify_one();
    }

    /// One that can become this group.
    pub fn take(&self, spec: &GroupSpec) -> Option<Spare> {
        if spec.egress.mode == EgressMode::Host {
            return None;
        }
        let mut state = self.state();
        let at = state.spares.iter().position(|spare| spare.is_part_of(spec) && spare.is_fresh())?;
        state.spares.remove(at)
    }

    /// One was made.
    pub fn put(&self, spare: Spare) {
        self.state().spares.push_back(spare);
    }

    /// One turned out to be of no use.
    pub fn reject(&self, spare: Spare) {
        self.state().rejected.push(spare);
        self.changed.notify_one();
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state().spares.len()
    }

    /// Lets go of all.
    pub fn forget(&self) {
        let mut state = self.state();
        state.spares.clear();
        state.rejected.clear();
    }

    /// Waits until there is something to do.
    pub async fn due(&self, warmth: &Warmth) -> Due {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        loop {
            let wake = match self.state().look(warmth, processors) {
                Ok(due) => return due,
                Err(wake) => wake,
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is to be done, or when to look again.
    fn look(&mut self, warmth: &Warmth, processors: usize) -> Result<Due, Instant> {
        if let Some(rejected) = self.rejected.pop() {
            return Ok(Due::Discard(rejected));
        }
        let now = Instant::now();
        let wanted = self.wanted(warmth);
        let is_bad = |spare: &Spare| Some(&spare.made) != wanted.as_ref() || !spare.is_fresh();
        if let Some(at) = self.spares.iter().position(is_bad)
            && let Some(bad) = self.spares.remove(at)
        {
            return Ok(Due::Discard(bad));
        }
        let oldest = self.spares.iter().map(|spare| spare.born + OLDEST).min();
        let rest = Err(oldest.unwrap_or(now + OLDEST));
        let Some(wanted) = wanted.filter(|_| self.spares.len() < warmth.count) else { return rest };
        let quiet = self.touched.map_or(now, |touched| touched + QUIET);
        if self.groups.len() >= processors {
            return rest;
        }
        if now < quiet { Err(quiet) } else { Ok(Due::Make(wanted)) }
    }

    fn wanted(&self, warmth: &Warmth) -> Option<Wanted> {
        let containers = self.last.clone().unwrap_or_else(|| Some(vec![coordinator()]))?;
        Some(Wanted { containers, ready: warmth.runner.clone() })
    }
}

/// Every group has one, and it is always the same.
fn coordinator() -> ContainerSpec {
    ContainerSpec {
        name: danube_core::id::ContainerName::coordinator(),
        role: Role::Coordinator,
        image: ImageSource::Host,
        program: None,
        resources: danube_core::runtime::Resources::default(),
    }
}

/// Which containers of a group can be made before it is known: those on this machine's own programs. A service is not:
/// its image's program is part of it.
fn makeable(spec: &GroupSpec) -> Option<Vec<ContainerSpec>> {
    let own = spec.containers.iter().filter(|one| one.image == ImageSource::Host && one.role != Role::Service);
    (spec.egress.mode != EgressMode::Host).then(|| own.cloned().collect())
}
