//! A group that was started ahead, for nobody: its namespaces, and containers whose shims wait. It holds nothing of any
//! job. The engine gives it one folder name, once; then it is that group, and this process its monitor as any other.
//! Without a name, when the engine dies or needs it no more, it ends.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use danube_core::egress::{EgressMode, EgressPolicy};
use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{Assigned, ContainerSpec, GroupSpec, Role, Workspace};
use rustix::process::Rlimit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::container::{self, Process};
use super::ground::Ground;
use super::keeper::{Keeper, Started};
use super::serve::{self, Group};
use super::start;
use crate::error::{Doing, SandboxError};
use crate::group::folder::GroupFolder;
use crate::group::record::{self, Assignment, Spare};
use crate::plan::outfit::{self, PIDS, Planner};

/// What is said to the engine when all of it stands.
pub const STANDS: u8 = b'S';
/// Ends the folder's name, so that half of one is none.
pub const END: u8 = 0;

/// A container that stands, and whose shim waits.
pub struct Standing {
    /// Its name.
    pub name: ContainerName,
    user: (u32, u32),
    process: Process,
    late: StdStream,
}

/// The life of a spare group.
pub async fn run(
    folder: GroupFolder,
    spare: Spare,
    started: Started,
    engine: OwnedFd,
    open_files: Rlimit,
) -> Result<(), SandboxError> {
    let engine = StdStream::from(engine);
    engine.set_nonblocking(true).doing(|| "listen to the engine")?;
    let mut engine = UnixStream::from_std(engine).doing(|| "listen to the engine")?;
    let name = folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (ground, _) = Ground::lay(&folder, &name, Some(started), open_files)?;
    let Some(keeper) = &ground.keeper else { return Ok(()) };
    let placeholder = placeholder(&spare)?;
    let planner = Planner { assignment: &placeholder, ids: &ground.ids, folder: &folder, ahead: Some(&spare.ready) };
    let mut standing = Vec::new();
    for spec in &spare.containers {
        standing.push(stand(&planner, keeper, &ground, spec).await?);
    }
    engine.write_all(&[STANDS]).await.doing(|| "tell the engine")?;
    let Some(folder) = told(&mut engine, &standing).await else {
        keeper.end();
        return Ok(());
    };
    drop(engine);
    let becomes = become_group(&folder, ground, standing).await;
    // From here on somebody follows the group and is to be told.
    becomes.inspect_err(|error| start::tell(&folder, error))
}

async fn become_group(folder: &GroupFolder, ground: Ground, standing: Vec<Standing>) -> Result<(), SandboxError> {
    let assignment: Assignment = record::read(&folder.spec())?
        .ok_or_else(|| SandboxError::Config(format!("{} has no spec.json", folder.path().display())))?;
    let ports = assignment.spec.egress.ports();
    let sockets = match &ground.keeper {
        Some(keeper) => Some(keeper.open_network(ports).await?),
        None => None,
    };
    serve::run(folder.clone(), assignment, ground, sockets, standing).await
}

/// What a container is planned with before anything of its group is known.
fn placeholder(spare: &Spare) -> Result<Assignment, SandboxError> {
    let job = "spare".parse().map_err(|_| SandboxError::Config("a spare group has no name".into()))?;
    let spec = GroupSpec {
        attempt: AttemptId { job, number: 0 },
        nonce: String::new(),
        pipeline: String::new(),
        containers: Vec::new(),
        workspace: Workspace::Empty,
        source: None,
        egress: EgressPolicy { mode: EgressMode::Enforce, rules: Vec::new() },
        orphan_grace: Duration::ZERO,
        time: Duration::from_secs(60),
        warm: 0,
    };
    Ok(Assignment { spec, config: spare.config.clone() })
}

/// Makes one container as far as it can be made.
async fn stand(
    planner: &Planner<'_>,
    keeper: &Keeper,
    ground: &Ground,
    spec: &ContainerSpec,
) -> Result<Standing, SandboxError> {
    let folder = planner.folder.container(&spec.name);
    let openings = container::prepare(&folder, &spec.image)?;
    let plan = planner.outfit(spec, planner.host(spec), &folder);
    let user = plan.user;
    keeper.own(outfit::owners(&plan, &folder)).await?;
    let pids = spec.resources.pids.unwrap_or(PIDS);
    let cgroup = ground.cgroups.as_ref().map(|cgroups| cgroups.container(&spec.name, &spec.resources, pids));
    let cgroup = cgroup.transpose().doing(|| format!("limit {}", spec.name))?;
    let (late, theirs) = StdStream::pair().doing(|| "make the line to a shim")?;
    let process = container::launch(keeper, plan, &openings, cgroup.as_ref(), Some(theirs.into())).await?;
    Ok(Standing { name: spec.name.clone(), user, process, late })
}

/// Waits for the name of the folder that this is to be. None when there will be none, or a container has ended.
async fn told(engine: &mut UnixStream, standing: &[Standing]) -> Option<GroupFolder> {
    let mut words = Vec::new();
    let one_ended = std::future::poll_fn(|context| {
        // Each is asked, so that each wakes this.
        let ended = standing.iter().filter(|one| one.process.has_ended(context)).count();
        if ended > 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    tokio::select! {
        read = engine.read_to_end(&mut words) => drop(read),
        () = one_ended => return None,
    }
    let path = words.strip_suffix(&[END]).filter(|path| !path.is_empty())?;
    Some(GroupFolder::at(OsString::from_vec(path.to_vec()).into()))
}

impl Standing {
    /// Brings in what the job brings, then lets the shim serve.
    pub async fn move_in(self, group: &Arc<Group>, role: Role) -> Result<Process, SandboxError> {
        let Some(keeper) = &group.ground.keeper else {
            return Err(SandboxError::Reported("a container stands and its keeper does not".into()));
        };
        group.share(keeper, role, self.user).await?;
        keeper.attach(self.process.pidfd(), group.planner().assigned(role)).await?;
        let spec = &group.assignment.spec;
        let assigned = Assigned { nonce: spec.nonce.clone(), orphan_grace_s: spec.orphan_grace.as_secs() };
        let said = || format!("tell the shim of {} for which job it is", self.name);
        let mut line = serde_json::to_vec(&assigned).doing(said)?;
        line.push(b'\n');
        // Some hundred bytes, which a socket takes in at once.
        (&self.late).write_all(&line).doing(said)?;
        Ok(self.process)
    }
}
