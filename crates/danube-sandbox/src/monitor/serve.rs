//! The life of a group, once its namespaces stand.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use danube_core::id::ContainerName;
use danube_core::runtime::{ContainerSpec, ContainerState, GroupEvent, GroupFailure, ImageSource, Role};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

use super::asked::{Asked, Report};
use super::cgroups::Cgroup;
use super::container::{self, Openings, Process};
use super::control::{Control, Request};
use super::ground::Ground;
use super::images;
use super::keeper::Keeper;
use super::plain;
use super::pull::Pinned;
use super::spare::Standing;
use crate::egress::{EgressSockets, Proxies, Relays, Resolver, Upstream};
use crate::error::{Doing, SandboxError};
use crate::group::folder::GroupFolder;
use crate::group::journal::Journal;
use crate::group::record::{self, Assignment, ExitRecord};
use crate::keeper::wire::Own;
use crate::plan::outfit::{self, Base, Planner};

/// Everything that the tasks of a group share.
pub struct Group {
    /// Where it lives.
    pub folder: GroupFolder,
    /// What it is.
    pub assignment: Assignment,
    /// What it stands on.
    pub ground: Ground,
    /// What the job's images in registries are.
    pub pinned: Pinned,
    /// `/workspace` has been given to the steps' user.
    workspace: OnceCell<()>,
    journal: Mutex<Journal>,
    /// Becomes true when everything is to be killed.
    stopping: watch::Sender<bool>,
}

type Ended = (ContainerName, Result<ContainerState, SandboxError>);

/// How a container begins.
pub enum Door {
    /// It is to be made.
    Open(Openings),
    /// It stands, made before it was known for which job.
    Standing(Standing),
}

/// Runs a group from its first container to its last. Some may stand already.
pub async fn run(
    folder: GroupFolder,
    assignment: Assignment,
    ground: Ground,
    sockets: Option<EgressSockets>,
    standing: Vec<Standing>,
) -> Result<(), SandboxError> {
    let group = Group::make(folder, assignment, ground)?;
    if group.ground.keeper.is_none() {
        plain::adopt_orphans()?;
    }
    let mut background = JoinSet::new();
    group.start_relays(sockets, &mut background)?;
    let control = Control::open(&group.folder)?;
    let mut running = JoinSet::new();
    // Every socket is there before the first event, which is what `create` waits for.
    let specs = &group.assignment.spec.containers;
    let mut standing: BTreeMap<_, _> = standing.into_iter().map(|one| (one.name.clone(), one)).collect();
    let mut door = |spec: &ContainerSpec| match standing.remove(&spec.name) {
        Some(standing) => Ok(Door::Standing(standing)),
        None => group.open_door(spec),
    };
    let doors = specs.iter().map(&mut door).collect::<Result<Vec<_>, _>>()?;
    let mut asked = Asked::default();
    for (spec, door) in specs.iter().zip(doors) {
        asked.ask(spec, |spec, report| group.clone().begin(spec, door, report, &mut running));
    }
    let states = group.watch_over(running, asked, control).await;
    if group.ground.keeper.is_none() {
        plain::end_orphans();
    }
    let written = states.and_then(|states| record::write(&group.folder.exit(), &ExitRecord { containers: states }));
    if let Some(keeper) = &group.ground.keeper {
        keeper.end();
    }
    written
}

impl Group {
    fn make(folder: GroupFolder, assignment: Assignment, ground: Ground) -> Result<Arc<Self>, SandboxError> {
        let journal = Mutex::new(Journal::open(&folder)?);
        let stopping = watch::Sender::new(false);
        let workspace = OnceCell::new();
        let pinned = Pinned::default();
        Ok(Arc::new(Self { folder, assignment, ground, pinned, workspace, journal, stopping }))
    }

