//! The services of a job: those that run, and the containers that are made, or may be made, for them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use danube_core::id::{ContainerName, StepId};
use danube_core::runtime::{ContainerSpec, Resources, Role, Runtime};
use danube_core::step::StepKind;
use danube_store::containers::{ContainerRow, ServicePlace};
use danube_store::steps::StepRow;
use tokio::sync::watch;

use super::{NoContainer, Shared, lock};
use crate::job::plan::{COMPUTED_IMAGES, Plan};
use crate::shim::link::Link;

/// A service that was started.
pub struct Service {
    /// The call that started it, and its process among the steps of its container.
    pub id: StepId,
    /// As the danubefile calls it.
    pub name: String,
    /// Among the job's steps.
    pub number: u32,
    /// Its container's.
    pub link: Link,
    state: watch::Sender<State>,
    wish: OnceLock<Wish>,
}

/// Where a service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its container or its process is on its way.
    Starting,
    /// Its process runs.
    Running,
    /// The danubefile may count on it.
    Ready,
    /// It is over.
    Ended(Ending),
}

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it was asked to.
    Stopped,
    /// It was not ready in time: why, and its last lines.
    NotReady(String),
    /// By itself: how, and its last lines.
    Died(String),
}

/// Why a service is asked to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nobody needs it any more.
    Stop,
    /// It was not ready in time; in words.
    NotReady(String),
}

impl Service {
    /// A service whose process is not known to run yet.
    pub fn new(id: StepId, name: String, number: u32, link: Link) -> Self {
        let state = watch::channel(State::Starting).0;
        Self { id, name, number, link, state, wish: OnceLock::new() }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Its process runs, unless more is known already.
    pub fn runs(&self) {
        self.advance(State::Running, |state| *state == State::Starting);
    }

    /// It is ready, unless it is over.
    pub fn is_ready_now(&self) {
        self.advance(State::Ready, |state| !matches!(state, State::Ended(_)));
    }

    fn advance(&self, to: State, may: impl FnOnce(&State) -> bool) {
        self.state.send_if_modified(|state| {
            let may = may(state);
            if may {
                *state = to;
            }
            may
        });
    }

    /// It is over. Whether it had been ready.
    pub fn over(&self, ending: Ending) -> bool {
        self.state.send_replace(State::Ended(ending)) == State::Ready
    }

    /// Waits until its state is one of these.
    pub async fn until(&self, reached: impl FnMut(&State) -> bool) {
        // The sender lives as long as this.
        drop(self.state.subscribe().wait_for(reached).await);
    }

    /// Waits until it is over.
    pub async fn ended(&self) {
        self.until(|state| matches!(state, State::Ended(_))).await;
    }

    /// Notes that it is asked to end; the first reason stays.
    pub fn wish(&self, wish: Wish) {
        let _ = self.wish.set(wish);
    }

    /// Why it was asked to end, if it was.
    pub fn wished(&self) -> Option<&Wish> {
        self.wish.get()
    }
}

/// The services of one job.
#[derive(Default)]
pub(super) struct Services {
    started: HashMap<StepId, Arc<Service>>,
    claims: HashMap<StepId, Claim>,
    /// Somebody follows them, or is about to.
    taken_up: HashSet<StepId>,
}

/// What only one running service can have.
struct Claim {
    name: String,
    port: Option<u16>,
}

/// A container for one service; it is never used again.
pub(super) struct Place {
    spec: ContainerSpec,
    /// As the danubefile names it.
    image: String,
    taken: bool,
}

impl Place {
    /// The places that are made with the job.
    pub(super) fn planned(plan: &Plan) -> Vec<Self> {
        let place = |spec: &ContainerSpec| {
            let image = plan.services.get(&spec.name)?.clone();
            Some(Self { spec: spec.clone(), image, taken: false })
        };
        plan.group.containers.iter().filter_map(place).collect()
    }

    pub(super) fn name(&self) -> &ContainerName {
        &self.spec.name
    }
}

impl<R: Runtime> Shared<R> {
    /// The service that a call started.
    pub fn service(&self, id: StepId) -> Option<Arc<Service>> {
        lock(&self.services_started).started.get(&id).cloned()
    }

    /// Whether the caller, and nobody else, is to follow this service.
    pub fn take_up(&self, id: StepId) -> bool {
        lock(&self.services_started).taken_up.insert(id)
    }

    /// Takes name and port for a service that is about to start.
    pub fn claim_service(&self, id: StepId, name: &str, port: Option<u16>) -> Result<(), String> {
        let mut services = lock(&self.services_started);
        for claim in services.claims.iter().filter(|(other, _)| **other != id).map(|(_, claim)| claim) {
            if claim.name == name {
                return Err(format!("a service called `{name}` runs already: give this one a name= of its own"));
            }
            if claim.port.is_some() && claim.port == port {
                let (port, other) = (claim.port.unwrap_or_default(), &claim.name);
                return Err(format!(
                    "the service `{other}` has port {port} already, and all services of a job share 127.0.0.1: let \
                     `{name}` listen on another one"
                ));
            }
        }
        services.claims.insert(id, Claim { name: name.to_owned(), port });
        Ok(())
    }

