//! A checkout on this machine becomes a plan: what was typed and what its danubefile says are read and checked, then put
//! together with the copy of its files.

pub mod python;
pub mod secrets;
mod terms;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use danube_config::danubefile::{self, Danubefile};
use danube_core::egress::EgressPolicy;
use danube_core::id::{AttemptId, ContainerName, JobId, StepId};
use danube_core::retry::Retries;
use danube_core::runtime::{ContainerSpec, GroupSpec, ImageSource, Resources, Role, Workspace};
use danube_engine::job::Plan;
use danube_engine::job::isolation::Demand;
use danube_engine::job::plan::Runner;
use danube_engine::snapshot::{self, Snapshot};
use danube_proto::mailbox::Context;
use danube_sandbox::{JobPaths, Python, SandboxConfig};

use crate::error::CliError;
use crate::place::Place;
pub use terms::Terms;

/// A job may take so long unless its danubefile says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// So long does a shim wait for an engine that was killed (docs/protocol.md, rule 6).
const ORPHAN_GRACE: Duration = Duration::from_secs(10 * 60);
/// What a step runs in when neither it nor the pipeline names an image.
pub const DEFAULT_IMAGE: &str = "host";

/// Everything that was read before anything is made.
pub struct Request {
    /// The folder with the danubefile.
    pub dir: PathBuf,
    /// The danubefile, relative to it.
    pub entry_point: String,
    /// What it says about itself.
    pub danubefile: Danubefile,
    /// Parameters by name.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, String>,
    /// What may be reached.
    pub egress: EgressPolicy,
    /// Where images come from, by the name the danubefile uses.
    pub images: BTreeMap<String, ImageSource>,
}

/// Where a job's files are, before its containers have them.
pub struct Places {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Becomes `/workspace`.
    pub workspace: PathBuf,
    /// Becomes `/danube/src`.
    pub source: PathBuf,
}

/// Why a job runs, and for whom.
pub struct Cause<'a> {
    /// `manual`, …
    pub trigger: &'a str,
    /// Who, where one knows.
    pub actor: &'a str,
}

/// Which danubefile.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    /// The folder that holds it.
    pub dir: &'a Path,
    /// Its name, relative to the folder.
    pub file: &'a Path,
    /// The branch, tag or commit that it is read from; without one it is read as it stands.
    pub commit: Option<&'a str>,
}

/// Reads and checks all that the user wrote.
pub fn read(which: Which<'_>, params: &[(String, String)], terms: &Terms) -> Result<Request, CliError> {
    let Which { file, commit, .. } = which;
    let dir = folder(which.dir)?;
    let danubefile = read_danubefile(&dir, file, commit)?;
    Ok(Request {
        params: resolve(&danubefile, params)?,
        secrets: terms.secrets()?,
        egress: terms.egress(&danubefile)?,
        images: terms.images(&dir, &danubefile)?,
        dir,
        entry_point: file.to_string_lossy().into_owned(),
        danubefile,
    })
}

/// Reads what the danubefile says about itself.
pub fn describe(which: Which<'_>) -> Result<Danubefile, CliError> {
    read_danubefile(&folder(which.dir)?, which.file, which.commit)
}

fn folder(dir: &Path) -> Result<PathBuf, CliError> {
    let missing = |error| {
        CliError::config(format!("{}: {error}", dir.display())).hint("name the folder that holds the danubefile")
    };
    let dir = dir.canonicalize().map_err(missing)?;
    if dir.is_dir() { Ok(dir) } else { Err(missing(std::io::ErrorKind::NotADirectory.into())) }
}

fn read_danubefile(dir: &Path, file: &Path, commit: Option<&str>) -> Result<Danubefile, CliError> {
    let inside = file.is_relative() && file.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside {
        return Err(CliError::config(format!("--file {}: name a file within DIR", file.display())));
    }
    let failed = |error: &dyn std::fmt::Display| {
        let error = CliError::config(format!("{}: {error}", dir.join(file).display()));
        error.hint("a danubefile is a Python file with one function under @pipeline: see examples/python/danubefile.py")
    };
    let source = match commit {
        Some(commit) => snapshot::read(dir, commit, file).map_err(|error| failed(&error))?,
        None => std::fs::read(dir.join(file)).map_err(|error| failed(&error))?,
    };
    danubefile::read(&file.to_string_lossy(), &source).map_err(CliError::config)
}

fn resolve(
    danubefile: &Danubefile,
    given: &[(String, String)],
) -> Result<serde_json::Map<String, serde_json::Value>, CliError> {
    let values = danubefile::resolve_params(&danubefile.params, given).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        CliError::config(lines.join("\nerror: ")).hint("--param NAME=VALUE")
    })?;
    let values = values.into_iter().map(|(name, value)| Ok((name, serde_json::to_value(value)?)));
    values.collect::<Result<_, serde_json::Error>>().map_err(CliError::infra)
}

