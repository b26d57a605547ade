//! The one trait: a runtime makes a group of containers for an attempt, opens byte streams into them, and says
//! what became of them. Everything else is the durable protocol (docs/protocol.md).

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_core::Stream;
use serde::{Deserialize, Serialize};

use crate::egress::EgressPolicy;
use crate::id::{AttemptId, ContainerName};

/// Where an image comes from, as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// This machine's own programs, by allow-list (`host`).
    Host,
    /// An OCI image layout in a folder (`oci:DIR`, `oci:DIR:TAG`).
    OciLayout {
        /// The folder with `index.json`.
        dir: PathBuf,
        /// Picks one of several manifests by its `org.opencontainers.image.ref.name`.
        tag: Option<String>,
    },
    /// A tar of a root file system, or of an OCI layout, or as `docker save` writes it (`tar:FILE`).
    Tar(PathBuf),
    /// A reference in a registry (`name@sha256:…`, `name:tag`).
    Reference(String),
}

impl ImageSource {
    /// Reads what a user writes in `image=` or `--image name=…`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == "host" {
            return Self::Host;
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (dir, tag) = match rest.rsplit_once(':') {
                Some((dir, tag)) if !tag.contains('/') => (dir, Some(tag.to_owned())),
                _ => (rest, None),
            };
            return Self::OciLayout { dir: dir.into(), tag };
        }
        match text.strip_prefix("tar:") {
            Some(file) => Self::Tar(file.into()),
            None => Self::Reference(text.to_owned()),
        }
    }

    /// Why a server refuses it, if it does: what is on the server's own disk is nobody's image, and whoever names it in a
    /// danubefile would read it.
    #[must_use]
    pub fn refused_by_servers(&self) -> Option<String> {
        let what = match self {
            Self::Reference(_) => return None,
            Self::Host => "that would be the server itself, and steps never run there",
            Self::OciLayout { .. } | Self::Tar(_) => "that would be a file of the server, and jobs get none",
        };
        Some(format!("`{self}`: {what}; name an image of a registry, as in image=\"python:3.13\""))
    }

    /// The same image, with a relative path starting at this folder.
    #[must_use]
    pub fn based_on(self, base: &Path) -> Self {
        match self {
            Self::OciLayout { dir, tag } => Self::OciLayout { dir: base.join(dir), tag },
            Self::Tar(file) => Self::Tar(base.join(file)),
            other => other,
        }
    }
}

impl fmt::Display for ImageSource {
    /// As a user writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::OciLayout { dir, tag: None } => write!(f, "oci:{}", dir.display()),
            Self::OciLayout { dir, tag: Some(tag) } => write!(f, "oci:{}:{tag}", dir.display()),
            Self::Tar(file) => write!(f, "tar:{}", file.display()),
            Self::Reference(name) => f.write_str(name),
        }
    }
}

/// Limits of one container. `None` means the runtime's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a CPU.
    pub cpu_millis: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of writable disk.
    pub disk_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// What a container is for: it decides its mounts, its sockets, and what its shim admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the danubefile with the SDK; has a mailbox; executes nothing from `/workspace`.
    Coordinator,
    /// Runs steps in the user's image.
    Worker,
    /// Runs one service: the image's own program, beside the steps.
    Service,
}

impl Role {
    /// Every role with its text, as the shim is told and the database keeps it.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Coordinator, "coordinator"), (Self::Worker, "worker"), (Self::Service, "service")];

    /// Its text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, text)| text)
    }

    /// The role of this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(role, _)| *role)
    }
}

/// What an image runs when nobody says otherwise. The runtime reads it from the image's configuration; a service's shim
/// is given it as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageProgram {
    /// The program, with what always comes before its arguments.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    pub cmd: Vec<String>,
    /// Where it starts.
    pub working_dir: String,
}

/// One container to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique within the group.
    pub name: ContainerName,
    /// What it is for.
    pub role: Role,
    /// The file system it runs in.
    pub image: ImageSource,
    /// What the image runs by itself, where that was read already; a runtime that unpacks images reads it there.
    #[serde(default)]
    pub program: Option<ImageProgram>,
    /// Its limits.
    pub resources: Resources,
}

/// What stands in `/workspace` when the group starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workspace {
    /// Empty: the engine unpacks the commit's tree through the shim.
    Empty,
    /// A folder that the engine prepared for this attempt alone, handed over whole (embedded runtime only).
    /// Its owner becomes the image's user.
    Prepared {
        /// The folder that becomes `/workspace`.
        dir: PathBuf,
        /// A Git object store that `.git/objects/info/alternates` names as `/danube/objects`, mounted read-only.
        objects: Option<PathBuf>,
    },
}

