//! What objects of a job are called, and the labels by which they are found again.

use std::collections::BTreeMap;

use danube_core::egress::EgressPolicy;
use danube_core::id::AttemptId;
use danube_core::runtime::GroupSpec;
use sha2::{Digest, Sha256};

use crate::settings::Settings;

/// Whose job it is.
pub const JOB: &str = "danube.dev/job-id";
/// Which of the job's attempts.
pub const ATTEMPT: &str = "danube.dev/attempt";
/// The pipeline's name, as far as a label can hold it.
pub const PIPELINE: &str = "danube.dev/pipeline";
/// Which names it may reach: policies select pods by this label and by no other.
pub const PROFILE: &str = "danube.dev/egress-profile";
/// Which Danube made it.
pub const INSTANCE: &str = "danube.dev/instance";

/// That a pod was made ahead and is nobody's yet; its value is the pod's shape.
pub const WARM: &str = "danube.dev/warm";
/// An annotation: what the shims of a pod that was made ahead are told, since it is a job's.
pub const ASSIGNED: &str = "danube.dev/assigned";

/// The longest value of a label.
const LONGEST: usize = 63;

/// The pod of an attempt. Another attempt of the same job has another name, so that neither is taken for the other.
#[must_use]
pub fn pod(attempt: &AttemptId) -> String {
    format!("danube-{}-{}", attempt.job.as_str(), attempt.number)
}

/// The labels of a group's pod.
#[must_use]
pub fn labels(spec: &GroupSpec, settings: &Settings) -> BTreeMap<String, String> {
    [
        (JOB, label(spec.attempt.job.as_str())),
        (ATTEMPT, spec.attempt.number.to_string()),
        (PIPELINE, label(&spec.pipeline)),
        (PROFILE, profile(&spec.egress)),
        (INSTANCE, label(&settings.instance)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The annotations of a group's pod: what labels cannot hold.
#[must_use]
pub fn annotations(spec: &GroupSpec) -> BTreeMap<String, String> {
    [(PIPELINE.to_owned(), spec.pipeline.clone())].into()
}

/// Selects the pod of an attempt, whatever it is called: one that was made ahead keeps its name.
#[must_use]
pub fn selector(attempt: &AttemptId, instance: &str) -> String {
    format!("{INSTANCE}={},{JOB}={},{ATTEMPT}={}", label(instance), label(attempt.job.as_str()), attempt.number)
}

/// The attempt that a pod's labels name.
#[must_use]
pub fn attempt(labels: &BTreeMap<String, String>) -> Option<AttemptId> {
    Some(AttemptId { job: labels.get(JOB)?.parse().ok()?, number: labels.get(ATTEMPT)?.parse().ok()? })
}

/// The profile of a list of names: equal lists have one, whoever wrote them.
#[must_use]
pub fn profile(policy: &EgressPolicy) -> String {
    if policy.rules.is_empty() {
        return "closed".to_owned();
    }
    let rules: Vec<String> =
        danube_core::egress::joined(policy.rules.clone()).iter().map(ToString::to_string).collect();
    format!("names-{}", digest(&rules.join("\n")))
}

/// A text as a label's value. One that a label cannot hold is told by its digest, so that two never become one.
pub fn label(text: &str) -> String {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let plain = text.len() <= LONGEST && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if plain && edge(text.chars().next()) && edge(text.chars().last()) {
        return text.to_owned();
    }
    format!("sha256-{}", digest(text))
}

/// 64 bits in hexadecimal: enough to tell the names of one instance apart.
fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use danube_core::egress::EgressMode;

    use super::*;

    #[test]
    fn a_label_holds_a_name_or_its_digest() {
        assert_eq!(label("frontend-build"), "frontend-build");
        let odd = ["team/app", "", "-x", "x-", "größe", &"a".repeat(64)].map(label);
        assert!(odd.iter().all(|value| value.starts_with("sha256-") && value.len() == 23), "{odd:?}");
        assert_eq!(odd.iter().collect::<std::collections::BTreeSet<_>>().len(), odd.len());
    }

    #[test]
    fn equal_lists_have_one_profile() {
        let policy = |rules: &[&str]| EgressPolicy {
            mode: EgressMode::Enforce,
            rules: rules.iter().map(|rule| rule.parse().expect("a rule")).collect(),
        };
        let (a, b) = (policy(&["a.example", "b.example:22"]), policy(&["B.example:22", "a.example"]));
        assert_eq!(profile(&a), profile(&b));
        assert_ne!(profile(&a), profile(&policy(&["a.example"])));
        assert_eq!(profile(&policy(&[])), "closed");
    }
}
