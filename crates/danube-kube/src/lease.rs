//! One master at a time: a Lease of the cluster, beside the lock on the data directory and the epoch that shims know. It is
//! what two masters with two data directories have in common. Nobody's clock is compared with another's: who waits counts on
//! its own how long the holder has said nothing, and who holds but may not renew stops before anybody can have waited that
//! long. A holder without a way to the API server goes on: it can reach no pod either.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::Kubernetes;
use crate::names;

/// So long is a holder waited for that says nothing.
const SILENCE: Duration = Duration::from_secs(15);

/// Who may hold it, and for how long without a word.
#[derive(Clone, Debug)]
pub struct Lease {
    api: Api<Record>,
    name: String,
    holder: String,
    duration: Duration,
}

/// The lease, as long as this lives and [`Held::lost`] has not come.
#[derive(Debug)]
pub struct Held {
    lease: Lease,
    lost: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// What came of one question.
enum Answer {
    /// It is ours.
    Ours,
    /// It is somebody else's: who, and which words were their last.
    Theirs(String, String),
}

/// What came of asking again for what one has.
enum Renewal {
    Ours,
    Taken,
    Refused,
    Unreachable,
}

impl Kubernetes {
    /// The lease of this instance. Each data directory has a holder's name of its own.
    #[must_use]
    pub fn lease(&self, holder: &str) -> Lease {
        let (client, settings) = self.parts();
        Lease::new(client.clone(), (&settings.namespace, &settings.instance), holder, SILENCE)
    }
}

impl Lease {
    /// The lease of an instance in its namespace. Each master has a holder's name of its own. Whoever holds it and is silent
    /// for so long has lost it.
    #[must_use]
    pub fn new(client: Client, (namespace, instance): (&str, &str), holder: &str, duration: Duration) -> Self {
        let name = format!("danube-{}", names::label(instance).to_lowercase().replace(['_', '.'], "-"));
        Self { api: Api::namespaced(client, namespace), name, holder: holder.to_owned(), duration }
    }

    /// Waits until nobody else holds it, and takes it. Must be called within a tokio runtime.
    pub async fn take(self) -> Held {
        let mut seen: Option<(String, Instant)> = None;
        loop {
            let asked = Instant::now();
            let silent =
                seen.as_ref().filter(|(_, since)| since.elapsed() >= self.duration).map(|(words, _)| words.clone());
            match self.claim(silent.as_deref()).await {
                Ok(Answer::Ours) => return Held::since(self, asked),
                Ok(Answer::Theirs(holder, words)) if seen.as_ref().is_none_or(|(last, _)| *last != words) => {
                    tracing::info!(
                        lease = self.name,
                        holder,
                        "another master holds the lease of this namespace: waiting"
                    );
                    seen = Some((words, Instant::now()));
                }
                Ok(Answer::Theirs(..)) => {}
                Err(error) => tracing::warn!(lease = self.name, %error, "the lease cannot be asked for; asking again"),
            }
            tokio::time::sleep(self.duration / 5).await;
        }
    }

    /// Takes or renews it. Somebody else's is taken only if their last words are those of which we know that they are old.
    async fn claim(&self, silent: Option<&str>) -> Result<Answer, kube::Error> {
        let Some(found) = self.api.get_opt(&self.name).await? else {
            return self.write(None, 0).await;
        };
        let spec = found.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let words = found.resource_version().unwrap_or_default();
        let changes = spec.lease_transitions.unwrap_or_default();
        if holder == self.holder {
            return self.write(Some(words), changes).await;
        }
        if holder.is_empty() || silent == Some(words.as_str()) {
            return self.write(Some(words), changes.saturating_add(1)).await;
        }
        Ok(Answer::Theirs(holder, words))
    }

    /// Only over what was seen: the API server lets one of two through.
    async fn write(&self, over: Option<String>, changes: i32) -> Result<Answer, kube::Error> {
        let record = self.record(over.clone(), changes, &self.holder);
        let written = match over {
            None => self.api.create(&PostParams::default(), &record).await,
            Some(_) => self.api.replace(&self.name, &PostParams::default(), &record).await,
        };
        match written {
            Ok(_) => Ok(Answer::Ours),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Ok(Answer::Theirs("somebody faster".to_owned(), String::new()))
            }
            Err(error) => Err(error),
        }
    }

    fn record(&self, over: Option<String>, changes: i32, holder: &str) -> Record {
        let metadata = ObjectMeta { name: Some(self.name.clone()), resource_version: over, ..ObjectMeta::default() };
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX).max(1)),
            lease_transitions: Some(changes),
            // For people: nobody compares it.
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        };
        Record { metadata, spec: Some(spec) }
    }

    /// Renews until somebody else has it, or until it was refused for too long.
    async fn keep(self, taken: Instant, lost: watch::Sender<bool>) {
        // Whoever waits saw our words after we sent them, and waits a whole duration.
        let allowed = self.duration * 3 / 4;
        let (mut last, mut refused) = (taken, false);
        loop {
            tokio::time::sleep_until((Instant::now() + self.duration / 5).min(last + allowed)).await;
            let (asked, left) = (Instant::now(), allowed.saturating_sub(last.elapsed()));
            match self.renew(left).await {
                Renewal::Ours => (last, refused) = (asked, false),
                // Who cannot reach the API server can do nothing to a pod, and asks whose the lease is as soon as it can.
                // After a refusal that is no excuse: the time that was left for an answer may have been short.
                Renewal::Unreachable if !refused => last = Instant::now(),
                Renewal::Taken => break,
                Renewal::Refused | Renewal::Unreachable => refused = true,
            }
            if last.elapsed() >= allowed {
                break;
            }
        }
        let _ = lost.send(true);
    }

    async fn renew(&self, patience: Duration) -> Renewal {
        match tokio::time::timeout(patience, self.claim(None)).await {
            Ok(Ok(Answer::Ours)) => Renewal::Ours,
            Ok(Ok(Answer::Theirs(holder, _))) => {
                tracing::error!(lease = self.name, holder, "another master took the lease");
                Renewal::Taken
            }
            Ok(Err(error)) if is_refusal(&error) => {
                tracing::warn!(lease = self.name, %error, "the lease may not be renewed; trying again");
                Renewal::Refused
            }
            _ => {
                tracing::warn!(lease = self.name, "no API server answers: the lease is not renewed; trying again");
                Renewal::Unreachable
            }
        }
    }
}

/// Whether the API server answered, and is able to.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && ![408, 429].contains(&status.code))
}

impl Held {
    fn since(lease: Lease, taken: Instant) -> Self {
        let (sender, lost) = watch::channel(false);
        let task = tokio::spawn(lease.clone().keep(taken, sender));
        Self { lease, lost, task }
    }

    /// Comes when another master may hold it: from then on this one must do nothing more.
    pub async fn lost(&mut self) {
        // An end of the task without a word is a loss too.
        let _ = self.lost.wait_for(|lost| *lost).await;
    }

    /// Gives it back, so that the next master need not wait.
    pub async fn release(self) {
        self.task.abort();
        let Ok(Some(found)) = self.lease.api.get_opt(&self.lease.name).await else { return };
        let spec = found.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() == Some(&self.lease.holder) {
            let changes = spec.lease_transitions.unwrap_or_default();
            let free = self.lease.record(found.resource_version(), changes, "");
            // Not given back, it is free after its duration.
            let _ = self.lease.api.replace(&self.lease.name, &PostParams::default(), &free).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}
