//! What the tasks of one job share: services, the plan, its secrets, the links to its containers, the steps that run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use danube_core::id::{ContainerName, StepId};
use danube_core::job::Interrupt;
use danube_core::machine::Event;
use danube_core::mask::{MaskError, MaskSet, SecretValue};
use danube_core::runtime::{ContainerSpec, Resources, Role, Runtime};
use danube_core::step::StepKind;
use danube_store::Store;
use danube_store::containers::ContainerRow;
use danube_store::steps::StepRow;
use tokio::sync::{mpsc, watch};

use self::services::{Place, Services as StartedServices};
use super::plan::{COMPUTED_IMAGES, Plan};
use super::progress::Observer;
use super::room::Room;
use crate::artifacts::ArtifactDir;
use crate::logs::LogDir;
use crate::records::{KnownStep, KnownSteps};
use crate::shim::link::{Fenced, Link, Peer};

pub mod services;

/// What a job needs from outside.
#[derive(Debug)]
pub struct Services<R> {
    /// Makes containers and opens streams to them.
    pub runtime: Arc<R>,
    /// The database.
    pub store: Store,
    /// Where logs are written.
    pub logs: LogDir,
    /// Where artifacts are kept.
    pub artifacts: ArtifactDir,
}

impl<R> Clone for Services<R> {
    fn clone(&self) -> Self {
        let (runtime, store) = (self.runtime.clone(), self.store.clone());
        Self { runtime, store, logs: self.logs.clone(), artifacts: self.artifacts.clone() }
    }
}

/// Keeps a link for as long as it runs.
pub type Keeper = Pin<Box<dyn Future<Output = Result<(), Fenced>> + Send>>;

/// Shared by the tasks of one job.
pub struct Shared<R> {
    /// What the job needs from outside.
    pub services: Services<R>,
    /// What is to be done.
    pub plan: Plan,
    /// Values by name; in memory only.
    pub secrets: BTreeMap<String, String>,
    /// Hides them.
    pub masks: MaskSet,
    /// Who looks.
    pub observer: Observer,
    /// Waits while the disk is full.
    pub room: Room,
    /// Reports of tests are read one after the other: a job takes no more than its share of this machine for them.
    pub reports: tokio::sync::Mutex<()>,
    /// Events for the job's machine.
    pub events: mpsc::UnboundedSender<Event>,
    links: watch::Sender<Links>,
    /// Futures that keep links, for the job's own task set.
    keepers: mpsc::UnboundedSender<Keeper>,
    running: watch::Sender<HashMap<StepId, Link>>,
    /// The job was cancelled, or its time is up.
    interrupted: watch::Sender<Option<Interrupt>>,
    /// Why new steps are refused, once they are.
    closed: Mutex<Option<Closed>>,
    /// Steps whose caller vanished while they ran.
    forsaken: Mutex<HashSet<StepId>>,
    steps: Mutex<Steps>,
    services_started: Mutex<StartedServices>,
}

#[derive(Default)]
struct Steps {
    /// From before a restart.
    known: KnownSteps,
    /// The highest number given.
    last: u32,
    /// Ended steps whose captures the shim still keeps, with the bytes of their output.
    unreleased: HashMap<StepId, (Link, u64)>,
    /// Steps that the danubefile waits for.
    asked: HashSet<StepId>,
    /// Steps that must not go on.
    stopped: HashSet<StepId>,
}

#[derive(Default)]
struct Links {
    by_container: HashMap<ContainerName, Link>,
    by_image: BTreeMap<String, ContainerName>,
    /// The highest number that a worker's name was given. A name is never given again, also when its container could
    /// not be made: the runtime remembers it.
    named: usize,
    /// A container each.
    services: Vec<Place>,
    /// The highest number that a service's container at run time was given.
    named_services: usize,
}

impl Links {
    /// Whether the container is there, or on its way.
    fn knows(&self, container: &ContainerName) -> bool {
        self.by_image.values().any(|name| name == container)
            || self.services.iter().any(|place| place.name() == container)
    }
}

/// Why new steps are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The danubefile ended.
    Ended,
    /// The cleanup's time is up after a cancel.
    Cancelled,
    /// The cleanup's time is up after a timeout.
    Timeout,
    /// The cleanup's time is up after a service's death.
    Service,
}