impl Request {
    /// The job's plan, once its workspace is there.
    pub fn plan(
        &self,
        places: &Places,
        cause: &Cause<'_>,
        python: &Path,
        snapshot: &Snapshot,
        paths: &JobPaths,
    ) -> Result<Plan, CliError> {
        let (workers, images) = self.workers();
        let mut containers = vec![ContainerSpec {
            name: ContainerName::coordinator(),
            role: Role::Coordinator,
            image: ImageSource::Host,
            program: None,
            resources: Resources::default(),
        }];
        containers.extend(workers);
        let (service_containers, services) = self.services();
        containers.extend(service_containers);
        let argv = runner(python, paths);
        Ok(Plan {
            group: self.group(places, snapshot, containers)?,
            context: self.context(places, cause, snapshot, text(&paths.workspace)),
            runner: Runner { step_id: StepId::from_bytes(random()?), argv, context: text(&paths.context) },
            timeout: self.timeout(),
            cleanup_timeout: self.danubefile.cleanup_timeout,
            default_image: self.danubefile.image.clone().unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
            images,
            services,
            sources: self.images.clone(),
            base: self.dir.clone(),
            secrets: self.secrets.keys().cloned().collect(),
            resources: self.danubefile.resources,
            delivery: None,
            isolation: Demand::Nothing,
            // Whoever starts `danube run` sees a failure and decides; a master sets its own rule.
            retries: Retries::Never,
        })
    }

    fn timeout(&self) -> Duration {
        self.danubefile.timeout.unwrap_or(TIMEOUT)
    }

    fn group(
        &self,
        places: &Places,
        snapshot: &Snapshot,
        containers: Vec<ContainerSpec>,
    ) -> Result<GroupSpec, CliError> {
        Ok(GroupSpec {
            attempt: places.attempt.clone(),
            nonce: hex::encode(random::<16>()?),
            pipeline: self.danubefile.name.clone(),
            containers,
            workspace: Workspace::Prepared { dir: places.workspace.clone(), objects: snapshot.objects.clone() },
            source: Some(places.source.clone()),
            egress: self.egress.clone(),
            orphan_grace: ORPHAN_GRACE,
            time: self.timeout() + self.danubefile.cleanup_timeout,
            warm: 0,
        })
    }

    /// One container per source: two names for the same image share it.
    fn workers(&self) -> (Vec<ContainerSpec>, BTreeMap<String, ContainerName>) {
        let mut workers: Vec<ContainerSpec> = Vec::new();
        let mut names = BTreeMap::new();
        for known in self.danubefile.known_images() {
            let image = if known.image.is_empty() { DEFAULT_IMAGE.to_owned() } else { known.image };
            let Some(source) = self.images.get(&image) else { continue };
            let at = workers.iter().position(|worker| worker.image == *source).unwrap_or_else(|| {
                let name = ContainerName::worker(workers.len() + 1);
                let (role, image) = (Role::Worker, source.clone());
                workers.push(ContainerSpec { name, role, image, program: None, resources: known.resources });
                workers.len() - 1
            });
            names.insert(image, workers[at].name.clone());
        }
        (workers, names)
    }

    /// One container per service: none is ever shared.
    fn services(&self) -> (Vec<ContainerSpec>, BTreeMap<ContainerName, String>) {
        let known = self.danubefile.known_services().into_iter().zip(1..);
        let specs = known.filter_map(|(service, n)| {
            let (name, source) = (ContainerName::service(n), self.images.get(&service.image)?.clone());
            let spec =
                ContainerSpec { name, role: Role::Service, image: source, program: None, resources: service.resources };
            Some((spec, service.image))
        });
        specs.map(|(spec, image)| (spec.clone(), (spec.name, image))).unzip()
    }

    fn context(&self, places: &Places, cause: &Cause<'_>, snapshot: &Snapshot, workspace: String) -> Context {
        Context {
            job_id: places.attempt.job.to_string(),
            pipeline: self.danubefile.name.clone(),
            branch: snapshot.branch.clone(),
            commit_sha: snapshot.commit.clone(),
            dirty: snapshot.dirty,
            trigger_type: cause.trigger.to_owned(),
            actor: cause.actor.to_owned(),
            params: self.params.clone(),
            attempt: places.attempt.number,
            workspace,
            entry_point: self.entry_point.clone(),
            function: self.danubefile.function.clone(),
            cleanup_timeout_s: u32::try_from(self.danubefile.cleanup_timeout.as_secs()).unwrap_or(u32::MAX),
            ..Context::default()
        }
    }
}

/// What a coordinator runs.
pub fn runner(python: &Path, paths: &JobPaths) -> Vec<String> {
    let (python, runner) = (text(python), text(&paths.sdk.join(crate::assets::RUNNER_NAME)));
    [&python, "-I", "-S", "-B", &runner].map(str::to_owned).to_vec()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The embedded runtime's set-up, with its groups below `dir`.
pub fn sandbox(terms: &Terms, place: &Place, dir: PathBuf, python: Python) -> Result<SandboxConfig, CliError> {
    let assets = crate::assets::unpack(&place.assets())?;
    crate::assets::precompile(&assets.sdk, &python);
    let this = std::env::current_exe().map_err(CliError::infra)?;
    let mut config = SandboxConfig::new(dir, assets.shim, vec![this, crate::MONITOR.into()]);
    config.image_dir = place.images();
    config.sdk = Some(assets.sdk);
    config.python = Some(python);
    terms.settle(&mut config);
    Ok(config)
}

/// Bytes nobody can guess.
pub fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::infra(format!("this machine gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// A new job's id: it sorts by time.
pub fn new_job() -> Result<JobId, CliError> {
    uuid::Uuid::now_v7().to_string().parse().map_err(CliError::infra)
}