    /// Writes an event into the journal.
    pub fn tell(&self, event: &GroupEvent) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = journal.append(event) {
            eprintln!("monitor: {error}");
        }
    }

    /// Everything is to end.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until everything is to end.
    async fn stopped(&self) {
        // The sender lives as long as the group.
        drop(self.stopping.subscribe().wait_for(|stop| *stop).await);
    }

    /// The group cannot go on: says why, and kills what runs.
    fn fail(&self, kind: GroupFailure, message: String) {
        self.tell(&GroupEvent::Failed { kind, message });
        self.stopping.send_replace(true);
    }

    fn tell_state(&self, container: &ContainerName, state: ContainerState) {
        self.tell(&GroupEvent::State { container: container.clone(), state });
    }

    /// A container is being made: at what the monitor is.
    pub fn tell_waiting(&self, container: &ContainerName, message: impl Into<String>) {
        self.tell_state(container, ContainerState::Waiting { message: message.into() });
    }

    fn start_relays(
        self: &Arc<Self>,
        sockets: Option<EgressSockets>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), SandboxError> {
        let Some(sockets) = sockets else { return Ok(()) };
        let machine = |error: crate::egress::EgressError| SandboxError::Machine(error.to_string());
        let proxies = Proxies::from_env(std::env::vars()).map_err(machine)?;
        let group = self.clone();
        let journal = move |event| group.tell(&GroupEvent::Egress(event));
        let group = self.clone();
        let upstream = Upstream::new(Resolver::System, proxies);
        let relays = Relays::new(self.assignment.spec.egress.clone(), sockets, upstream, journal);
        tasks.spawn(async move {
            // They run for as long as the group does: this task is dropped, not ended, when the last container has.
            let why = relays.run().await.map_or_else(|error| error.to_string(), |()| "its relays ended".to_owned());
            group.fail(GroupFailure::Infra, format!("the job's network: {why}"));
        });
        Ok(())
    }

    /// Makes a container's directory and socket.
    fn open_door(&self, spec: &ContainerSpec) -> Result<Door, SandboxError> {
        container::prepare(&self.folder.container(&spec.name), &spec.image).map(Door::Open)
    }

    /// Makes the container itself in a task of its own.
    fn begin(self: Arc<Self>, spec: ContainerSpec, door: Door, report: Report, running: &mut JoinSet<Ended>) {
        self.tell_waiting(&spec.name, "starting");
        running.spawn(async move {
            let name = spec.name.clone();
            let ended = self.live(spec, door, &report).await;
            if let Err(error) = &ended {
                report.failed(error);
            }
            container::close_door(&self.folder.container(&name));
            (name, ended)
        });
    }

    /// One container from its launch to its end.
    async fn live(
        self: &Arc<Self>,
        spec: ContainerSpec,
        door: Door,
        report: &Report,
    ) -> Result<ContainerState, SandboxError> {
        let name = spec.name.clone();
        let cgroup = self.cgroup(&spec);
        let process = match door {
            Door::Open(openings) => self.launch(spec, openings, cgroup.as_ref()).await?,
            Door::Standing(standing) => standing.move_in(self, spec.role).await?,
        };
        self.tell_state(&name, ContainerState::Running);
        report.runs();
        let ended = process.ended(cgroup.as_ref());
        tokio::pin!(ended);
        let state = tokio::select! {
            state = &mut ended => state?,
            () = self.stopped() => {
                process.kill();
                ended.await?
            }
        };
        self.tell_state(&name, state.clone());
        Ok(state)
    }

    fn cgroup(&self, spec: &ContainerSpec) -> Option<Cgroup> {
        let pids = spec.resources.pids.unwrap_or(outfit::PIDS);
        match self.ground.cgroups.as_ref()?.container(&spec.name, &spec.resources, pids) {
            Ok(cgroup) => Some(cgroup),
            Err(error) => {
                eprintln!("monitor: no limits for {}: {error}", spec.name);
                None
            }
        }
    }

    fn is_planned(&self, container: &ContainerName) -> bool {
        self.assignment.spec.containers.iter().any(|spec| spec.name == *container)
    }

    /// Plans containers of this group.
    pub fn planner(&self) -> Planner<'_> {
        Planner { assignment: &self.assignment, ids: &self.ground.ids, folder: &self.folder, ahead: None }
    }

    /// What the container's image brings, and the image's lock.
    async fn base(self: &Arc<Self>, spec: &ContainerSpec) -> Result<(Base, Option<OwnedFd>), SandboxError> {
        if spec.image == ImageSource::Host {
            return Ok((self.planner().host(spec), None));
        }
        let ready = images::ready(self, spec).await?;
        Ok((ready.base, Some(ready.lock)))
    }

    async fn launch(
        self: &Arc<Self>,
        spec: ContainerSpec,
        openings: Openings,
        cgroup: Option<&Cgroup>,
    ) -> Result<Process, SandboxError> {
        let Some(keeper) = &self.ground.keeper else {
            return plain::start(self, &spec, &openings, cgroup);
        };
        let (base, lock) = tokio::select! {
            base = self.base(&spec) => base?,
            // Nobody waits for a download any more; what is half done is gone on with another time.
            () = self.stopped() => return Err(SandboxError::Image("the job was stopped while its image was prepared".into())),
        };
        let folder = self.folder.container(&spec.name);
        let plan = self.planner().outfit(&spec, base, &folder);
        keeper.own(outfit::owners(&plan, &folder)).await?;
        self.share(keeper, spec.role, plan.user).await?;
        Ok(container::launch(keeper, plan, &openings, cgroup, None).await?.holding(lock))
    }

    /// `/workspace` belongs to the first worker's user and to a group that all have; `/danube/src` to the
    /// coordinator's user. A service owns neither: its image's user is not the one that builds.
    pub async fn share(&self, keeper: &Keeper, role: Role, user: (u32, u32)) -> Result<(), SandboxError> {
        let own = |path, user, mode| vec![Own { path, user, mode, recursive: true }];
        match (role, &self.assignment.spec.source) {
            (Role::Worker, _) => {
                let user = (user.0, outfit::WORKSPACE_GROUP);
                let give = || keeper.own(own(self.folder.workspace(), user, 0o2775));
                self.workspace.get_or_try_init(give).await.map(drop)
            }
            (Role::Coordinator, Some(_)) => keeper.own(own(self.folder.source(), user, 0o755)).await,
            (Role::Coordinator, None) | (Role::Service, _) => Ok(()),
        }
    }

    /// Until the last container has ended: new ones are added, a stop is obeyed.
    async fn watch_over(
        self: &Arc<Self>,
        mut running: JoinSet<Ended>,
        mut asked: Asked,
        control: Control,
    ) -> Result<BTreeMap<ContainerName, ContainerState>, SandboxError> {
        let mut states = BTreeMap::new();
        let mut stop = signal(SignalKind::terminate()).doing(|| "listen for SIGTERM")?;
        loop {
            tokio::select! {
                ended = running.join_next() => match ended {
                    None => return Ok(states),
                    Some(ended) => self.note(ended, &mut states),
                },
                request = control.next() => self.take(request, &mut asked, &mut running),
                _ = stop.recv() => { self.stopping.send_replace(true); }
            }
        }
    }

    /// Makes another container, or finds the one that was asked for before. Answers when it runs.
    fn take(self: &Arc<Self>, request: Request, asked: &mut Asked, running: &mut JoinSet<Ended>) {
        let made = asked.ask(&request.spec, |spec, report| match self.open_door(&spec) {
            Ok(openings) => self.clone().begin(spec, openings, report, running),
            Err(error) => report.failed(&error),
        });
        tokio::spawn(request.answer(made));
    }

    /// A container that could not be made fails the group as a whole: its steps could not run. Except
    /// one that was added: that its image cannot be had is the matter of the step that asked for it, and that was told.
    fn note(&self, ended: Result<Ended, tokio::task::JoinError>, states: &mut BTreeMap<ContainerName, ContainerState>) {
        let failure = match ended {
            Ok((name, Ok(state))) => {
                states.insert(name, state);
                return;
            }
            Ok((name, Err(SandboxError::Image(words)))) if !self.is_planned(&name) => {
                return eprintln!("monitor: container {name}: {words}");
            }
            Ok((_, Err(SandboxError::Image(words)))) => (GroupFailure::Image, words),
            Ok((name, Err(error))) => (error.kind(), format!("container {name}: {error}")),
            Err(panic) => (GroupFailure::Infra, format!("the monitor failed: {panic}")),
        };
        self.fail(failure.0, failure.1);
    }
}
