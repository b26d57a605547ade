//! What a cluster offers and lacks, one line each, with what to do: what `danube doctor --cluster` prints. Everything is
//! asked of the cluster itself; what could not be asked is said to be unknown, never to be good.

mod canary;
mod images;
mod place;
mod probe;
mod rights;
mod system;
pub mod verdict;

use kube::Client;

pub use canary::{Canary, egress};

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Place {
    /// The namespace of jobs.
    pub namespace: String,
    /// Names this Danube among those that share it.
    pub instance: String,
    /// The shim's image, if it is to be pulled.
    pub shim_image: Option<String>,
    /// The coordinator's image, likewise.
    pub coordinator_image: Option<String>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// Whether it is as jobs need it.
    pub good: bool,
    /// What was found, and what to do where it is not good.
    pub words: String,
}

impl Fact {
    fn good(name: &'static str, words: impl Into<String>) -> Self {
        Self { name, good: true, words: words.into() }
    }

    fn bad(name: &'static str, words: impl Into<String>) -> Self {
        Self { name, good: false, words: words.into() }
    }
}

/// Looks at all of it. When the API server does not answer there is one line only.
pub async fn look(client: &Client, place: &Place) -> Vec<Fact> {
    let version = system::version(client).await;
    if !version.good {
        return vec![version];
    }
    let mut facts = vec![version];
    facts.extend(rights::all(client, place).await);
    facts.extend(place::all(client, place).await);
    facts.push(system::user_namespaces(client).await);
    facts.push(system::pod_resources(client, place).await);
    facts.extend(images::all(client, place).await);
    facts
}

/// The API server's words in one line.
fn words_of(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
