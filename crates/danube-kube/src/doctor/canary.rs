//! The canary: a pod with a profile like a job's tries what it may and what it may not (security.md, E5). The other pod, and
//! the API server, are known to be there; so when it cannot reach them, something forbids it.

use std::net::IpAddr;
use std::time::Duration;

use danube_core::egress::EgressPolicy;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::verdict::{Attempt, Outcome, Verdict, judge};
use super::{Fact, Place, probe};
use crate::{cluster, names, standing};

/// What runs in both pods.
const PROGRAM: &str = include_str!("canary.py");
/// Where the other pod listens.
const PORT: u16 = 8000;
const PATIENCE: Duration = Duration::from_secs(120);
/// Resolvers and services of the world that no job may ask.
const RESOLVER: &str = "8.8.8.8";
/// Where clouds tell a machine its secrets.
const METADATA: &str = "169.254.169.254";

/// What a canary is told.
#[derive(Clone, Debug)]
pub struct Canary {
    /// What a job with its profile may reach.
    pub allowed: EgressPolicy,
    /// A name of the world that is not in that list, and its addresses.
    pub other: Option<(String, Vec<IpAddr>)>,
    /// The addresses of the first name that is allowed.
    pub allowed_addresses: Vec<IpAddr>,
}

/// Tries it. The policies are applied first, as for a job.
pub async fn egress(client: &Client, place: &Place, canary: &Canary) -> (Verdict, Vec<Fact>) {
    let mut facts = Vec::new();
    facts.push(match cluster::hold(client, (&place.namespace, &place.instance), &canary.allowed).await {
        Ok(()) => Fact::good("policies", "applied, as for a job"),
        Err(error) => Fact::bad("policies", error.to_string()),
    });
    match tried(client, place, canary).await {
        Ok((attempts, outcomes)) => {
            let verdict = judge(&attempts, &outcomes);
            facts.extend(attempts.iter().filter_map(|attempt| fact(attempt, &outcomes)));
            (verdict, facts)
        }
        Err(words) => {
            facts.push(Fact::bad("canary", words));
            (Verdict::Unproven, facts)
        }
    }
}

fn fact(attempt: &Attempt, outcomes: &[Outcome]) -> Option<Fact> {
    let outcome = outcomes.iter().find(|outcome| outcome.id == attempt.id)?;
    let name = if attempt.allowed { "may" } else { "may not" };
    let came = if outcome.open { "came about".to_owned() } else { format!("did not: {}", outcome.said) };
    Some(Fact { name, good: outcome.open == attempt.allowed, words: format!("{}: {came}", attempt.what) })
}

type Tried = (Vec<Attempt>, Vec<Outcome>);

async fn tried(client: &Client, place: &Place, canary: &Canary) -> Result<Tried, String> {
    let image =
        place.coordinator_image.as_deref().ok_or("it runs in the coordinator's image: say --coordinator-image")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &place.namespace);
    let other = probe::make(&pods, &listener(image, place, canary)).await?;
    let found = with_other(&pods, &other, (image, place, canary)).await;
    probe::remove(&pods, &other).await;
    found
}

async fn with_other(
    pods: &Api<Pod>,
    other: &Pod,
    (image, place, canary): (&str, &Place, &Canary),
) -> Result<Tried, String> {
    let listening = probe::until(pods, other, PATIENCE, is_ready).await?;
    if !is_ready(&listening) {
        return Err(format!("the pod that it is to try did not come up: {}", standing_of(&listening)));
    }
    let status = listening.status.unwrap_or_default();
    let (pod, node) = (status.pod_ip.unwrap_or_default(), status.host_ip.unwrap_or_default());
    let attempts = attempts(canary, &pod, &node);
    let made = probe::make(pods, &tries(image, place, canary, &attempts)).await?;
    let ended = probe::until(pods, &made, PATIENCE, |pod| last_word(pod).is_some()).await;
    probe::remove(pods, &made).await;
    let ended = ended?;
    let said = last_word(&ended).ok_or_else(|| format!("it did not end: {}", standing_of(&ended)))?;
    let outcomes = serde_json::from_str(&said).map_err(|_| format!("it ended without an answer: {said}"))?;
    Ok((attempts, outcomes))
}

fn standing_of(pod: &Pod) -> String {
    standing::read(pod).trouble.map_or_else(|| "no reason is given".to_owned(), |trouble| trouble.message)
}

/// The kubelet has reached it, so it is there.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn last_word(pod: &Pod) -> Option<String> {
    let said = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(said.state.as_ref()?.terminated.as_ref()?.message.clone().unwrap_or_default())
}

fn listener(image: &str, place: &Place, canary: &Canary) -> Pod {
    let listens = TCPSocketAction { port: IntOrString::Int(PORT.into()), host: None };
    let ready = Probe { tcp_socket: Some(listens), period_seconds: Some(1), ..Probe::default() };
    let only = Container { readiness_probe: Some(ready), ..python(image, &["serve".to_owned(), PORT.to_string()]) };
    pod("listens", only, place, canary)
}

fn tries(image: &str, place: &Place, canary: &Canary, attempts: &[Attempt]) -> Pod {
    let wanted = serde_json::to_string(attempts).expect("attempts are JSON");
    pod("canary", python(image, &[wanted]), place, canary)
}

fn python(image: &str, arguments: &[String]) -> Container {
    let words = ["python3", "-I", "-c", PROGRAM].map(str::to_owned);
    Container {
        command: Some(words.into_iter().chain(arguments.iter().map(|word| dollars(word))).collect()),
        security_context: Some(probe::confined()),
        ..probe::container("only", image)
    }
}

