//! How the embedded runtime is set up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::DEFAULT_BASE;
use crate::plan::python::Python;
use crate::plan::tools::HomeTools;

/// How the embedded runtime is set up. Holds no secret: a copy lies in every group's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// Groups live in `groups/` below it.
    pub data_dir: PathBuf,
    /// Unpacked images.
    pub image_dir: PathBuf,
    /// The shim's program.
    pub shim: PathBuf,
    /// Program and arguments that become a monitor when the group's folder is appended; the program calls
    /// [`crate::monitor::main`] before it starts any thread.
    pub monitor: Vec<PathBuf>,
    /// The SDK, shown to coordinators at `/danube/sdk`.
    pub sdk: Option<PathBuf>,
    /// The Python that `host` coordinators run; its directories are shown to them.
    pub python: Option<Python>,
    /// Toolchains of the caller's home that `host` containers see.
    pub tools: HomeTools,
    /// How much isolation.
    pub isolation: Isolation,
    /// Which images workers may have.
    #[serde(default)]
    pub images: Images,
    /// Where the workspace of a group goes when the group is deleted; without a place it is removed. It must lie on the
    /// data directory's file system.
    #[serde(default)]
    pub keep: Option<PathBuf>,
    /// First id of the range that jobs get when the caller is root.
    pub id_base: u32,
}

/// How much isolation a job gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// As much as the machine allows, and never less than user namespaces.
    #[default]
    Namespaces,
    /// None: plain processes of the caller (`--isolation none`).
    None,
}

/// Which images workers may have. Coordinators run on this machine's Python in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Images {
    /// Any: who writes the danubefile may read this machine's files anyway.
    #[default]
    Any,
    /// Only those of registries: who writes the danubefile is a stranger here.
    Registries,
}

impl SandboxConfig {
    /// The usual set-up: this program re-executed as the monitor, no toolchains, no Python.
    #[must_use]
    pub fn new(data_dir: PathBuf, shim: PathBuf, monitor: Vec<PathBuf>) -> Self {
        Self {
            image_dir: data_dir.join("images"),
            data_dir,
            shim,
            monitor,
            sdk: None,
            python: None,
            tools: HomeTools::none(),
            isolation: Isolation::default(),
            images: Images::default(),
            keep: None,
            id_base: DEFAULT_BASE,
        }
    }
}
