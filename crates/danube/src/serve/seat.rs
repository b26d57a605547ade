//! On a cluster only one master works for an instance at a time: this one takes the cluster's lease before it looks at a
//! pod, and stops when another has it. On one machine the lock of the data directory is enough.

use std::fs;
use std::path::Path;

use danube_kube::Held;
use uuid::Uuid;

use crate::error::CliError;
use crate::local::{Cluster, Jobs};
use crate::place::{Place, create_private};

/// Names this data directory among all that there are.
const NAME: &str = "master-id";

/// The right to work.
pub struct Seat(Option<Held>);

impl Seat {
    /// Waits until no other master works for this instance, and clears away what one has left.
    pub async fn take(jobs: &Jobs, place: &Place) -> Result<Self, CliError> {
        match jobs {
            Jobs::Here { .. } => Ok(Self(None)),
            Jobs::Cluster(cluster) => {
                let held = cluster.pods.lease(&holder(place)?).take().await;
                sweep(cluster).await;
                Ok(Self(Some(held)))
            }
        }
    }

    /// Comes when another master may work: from then on this one must do nothing more.
    pub async fn lost(&mut self) -> CliError {
        match &mut self.0 {
            Some(held) => held.lost().await,
            None => std::future::pending().await,
        }
        CliError::infra("another master may work with this instance's pods now: this one stops, and ends no job")
            .hint("danube.toml: kubernetes.instance must be another one for each master of a namespace")
    }

    /// Lets the next master begin at once.
    pub async fn leave(self) {
        if let Some(held) = self.0 {
            held.release().await;
        }
    }
}

/// A policy that nobody needs does no harm, so that a cluster that does not let it be removed is only told about.
async fn sweep(cluster: &Cluster) {
    match cluster.pods.sweep_policies().await {
        Ok(swept) if swept.is_empty() => {}
        Ok(swept) => tracing::info!("removed network policies that no pod has: {}", swept.join(", ")),
        Err(error) => tracing::warn!(%error, "network policies of jobs that are over are not removed"),
    }
}

/// The machine's name, for people, and what stays the same when this master starts anew: it need not wait for itself.
fn holder(place: &Place) -> Result<String, CliError> {
    create_private(place.dir())?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(format!("{} {}", host.trim(), id(&place.dir().join(NAME))?))
}

fn id(path: &Path) -> Result<Uuid, CliError> {
    let there = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(id) = there {
        return Ok(id);
    }
    let (id, beside) = (Uuid::now_v7(), path.with_extension("new"));
    let written = fs::write(&beside, id.to_string()).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| CliError::infra(format!("cannot write {}: {error}", path.display())))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_keeps_its_name_and_a_broken_one_is_made_anew() {
        let dir = tempfile::tempdir().expect("folder");
        let place = Place::at(dir.path().join("data"));
        let first = holder(&place).expect("named");
        assert_eq!(holder(&place).expect("named"), first);
        assert_ne!(holder(&Place::at(dir.path().join("other"))).expect("named"), first);
        // As a full disk leaves it.
        fs::write(place.dir().join(NAME), "").expect("written");
        let anew = holder(&place).expect("named");
        assert!(anew != first && holder(&place).expect("named") == anew);
    }
}