    /// Gives back what was taken.
    pub fn release_service(&self, id: StepId) {
        let mut services = lock(&self.services_started);
        services.claims.remove(&id);
        if !services.started.contains_key(&id) {
            services.taken_up.remove(&id);
        }
    }

    /// Notes a service that was started.
    pub fn add_service(&self, service: Service) -> Arc<Service> {
        let service = Arc::new(service);
        lock(&self.services_started).started.insert(service.id, service.clone());
        service
    }

    /// The services that are not over.
    pub fn live_services(&self) -> Vec<Arc<Service>> {
        let services = lock(&self.services_started);
        services.started.values().filter(|service| !matches!(service.state(), State::Ended(_))).cloned().collect()
    }

    /// Services from before a restart, in order of start.
    pub fn known_services(&self) -> Vec<StepRow> {
        let known = self.known_steps().into_iter().map(|known| known.row);
        known.filter(|row| row.kind() == StepKind::Service).collect()
    }

    /// When the danubefile ended, by its row from before a restart.
    pub fn runner_ended_ms(&self) -> Option<i64> {
        lock(&self.steps).known.values().find(|known| known.row.number == 0)?.row.finished_ms
    }

    /// A container for a service with this image, or what is to be made. It is taken until it is given back.
    pub fn service_container(&self, image: &str, memory: Option<u64>) -> Result<ContainerName, NoContainer> {
        let resources = Resources { memory_bytes: memory.or(self.plan.resources.memory_bytes), ..self.plan.resources };
        let mut answer = Err(NoContainer::Full);
        self.links.send_if_modified(|links| {
            let fits = |place: &&mut Place| !place.taken && place.image == image && place.spec.resources == resources;
            if let Some(place) = links.services.iter_mut().find(fits) {
                place.taken = true;
                answer = Ok(place.spec.name.clone());
                return false;
            }
            if self.added(links) >= COMPUTED_IMAGES {
                return false;
            }
            let last = links.services.iter().filter_map(|place| place.spec.name.service_number()).max().unwrap_or(0);
            let name = ContainerName::service(last.max(links.named_services) + 1);
            links.named_services = name.service_number().unwrap_or(0);
            let spec = self.service_spec(name, image, resources);
            links.services.push(Place { spec: spec.clone(), image: image.to_owned(), taken: true });
            answer = Err(NoContainer::Make(Box::new(spec)));
            true
        });
        answer
    }

    fn service_spec(&self, name: ContainerName, image: &str, resources: Resources) -> ContainerSpec {
        ContainerSpec { name, role: Role::Service, image: self.plan.source(image), program: None, resources }
    }

    /// Gives a service's container back that nothing ran in.
    pub fn give_back(&self, container: &ContainerName) {
        self.links.send_if_modified(|links| {
            for place in links.services.iter_mut().filter(|place| place.spec.name == *container) {
                place.taken = false;
            }
            false
        });
    }

    /// Forgets a service's container that could not be made. Its name stays taken.
    pub fn forget_service_container(&self, container: &ContainerName) {
        self.links.send_modify(|links| links.services.retain(|place| place.spec.name != *container));
    }

    /// What is written down of a container that is made for a service at run time.
    pub fn written_place(&self, image: &str, spec: &ContainerSpec) -> String {
        ServicePlace { image: image.to_owned(), memory_bytes: spec.resources.memory_bytes }.written()
    }

    /// Containers that were added for services at run time.
    pub fn added_service_containers(&self) -> Vec<ContainerSpec> {
        let links = self.links.borrow();
        let specs = links.services.iter().map(|place| &place.spec);
        specs.filter(|spec| !self.is_planned(&spec.name)).cloned().collect()
    }

    /// Takes over the places that another engine made and gave away.
    pub(super) fn restore_places(&self, rows: &[ContainerRow], steps: &[StepRow]) {
        let made = rows.iter().filter_map(|row| {
            let name = row.name.parse::<ContainerName>().ok().filter(|name| name.service_number().is_some())?;
            let place = row.service_place()?;
            let resources = Resources { memory_bytes: place.memory_bytes, ..self.plan.resources };
            Some(Place { spec: self.service_spec(name, &place.image, resources), image: place.image, taken: false })
        });
        let made: Vec<Place> = made.filter(|place| !self.is_planned(&place.spec.name)).collect();
        self.links.send_modify(|links| {
            links.services.extend(made);
            for place in &mut links.services {
                place.taken |= steps.iter().any(|row| row.container == place.spec.name.as_str());
            }
        });
    }
}