/// Everything a runtime needs to make the containers of one attempt. Holds no secret: it may be written to disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Names the group; creating the same attempt twice is one group.
    pub attempt: AttemptId,
    /// 32 random hexadecimal digits that each shim must give back in `Info` (rule 8).
    pub nonce: String,
    /// The pipeline, for labels.
    pub pipeline: String,
    /// The containers known before the start.
    pub containers: Vec<ContainerSpec>,
    /// What stands in `/workspace`.
    pub workspace: Workspace,
    /// The coordinator's read-only `/danube/src`, prepared by the engine (embedded runtime only).
    pub source: Option<PathBuf>,
    /// Which names the steps may reach.
    pub egress: EgressPolicy,
    /// How long a shim waits for a master before it stops its steps and exits (rule 6).
    pub orphan_grace: Duration,
    /// What the attempt may take, cleanup included. Danube ends it then; a runtime may have a second line behind that.
    #[serde(default)]
    pub time: Duration,
    /// How many groups like this one are kept ready for the pipeline's next attempts, by a runtime that does so by pipeline.
    #[serde(default)]
    pub warm: u32,
}

/// What the runtime itself saw of a container. The verdict needs this and the shim's exit record to agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ContainerState {
    /// Being made; `message` says at what (unpacking an image, waiting for a node).
    Waiting {
        /// In words, for the user.
        message: String,
    },
    /// PID 1 runs.
    Running,
    /// PID 1 ended.
    Terminated {
        /// Its exit code; 128 + signal when a signal ended it.
        exit_code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
        /// The kernel killed something in it for want of memory.
        oom: Option<OomRecord>,
    },
}

/// An out-of-memory kill, as the runtime saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomRecord {
    /// The container's limit in bytes.
    pub limit_bytes: u64,
    /// The most it used, in bytes, where the kernel tells.
    pub peak_bytes: Option<u64>,
}

/// What a watcher of a group is told. `State` is level-triggered: the same may be told again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum GroupEvent {
    /// A container is in this state now.
    State {
        /// Which container.
        container: ContainerName,
        /// Its state.
        state: ContainerState,
    },
    /// A name was asked for or a connection was made or refused.
    Egress(crate::egress::EgressEvent),
    /// The group cannot be made or has failed as a whole, in words for the user.
    Failed {
        /// Why, as data.
        kind: GroupFailure,
        /// What happened and what to do.
        message: String,
    },
    /// Nothing of the group is left: no process, mount, cgroup or directory.
    Gone,
}

/// Why a group failed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupFailure {
    /// An image is missing, damaged or refused.
    Image,
    /// The machine cannot or may not do what is needed.
    Infra,
    /// The monitor (or the pod) vanished without a record.
    Lost,
    /// The group's configuration is refused (for example `host` under `serve`).
    Config,
}

/// A group that a runtime found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGroup {
    /// Whose it is.
    pub attempt: AttemptId,
    /// Whether anything of it still runs.
    pub running: bool,
}

/// What can go wrong at the runtime's border.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such group or container, or it is not (or no longer) running.
    #[error("{0} is not running")]
    NotRunning(String),
    /// The request cannot be met; the message says what to do.
    #[error("{message}")]
    Refused {
        /// Why, as data.
        kind: GroupFailure,
        /// What happened and what to do.
        message: String,
    },
    /// Trying again may help.
    #[error("{0}")]
    Transient(String),
}

/// Makes groups of containers and opens byte streams to their shims. Implemented by the embedded runtime and
/// by Kubernetes; nothing above it knows which.
pub trait Runtime: Send + Sync + 'static {
    /// A duplex byte stream to a shim; it may die at any byte. The engine asks for `AsyncRead + AsyncWrite`.
    type Stream: Send + Unpin + 'static;
    /// The events of one group. It ends after [`GroupEvent::Gone`].
    type Events: Stream<Item = GroupEvent> + Send + Unpin + 'static;

    /// Makes the group. Idempotent by attempt: a second call finds the first one's group.
    fn create(&self, spec: &GroupSpec) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Adds a container to a running group, for an image that was not known before the start. Returns when it runs.
    /// Idempotent by name: asked again, also by another engine, it is the same container. One whose image cannot be
    /// had is refused with [`GroupFailure::Image`], and the group goes on without it.
    fn add(
        &self,
        attempt: &AttemptId,
        container: &ContainerSpec,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Opens a stream to a container's shim.
    fn open(
        &self,
        attempt: &AttemptId,
        container: &ContainerName,
    ) -> impl Future<Output = Result<Self::Stream, RuntimeError>> + Send;

    /// Follows a group from its present state on. Egress events are told again from the first one, in order.
    fn watch(&self, attempt: &AttemptId) -> Self::Events;

    /// Stops what runs and removes every trace. Returns when nothing is left; idempotent.
    fn delete(&self, attempt: &AttemptId) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Where a group runs, for people, where there is more than one place.
    fn whereabouts(&self, _attempt: &AttemptId) -> impl Future<Output = String> + Send {
        std::future::ready(String::new())
    }

    /// Every group that this runtime still holds anything of.
    fn list(&self) -> impl Future<Output = Result<Vec<FoundGroup>, RuntimeError>> + Send;
}