/// Kubernetes replaces `$(NAME)` in a command.
fn dollars(word: &str) -> String {
    word.replace("$(", "$$(").replace("@SERVICE@", "$(KUBERNETES_SERVICE_HOST)")
}

fn pod(what: &str, only: Container, place: &Place, canary: &Canary) -> Pod {
    let labels = [
        (names::PROFILE, names::profile(&canary.allowed)),
        (names::INSTANCE, names::label(&place.instance)),
        ("danube.dev/canary", "true".to_owned()),
    ];
    Pod {
        metadata: ObjectMeta {
            name: Some(probe::fresh(what)),
            labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { containers: vec![only], ..probe::spec() }),
        status: None,
    }
}

/// All that is tried.
fn attempts(canary: &Canary, pod: &str, node: &str) -> Vec<Attempt> {
    let mut tried = List::default();
    tried.forbid("another pod", "tcp", vec![json!(pod), json!(PORT)], true);
    tried.forbid("the API server, by its service", "tcp", vec![json!("@SERVICE@"), json!(443)], true);
    tried.forbid("the kubelet of its node", "tcp", vec![json!(node), json!(10250)], true);
    for (what, port) in [("the node's ssh", 22), ("a port of the node", 8080)] {
        tried.forbid(what, "tcp", vec![json!(node), json!(port)], false);
    }
    tried.forbid("the cloud's metadata", "tcp", vec![json!(METADATA), json!(80)], false);
    tried.forbid("a resolver of the world", "dns", vec![json!(RESOLVER), json!(53)], false);
    tried.forbid("a resolver of the world, by TLS", "tcp", vec![json!(RESOLVER), json!(853)], false);
    tried.forbid("a resolver of the world, by HTTPS", "tcp", vec![json!(RESOLVER), json!(443)], false);
    tried.world(canary);
    tried.0
}

#[derive(Default)]
struct List(Vec<Attempt>);

impl List {
    fn forbid(&mut self, what: &str, how: &'static str, to: Vec<Value>, is_there: bool) {
        self.push(what, (how, to), (false, is_there));
    }

    fn push(&mut self, what: &str, (how, to): (&'static str, Vec<Value>), (allowed, is_there): (bool, bool)) {
        self.0.push(Attempt { id: self.0.len(), how, to, what: what.to_owned(), allowed, is_there });
    }

    /// Names of the world: the other one, its addresses without a name, the allowed one, and its address by the other name.
    fn world(&mut self, canary: &Canary) {
        if let Some((name, addresses)) = &canary.other {
            self.forbid(
                &format!("{name}, which is not allowed"),
                "tls",
                vec![json!(name), json!(443), json!(name)],
                false,
            );
            for address in addresses {
                self.forbid(&format!("its address {address}"), "tcp", vec![json!(address), json!(443)], false);
            }
            for address in &canary.allowed_addresses {
                let what = format!("{address}, which is an allowed name's, under the name {name}");
                self.forbid(&what, "tls", vec![json!(address), json!(443), json!(name)], false);
            }
        }
        for rule in canary.allowed.rules.iter().filter(|rule| !rule.name.contains('*')) {
            for port in rule.open_ports().iter().filter(|port| canary.wants(rule, **port)) {
                let how = if *port == 443 {
                    ("tls", vec![json!(rule.name), json!(port), json!(rule.name)])
                } else {
                    ("tcp", vec![json!(rule.name), json!(port)])
                };
                self.push(&format!("{}:{port}, which is allowed", rule.name), how, (true, true));
            }
        }
    }
}

impl Canary {
    /// A rule without ports opens several, and few names answer on all of them.
    fn wants(&self, rule: &danube_core::egress::EgressRule, port: u16) -> bool {
        !rule.ports.is_empty() || port == 443
    }
}

#[cfg(test)]
mod tests {
    use danube_core::egress::EgressMode;

    use super::*;

    fn canary(rules: &[&str]) -> Canary {
        let rules = rules.iter().map(|rule| rule.parse().expect("a rule")).collect();
        Canary {
            allowed: EgressPolicy { mode: EgressMode::Enforce, rules },
            other: Some(("other.example".to_owned(), vec!["192.0.2.1".parse().expect("an address")])),
            allowed_addresses: vec!["192.0.2.2".parse().expect("an address")],
        }
    }

    #[test]
    fn everything_that_must_fail_is_tried_beside_what_must_work() {
        let tried = attempts(&canary(&["pip.example", "db.example:5432", "*.cdn.example"]), "10.0.0.7", "10.0.0.1");
        let words = |allowed| -> Vec<String> {
            tried.iter().filter(|a| a.allowed == allowed).map(|a| a.what.clone()).collect()
        };
        assert_eq!(words(true), ["pip.example:443, which is allowed", "db.example:5432, which is allowed"]);
        for what in [
            "another pod",
            "API server",
            "kubelet",
            "metadata",
            "resolver",
            "other.example, which",
            "192.0.2.1",
            "under the name other.example",
        ] {
            assert!(words(false).iter().any(|words| words.contains(what)), "{what}: {:?}", words(false));
        }
        assert!(tried.iter().enumerate().all(|(place, attempt)| attempt.id == place));
        assert_eq!(attempts(&canary(&[]), "a", "b").iter().filter(|attempt| attempt.allowed).count(), 0);
    }
}