/// Why a step has no container.
pub enum NoContainer {
    /// It must be made first.
    Make(Box<ContainerSpec>),
    /// There is no place left.
    Full,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A task that panicked while it held the lock left the map whole: every change is one insertion.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Runtime> Shared<R> {
    /// Builds the masks, so that nothing can be written before secrets are hidden.
    pub fn new(
        services: Services<R>,
        plan: Plan,
        secrets: BTreeMap<String, String>,
        observer: Observer,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Keeper>), MaskError> {
        let values: Vec<SecretValue> =
            secrets.iter().map(|(name, value)| SecretValue::new(name.clone(), value.clone().into_bytes())).collect();
        let named = plan.group.containers.iter().filter_map(|spec| spec.name.worker_number()).max().unwrap_or(0);
        let links = Links { by_image: plan.images.clone(), named, services: Place::planned(&plan), ..Links::default() };
        let (keepers, kept) = mpsc::unbounded_channel();
        let shared = Self {
            services,
            plan,
            masks: MaskSet::new(&values)?,
            secrets,
            room: Room::new(observer.clone()),
            observer,
            reports: tokio::sync::Mutex::default(),
            events,
            links: watch::channel(links).0,
            keepers,
            running: watch::channel(HashMap::new()).0,
            interrupted: watch::channel(None).0,
            closed: Mutex::new(None),
            forsaken: Mutex::default(),
            steps: Mutex::new(Steps::default()),
            services_started: Mutex::default(),
        };
        Ok((shared, kept))
    }

    /// A container's limits.
    pub fn resources(&self, container: &ContainerName) -> Resources {
        let planned = self.plan.group.containers.iter().find(|spec| spec.name == *container);
        planned.map_or(self.plan.resources, |spec| spec.resources)
    }

    /// Hides secrets in a short text.
    pub fn mask(&self, text: &str) -> String {
        self.masks.mask_text(text)
    }

    /// Who is at the other end of a container's stream.
    pub fn peer(&self, container: &ContainerName) -> Peer {
        Peer {
            attempt: self.plan.group.attempt.clone(),
            container: container.clone(),
            nonce: self.plan.group.nonce.clone(),
            epoch: self.services.store.epoch(),
        }
    }

    /// Has the job's own task set run something.
    pub fn keep(&self, keeper: Keeper) {
        let _ = self.keepers.send(keeper);
    }

    /// Keeps a container's link, and whatever keeps that.
    pub fn keep_link(&self, container: ContainerName, link: Link, keeper: Keeper) {
        self.keep(keeper);
        self.links.send_modify(|links| drop(links.by_container.insert(container, link)));
    }

    /// The link of a container that runs or is being started.
    pub fn link(&self, container: &ContainerName) -> Option<Link> {
        self.links.borrow().by_container.get(container).cloned()
    }

    /// The link of a container that another step may be making just now; none if it could not be made.
    pub async fn link_when_there(&self, container: &ContainerName) -> Option<Link> {
        let mut links = self.links.subscribe();
        let found = links.wait_for(|links| links.by_container.contains_key(container) || !links.knows(container));
        found.await.ok().and_then(|links| links.by_container.get(container).cloned())
    }

    /// Every link.
    pub fn links(&self) -> Vec<(ContainerName, Link)> {
        self.links.borrow().by_container.iter().map(|(name, link)| (name.clone(), link.clone())).collect()
    }

    /// The container for an image, or what is to be made. A place that was handed out is taken until it is given back.
    pub fn container(&self, image: &str) -> Result<ContainerName, NoContainer> {
        let mut answer = Err(NoContainer::Full);
        self.links.send_if_modified(|links| {
            if let Some(container) = links.by_image.get(image) {
                answer = Ok(container.clone());
                return false;
            }
            if self.added(links) >= COMPUTED_IMAGES {
                return false;
            }
            links.named += 1;
            let name = ContainerName::worker(links.named);
            links.by_image.insert(image.to_owned(), name.clone());
            answer = Err(NoContainer::Make(Box::new(self.worker(image, name))));
            true
        });
        answer
    }

    /// Notes that the job was cancelled, or that its time is up.
    pub fn interrupt(&self, how: Interrupt) {
        self.interrupted.send_replace(Some(how));
    }

    /// Whether the job was cancelled, or its time is up.
    pub fn interruption(&self) -> Option<Interrupt> {
        *self.interrupted.borrow()
    }

    /// Waits until the job is cancelled, or its time is up.
    pub async fn interrupted(&self) {
        // The sender lives as long as this.
        drop(self.interrupted.subscribe().wait_for(Option::is_some).await);
    }

    /// Refuses new steps from now on; the first reason stays.
    pub fn close(&self, why: Closed) {
        lock(&self.closed).get_or_insert(why);
    }

    /// Why new steps are refused, if they are.
    pub fn closed(&self) -> Option<Closed> {
        *lock(&self.closed)
    }

    /// Notes that a step runs.
    pub fn step_runs(&self, id: StepId, link: Link) {
        self.running.send_modify(|running| drop(running.insert(id, link)));
    }

    /// Notes that it ended.
    pub fn step_ended(&self, id: StepId) {
        self.running.send_modify(|running| drop(running.remove(&id)));
    }

    /// The steps that run.
    pub fn running(&self) -> Vec<(StepId, Link)> {
        self.running.borrow().iter().map(|(id, link)| (*id, link.clone())).collect()
    }

    /// Waits until no step runs.
    pub async fn settled(&self) {
        let _ = self.running.subscribe().wait_for(HashMap::is_empty).await;
    }

    /// Notes that the danubefile waits for a step, or no longer does.
    pub fn asked(&self, id: StepId, waits: bool) {
        let asked = &mut lock(&self.steps).asked;
        if waits {
            asked.insert(id)
        } else {
            asked.remove(&id)
        };
    }

    /// Whether the danubefile waits for this step.
    pub fn is_asked(&self, id: StepId) -> bool {
        lock(&self.steps).asked.contains(&id)
    }

    /// Notes that a step must not go on, whether it runs already or is only on its way.
    pub fn want_stop(&self, id: StepId) {
        lock(&self.steps).stopped.insert(id);
    }

    /// Whether a step must not go on.
    pub fn wants_stop(&self, id: StepId) -> bool {
        lock(&self.steps).stopped.contains(&id)
    }

    /// Notes that a step's caller vanished while it ran.
    pub fn forsake(&self, step: StepId) {
        lock(&self.forsaken).insert(step);
    }

    /// Steps that nobody waits for: they run, or ran when their caller vanished.
    pub fn abandoned(&self) -> usize {
        let mut steps = lock(&self.forsaken).clone();
        steps.extend(self.running().into_iter().map(|(step, _)| step));
        steps.len()
    }

    /// Takes over what another engine left.
    pub fn restore(&self, known: KnownSteps, containers: &[ContainerRow]) {
        let rows: Vec<StepRow> = known.values().map(|known| known.row.clone()).collect();
        self.restore_places(containers, &rows);
        let mut steps = lock(&self.steps);
        steps.last = known.values().map(|step| step.row.number).max().unwrap_or(0);
        steps.known = known;
        let names = containers.iter().filter_map(|row| Some((row.name.parse::<ContainerName>().ok()?, &row.image)));
        let workers = names.filter(|(name, _)| name.worker_number().is_some());
        let mut added: Vec<_> = workers.filter(|(name, _)| !self.is_planned(name)).collect();
        // An image is asked for again only when it could not be had before: the last one counts.
        added.sort_by_key(|(name, _)| name.worker_number());
        self.links.send_modify(|links| {
            for (name, image) in added {
                links.named = links.named.max(name.worker_number().unwrap_or(0));
                links.by_image.insert(image.clone(), name);
            }
        });
    }

    fn is_planned(&self, container: &ContainerName) -> bool {
        self.plan.group.containers.iter().any(|spec| spec.name == *container)
    }

    /// How many containers were added at run time.
    fn added(&self, links: &Links) -> usize {
        let services = links.services.iter().map(Place::name);
        links.by_image.values().chain(services).filter(|name| !self.is_planned(name)).count()
    }

    /// What is to be made for an image that was computed at run time.
    fn worker(&self, image: &str, name: ContainerName) -> ContainerSpec {
        let (image, resources) = (self.plan.source(image), self.plan.resources);
        ContainerSpec { name, role: Role::Worker, image, program: None, resources }
    }

    /// Containers that were added at run time, each with the image as the danubefile names it.
    pub fn added_containers(&self) -> Vec<(String, ContainerSpec)> {
        let links = self.links.borrow();
        let added = links.by_image.iter().filter(|(_, name)| !self.is_planned(name));
        added.map(|(image, name)| (image.clone(), self.worker(image, name.clone()))).collect()
    }

    /// Gives a place back whose container could not be made. Its name stays taken.
    pub fn forget_container(&self, image: &str) {
        self.links.send_modify(|links| drop(links.by_image.remove(image)));
    }

    /// A step from before a restart whose call is delivered again.
    pub fn known(&self, id: StepId) -> Option<StepRow> {
        let mut steps = lock(&self.steps);
        let known = steps.known.get_mut(&id.to_string())?;
        known.met = true;
        Some(known.row.clone())
    }

    /// Steps of the danubefile from before a restart, in order of start.
    pub fn known_steps(&self) -> Vec<KnownStep> {
        let mut known: Vec<_> =
            lock(&self.steps).known.values().filter(|known| known.row.number > 0).cloned().collect();
        known.sort_by_key(|known| known.row.number);
        known
    }

    /// Steps from before a restart that have not ended, and whose caller does not wait for them any more.
    pub fn orphans(&self) -> Vec<StepRow> {
        let open =
            |known: &KnownStep| !known.met && known.row.finished_ms.is_none() && known.row.kind() == StepKind::Step;
        self.known_steps().into_iter().filter(open).map(|known| known.row).collect()
    }

    /// The next step's number, from 1.
    pub fn next_number(&self) -> u32 {
        let mut steps = lock(&self.steps);
        steps.last += 1;
        steps.last
    }

    /// Whether a step of the danubefile was started.
    pub fn any_step(&self) -> bool {
        lock(&self.steps).last > 0
    }

    /// Notes that the shim keeps what a step captured until its answer has arrived.
    pub fn keep_unreleased(&self, id: StepId, link: Link, bytes: u64) {
        lock(&self.steps).unreleased.insert(id, (link, bytes));
    }

    /// The answer has arrived: the link and offset to release with.
    pub fn take_unreleased(&self, id: StepId) -> Option<(Link, u64)> {
        lock(&self.steps).unreleased.remove(&id)
    }
}
