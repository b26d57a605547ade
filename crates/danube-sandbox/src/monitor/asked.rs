//! The containers that were asked for. Each is made once, however often and by whichever engine it is asked for, and
//! everybody who asks is told whether it runs.

use std::collections::BTreeMap;

use danube_core::id::ContainerName;
use danube_core::runtime::{ContainerSpec, GroupFailure};
use tokio::sync::watch;

use crate::error::SandboxError;

/// Why a container was not made.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// As data.
    pub kind: GroupFailure,
    /// In words.
    pub message: String,
}

type Outcome = Result<(), Refusal>;

/// Every container of the group by name, with what became of it.
#[derive(Default)]
pub struct Asked(BTreeMap<ContainerName, (ContainerSpec, Made)>);

/// Tells what became of a container.
pub struct Report(watch::Sender<Option<Outcome>>);

/// Whether a container was made, once that is known.
#[derive(Clone)]
pub struct Made(watch::Receiver<Option<Outcome>>);

impl Asked {
    /// Has the container made, unless it was asked for before.
    pub fn ask(&mut self, spec: &ContainerSpec, make: impl FnOnce(ContainerSpec, Report)) -> Made {
        if let Some((known, made)) = self.0.get(&spec.name) {
            return if known == spec { made.clone() } else { Made::another(&spec.name) };
        }
        let (sender, receiver) = watch::channel(None);
        let made = Made(receiver);
        self.0.insert(spec.name.clone(), (spec.clone(), made.clone()));
        make(spec.clone(), Report(sender));
        made
    }
}

impl Report {
    /// It runs.
    pub fn runs(&self) {
        self.0.send_replace(Some(Ok(())));
    }

    /// It could not be made. Without effect on a container that ran.
    pub fn failed(&self, error: &SandboxError) {
        let refusal = Refusal { kind: error.kind(), message: error.to_string() };
        self.0.send_if_modified(|outcome| {
            let is_first = outcome.is_none();
            outcome.get_or_insert(Err(refusal));
            is_first
        });
    }
}

impl Made {
    fn another(name: &ContainerName) -> Self {
        let message = format!("the group has another container with the name {name}");
        Self(watch::channel(Some(Err(Refusal { kind: GroupFailure::Config, message }))).1)
    }

    /// Waits until it runs, or is known not to.
    pub async fn outcome(mut self) -> Outcome {
        let told = self.0.wait_for(Option::is_some).await;
        let vanished = || Refusal { kind: GroupFailure::Infra, message: "the monitor failed; see monitor.log".into() };
        told.ok().and_then(|outcome| outcome.clone()).unwrap_or_else(|| Err(vanished()))
    }
}
