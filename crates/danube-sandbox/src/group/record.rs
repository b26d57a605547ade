//! The files of a group's folder that hold one JSON value each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use danube_core::id::ContainerName;
use danube_core::runtime::{ContainerSpec, ContainerState, GroupSpec, Workspace};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::config::SandboxConfig;
use crate::error::{Doing, SandboxError};
use crate::ids::Ids;

/// What a monitor is started for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The group, as the engine asked for it.
    pub spec: GroupSpec,
    /// How the runtime is set up.
    pub config: SandboxConfig,
}

/// What a monitor is started ahead for, when nobody knows yet for which group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spare {
    /// The containers that are made ahead.
    pub containers: Vec<ContainerSpec>,
    /// What the coordinator's shim starts ahead.
    pub ready: Vec<String>,
    /// How the runtime is set up.
    pub config: SandboxConfig,
}

impl Assignment {
    /// The object store shown at `/danube/objects`.
    #[must_use]
    pub fn objects(&self) -> Option<PathBuf> {
        match &self.spec.workspace {
            Workspace::Prepared { objects, .. } => objects.clone(),
            Workspace::Empty => None,
        }
    }
}

/// How a group's containers ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The last state of each container.
    pub containers: BTreeMap<ContainerName, ContainerState>,
}

/// What the group left on the machine beside its processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// The ids that own the tenants' files.
    pub ids: Ids,
    /// Its cgroups.
    pub cgroups: Vec<PathBuf>,
}

impl Traces {
    /// Reads a group's; `None` when there are none, or none that can be read. A power cut can leave half a file, and a
    /// machine that was off has no control groups left.
    pub fn read(path: &Path) -> Result<Option<Self>, SandboxError> {
        match read(path) {
            Err(SandboxError::System { source, .. })
                if [ErrorKind::InvalidData, ErrorKind::UnexpectedEof].contains(&source.kind()) =>
            {
                Ok(None)
            }
            read => read,
        }
    }
}

/// Reads a record; `None` when there is no such file.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, SandboxError> {
    let said = || format!("read {}", path.display());
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).doing(said),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(said),
    }
}

/// Writes a record so that a reader, also after a crash, finds all of it or none.
pub fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), SandboxError> {
    let said = || format!("write {}", path.display());
    let new = path.with_extension("new");
    let text = serde_json::to_vec(record).doing(said)?;
    let mut file = File::create(&new).doing(said)?;
    file.write_all(&text).and_then(|()| file.sync_all()).doing(said)?;
    fs::rename(&new, path).doing(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_that_a_power_cut_tore_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("traces.json");
        let whole = br#"{"ids":"x","cgroups":["/sys/fs/cgroup/danube"]}"#;
        for kept in [0, 1, whole.len() / 2] {
            fs::write(&path, &whole[..kept]).unwrap();
            assert!(matches!(Traces::read(&path), Ok(None)), "{kept} bytes were kept");
        }
        fs::write(&path, vec![0; whole.len()]).unwrap();
        assert!(matches!(Traces::read(&path), Ok(None)), "zeros");
        fs::remove_file(&path).unwrap();
        assert!(matches!(Traces::read(&path), Ok(None)), "no file");
        fs::create_dir(&path).unwrap();
        assert!(Traces::read(&path).is_err(), "what cannot be read for another reason is said");
    }
}
