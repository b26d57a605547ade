//! What a container is to look like, decided before anything is done: pure data that the monitor makes and the
//! keeper carries out. `host` and `image` make the root, `outfit` adds what every container has.

use std::path::{Path, PathBuf};

use danube_core::id::ContainerName;
use serde::{Deserialize, Serialize};

pub mod etc;
pub mod host;
pub mod outfit;
pub mod python;
pub mod tools;

/// One container, ready to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// Its name, and the host name it sees.
    pub name: ContainerName,
    /// What its root directory is.
    pub root: Root,
    /// Directories, files and links made in the root, in order, before the binds.
    pub nodes: Vec<Node>,
    /// What is mounted from outside, in order.
    pub binds: Vec<Bind>,
    /// `NAME=value` for the shim.
    pub env: Vec<String>,
    /// Who steps are, unless told otherwise.
    pub user: (u32, u32),
    /// Processes and threads.
    pub pids: u32,
    /// It is made before it is known for which job: the last descriptor is where its shim is told.
    pub late: bool,
}

/// A container's root directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// An empty one in memory: `host` fills it by binds.
    Scratch,
    /// An unpacked image beneath a private writable layer.
    Overlay {
        /// The image, never written.
        lower: PathBuf,
        /// What the container wrote.
        upper: PathBuf,
        /// The kernel's own space beside it.
        work: PathBuf,
    },
}

/// Something made in the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// A directory; one that exists is left as it is.
    Dir(PathBuf),
    /// A file with this text; one that exists is replaced.
    File(PathBuf, String),
    /// A symbolic link: where, and to what.
    Link(PathBuf, PathBuf),
}

/// A mount from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The path outside.
    pub source: PathBuf,
    /// The path inside.
    pub target: PathBuf,
    /// What may be done through it.
    pub access: Access,
}

/// What may be done through a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Reading and executing.
    ReadOnly,
    /// Everything but devices.
    ReadWrite,
    /// Nothing: the target is covered by an empty file.
    Masked,
}

impl Bind {
    /// The same path inside and out, read-only.
    #[must_use]
    pub fn read_only(path: &Path) -> Self {
        Self { source: path.into(), target: path.into(), access: Access::ReadOnly }
    }

    /// Another path inside, writable.
    #[must_use]
    pub fn read_write(source: &Path, target: &str) -> Self {
        Self { source: source.into(), target: target.into(), access: Access::ReadWrite }
    }

    /// A file whose content is hidden.
    #[must_use]
    pub fn masked(path: &Path) -> Self {
        Self { source: "/dev/null".into(), target: path.into(), access: Access::Masked }
    }
}