/// Environment given to the shim by the runtime. Named here because both runtimes must agree with the shim.
pub mod shim_env {
    /// `coordinator`, `worker` or `service`.
    pub const ROLE: &str = "DANUBE_SHIM_ROLE";
    /// The group's nonce.
    pub const NONCE: &str = "DANUBE_SHIM_NONCE";
    /// Number of an inherited listening Unix socket.
    pub const LISTEN_FD: &str = "DANUBE_SHIM_LISTEN_FD";
    /// Where the shim makes its listening socket when none is inherited.
    pub const LISTEN: &str = "DANUBE_SHIM_LISTEN";
    /// Number of an inherited directory descriptor in which the spool's unnamed files are made.
    pub const SPOOL_FD: &str = "DANUBE_SHIM_SPOOL_FD";
    /// Number of an inherited read-only descriptor of the container's OOM counter (`memory.events` or `memory.oom_control`).
    pub const OOM_FD: &str = "DANUBE_SHIM_OOM_FD";
    /// Seconds without a master after which the shim stops its steps and exits.
    pub const ORPHAN_GRACE: &str = "DANUBE_SHIM_ORPHAN_GRACE_S";
    /// Path of the coordinator's mailbox socket, which the shim makes. The SDK's runner inherits it.
    pub const MAILBOX: &str = "DANUBE_SOCKET";
    /// Folder for the SDK's large scripts. The runner inherits it.
    pub const OUTBOX: &str = "DANUBE_OUTBOX";
    /// A service's [`super::ImageProgram`], as JSON.
    pub const PROGRAM: &str = "DANUBE_SHIM_PROGRAM";
    /// `uid:gid` that steps run as unless told otherwise.
    pub const USER: &str = "DANUBE_SHIM_USER";
    /// How variables begin, separated by commas, that the runtime cannot help adding and steps do not inherit.
    pub const WITHOUT: &str = "DANUBE_SHIM_WITHOUT";
    /// Number of an inherited stream. A shim that has one was started ahead, for nobody: it serves nobody until it has
    /// read one line there, a [`super::Assigned`] as JSON, and ends when there is none.
    pub const LATE_FD: &str = "DANUBE_SHIM_LATE_FD";
    /// Seconds. A shim that has it was started ahead, for nobody, and waits so long at its own socket: each stream of a
    /// master begins there with such a line, and all with the same; before anything else it hears empty lines
    /// ([`super::HEARTBEAT`]). It ends when none comes.
    pub const LATE: &str = "DANUBE_SHIM_LATE_S";
    /// Program and arguments, as JSON, that a shim started ahead starts ahead itself: the SDK's runner.
    pub const READY: &str = "DANUBE_SHIM_READY";
}

/// How often a shim that was started ahead says, on each stream that has told it nothing yet, that it is there: by an empty line.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// What a shim that was started ahead is told when it is known for which job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// The group's nonce.
    pub nonce: String,
    /// How long it waits for a master.
    pub orphan_grace_s: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_read_as_the_user_wrote_it() {
        assert_eq!(ImageSource::parse("host"), ImageSource::Host);
        assert_eq!(ImageSource::parse("tar:/a/b.tar"), ImageSource::Tar("/a/b.tar".into()));
        let layout =
            |dir: &str, tag: Option<&str>| ImageSource::OciLayout { dir: dir.into(), tag: tag.map(str::to_owned) };
        assert_eq!(ImageSource::parse("oci:/a/b"), layout("/a/b", None));
        assert_eq!(ImageSource::parse("oci:/a/b:1.2"), layout("/a/b", Some("1.2")));
        assert_eq!(ImageSource::parse("oci:/a:b/c"), layout("/a:b/c", None));
        assert_eq!(ImageSource::parse("rust:1.95"), ImageSource::Reference("rust:1.95".into()));
        for text in ["host", "tar:/a/b.tar", "oci:/a/b", "oci:/a/b:1.2", "rust:1.95"] {
            assert_eq!(ImageSource::parse(text).to_string(), text);
        }
    }

    #[test]
    fn every_role_survives_its_text() {
        for (role, text) in Role::ALL {
            assert_eq!((role.as_str(), Role::parse(text)), (text, Some(role)));
        }
        assert_eq!(Role::parse("boss"), None);
    }

    #[test]
    fn a_server_takes_only_what_a_registry_has() {
        for text in ["host", "tar:/etc/shadow", "oci:/var/lib/danube", "oci:image:1"] {
            let words = ImageSource::parse(text).refused_by_servers().expect("refused");
            assert!(words.starts_with(&format!("`{text}`: ")) && words.contains("registry"), "{words}");
        }
        assert_eq!(ImageSource::parse("rust:1.95").refused_by_servers(), None);
    }

    #[test]
    fn a_relative_path_starts_where_it_is_told() {
        let based = |text: &str| ImageSource::parse(text).based_on(Path::new("/p")).to_string();
        assert_eq!(
            ["tar:a.tar", "tar:/a.tar", "oci:d:1", "rust:1"].map(based),
            ["tar:/p/a.tar", "tar:/a.tar", "oci:/p/d:1", "rust:1"]
        );
    }
}
