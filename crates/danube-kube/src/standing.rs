//! What a cluster says of a pod, in the words that the rest of Danube knows. Level-triggered: the same pod gives the same
//! standing, however often and after whatever gap it is looked at.

use danube_core::id::ContainerName;
use danube_core::runtime::{ContainerState, GroupFailure, OomRecord};
use k8s_openapi::api::core::v1::{
    Container, ContainerState as Said, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodSpec,
    PodStatus,
};

/// The init container that installs the shim: part of the pod's making, and nobody's container.
const INSTALLER: &str = "shim";
/// Of a message of the cluster so many characters are shown.
const SHOWN: usize = 500;

/// How a pod stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Each container's state, as far as the cluster knows it.
    pub containers: Vec<(ContainerName, ContainerState)>,
    /// What keeps the pod from running, if something does.
    pub trouble: Option<Trouble>,
    /// Why the pod as a whole has failed, if it has.
    pub failed: Option<(GroupFailure, String)>,
}

/// Something that keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it becomes when it lasts.
    pub kind: GroupFailure,
    /// What the cluster says, and of what.
    pub message: String,
    /// Waiting does not help: the same would be said again.
    pub is_final: bool,
}

/// Reads a pod.
#[must_use]
pub fn read(pod: &Pod) -> Standing {
    let (spec, status) = (pod.spec.clone().unwrap_or_default(), pod.status.clone().unwrap_or_default());
    let told: Vec<&ContainerStatus> = statuses(&status).collect();
    let waits = unscheduled(&status);
    let states = told.iter().filter(|said| said.name != INSTALLER);
    let containers = states.filter_map(|said| Some((said.name.parse().ok()?, state(said, &spec, waits.as_deref())?)));
    let unfit =
        waits.as_ref().map(|message| Trouble { kind: GroupFailure::Infra, message: message.clone(), is_final: false });
    Standing {
        containers: containers.collect(),
        trouble: told.iter().find_map(|said| trouble(said, &spec)).or(unfit),
        failed: failed(&status).or_else(|| installer_failed(&told)),
    }
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flat_map(|list| list.iter().flatten())
}

/// Why no node takes the pod, if none does.
fn unscheduled(status: &PodStatus) -> Option<String> {
    let unfit = |condition: &&k8s_openapi::api::core::v1::PodCondition| {
        condition.type_ == "PodScheduled" && condition.status == "False"
    };
    let condition = status.conditions.iter().flatten().find(unfit)?;
    let message = condition.message.clone().or(condition.reason.clone()).unwrap_or_default();
    Some(format!("no node of the cluster can take it yet: {}", short(&message)))
}

fn state(said: &ContainerStatus, spec: &PodSpec, waits: Option<&str>) -> Option<ContainerState> {
    let Said { running, terminated, waiting } = said.state.clone().unwrap_or_default();
    if let Some(ended) = terminated.or_else(|| before_a_restart(said)) {
        return Some(terminated_state(said, spec, &ended));
    }
    if running.is_some() {
        return Some(ContainerState::Running);
    }
    let message = match (&waiting, waits) {
        (_, Some(words)) => words.to_owned(),
        (Some(waiting), None) => waiting_words(said, spec, waiting),
        (None, None) => return None,
    };
    Some(ContainerState::Waiting { message })
}

/// The end of what ran in a sidecar before the kubelet started it again: that is another container to whoever used it. One
/// that could not be started, and then could, was never another.
fn before_a_restart(said: &ContainerStatus) -> Option<ContainerStateTerminated> {
    let ended = said.last_state.as_ref()?.terminated.clone()?;
    let has_run = !matches!(ended.reason.as_deref(), Some("StartError" | "ContainerCannotRun"));
    (said.restart_count > 0 && has_run).then_some(ended)
}

fn terminated_state(said: &ContainerStatus, spec: &PodSpec, ended: &ContainerStateTerminated) -> ContainerState {
    let oom = ended.reason.as_deref() == Some("OOMKilled");
    let record = || OomRecord { limit_bytes: memory_limit(&said.name, spec).unwrap_or_default(), peak_bytes: None };
    ContainerState::Terminated {
        exit_code: ended.exit_code,
        signal: ended.signal.filter(|signal| *signal > 0),
        oom: oom.then(record),
    }
}

/// Bytes of memory that a container may use, as Danube wrote them.
fn memory_limit(name: &str, spec: &PodSpec) -> Option<u64> {
    let limits = container(name, spec)?.resources.as_ref()?.limits.as_ref()?;
    limits.get("memory")?.0.parse().ok()
}

fn container<'a>(name: &str, spec: &'a PodSpec) -> Option<&'a Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
}

fn waiting_words(said: &ContainerStatus, spec: &PodSpec, waiting: &ContainerStateWaiting) -> String {
    match waiting.reason.as_deref() {
        None | Some("ContainerCreating" | "PodInitializing") => format!("pulling {}", image(said, spec)),
        Some(reason) => words(said, spec, reason, waiting),
    }
}

fn words(said: &ContainerStatus, spec: &PodSpec, reason: &str, waiting: &ContainerStateWaiting) -> String {
    let message = waiting.message.as_deref().unwrap_or(reason);
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RegistryUnavailable" => {
            format!("the image {} cannot be pulled: {}", image(said, spec), short(message))
        }
        "CrashLoopBackOff" => format!("the container {} ends as soon as it is started", said.name),
        _ => format!("the container {} cannot be made: {}", said.name, short(message)),
    }
}

fn image<'a>(said: &'a ContainerStatus, spec: &'a PodSpec) -> &'a str {
    container(&said.name, spec).and_then(|container| container.image.as_deref()).unwrap_or(&said.image)
}

fn trouble(said: &ContainerStatus, spec: &PodSpec) -> Option<Trouble> {
    let waiting = said.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let (kind, is_final) = match reason {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => (GroupFailure::Image, false),
        "InvalidImageName" | "ErrImageNeverPull" => (GroupFailure::Image, true),
        "CreateContainerConfigError" => (GroupFailure::Config, true),
        "CreateContainerError" | "RunContainerError" | "CrashLoopBackOff" => (GroupFailure::Infra, false),
        _ => return None,
    };
    Some(Trouble { kind, message: words(said, spec, reason, waiting), is_final })
}

/// Why the pod is over as a whole, whatever its containers say.
fn failed(status: &PodStatus) -> Option<(GroupFailure, String)> {
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let message = short(status.message.as_deref().unwrap_or("it gives no reason"));
    let (kind, words) = match status.reason.as_deref()? {
        "Evicted" => (GroupFailure::Lost, format!("the node evicted the pod: {message}")),
        "Preempting" | "Preempted" => (GroupFailure::Lost, format!("a pod of more weight took its place: {message}")),
        "DeadlineExceeded" => (GroupFailure::Infra, "the pod outlived the longest time that any may live".to_owned()),
        "NodeLost" | "Shutdown" | "NodeShutdown" | "Terminated" => {
            (GroupFailure::Lost, format!("its node went away: {message}"))
        }
        other => (GroupFailure::Infra, format!("the cluster ended the pod ({other}): {message}")),
    };
    Some((kind, words))
}

fn installer_failed(told: &[&ContainerStatus]) -> Option<(GroupFailure, String)> {
    let said = told.iter().find(|said| said.name == INSTALLER)?;
    let ended = said.state.as_ref()?.terminated.as_ref()?;
    let words = || format!("the shim could not be installed: exit code {}", ended.exit_code);
    (ended.exit_code != 0).then(|| (GroupFailure::Infra, words()))
}

/// A message of the cluster, in one line of bounded length.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const IMAGE: &str = "registry.example/node@sha256:9c1f";

    fn pod(status: Value) -> Pod {
        let limits = json!({"limits": {"memory": "1048576"}});
        serde_json::from_value(json!({
            "spec": {
                "initContainers": [{"name": "shim"}, {"name": "service-1", "image": IMAGE}],
                "containers": [{"name": "coordinator"}, {"name": "worker", "image": IMAGE, "resources": limits}],
            },
            "status": status,
        }))
        .expect("a pod")
    }

    fn worker(state: Value) -> Pod {
        let said =
            json!({"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        pod(json!({"phase": "Pending", "containerStatuses": [said]}))
    }

    fn waiting(reason: &str, message: &str) -> Standing {
        read(&worker(json!({"waiting": {"reason": reason, "message": message}})))
    }

    #[test]
    fn what_a_pod_waits_for_is_said_in_words() {
        let creating = waiting("ContainerCreating", "");
        let ContainerState::Waiting { message } = &creating.containers[0].1 else { panic!("{creating:?}") };
        assert_eq!((message.as_str(), &creating.trouble), (&*format!("pulling {IMAGE}"), &None));

        let pod = pod(json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }]}));
        let unfit = read(&pod).trouble.expect("trouble");
        assert!(!unfit.is_final && unfit.message.contains("Insufficient cpu"), "{unfit:?}");
    }

    #[test]
    fn an_image_that_cannot_be_had_is_trouble_with_the_registry_s_own_words() {
        for (reason, kind, is_final) in [
            ("ErrImagePull", GroupFailure::Image, false),
            ("ImagePullBackOff", GroupFailure::Image, false),
            ("InvalidImageName", GroupFailure::Image, true),
            ("CreateContainerConfigError", GroupFailure::Config, true),
            ("RunContainerError", GroupFailure::Infra, false),
        ] {
            let found = waiting(reason, "unauthorized:\n access denied").trouble.expect(reason);
            assert_eq!((found.kind, found.is_final), (kind, is_final), "{reason}");
            assert!(found.message.contains("unauthorized: access denied"), "{}", found.message);
        }
        let long = waiting("ErrImagePull", &"é".repeat(2000)).trouble.expect("trouble").message;
        assert!(long.chars().count() < 700 && long.ends_with('…'));
    }

    #[test]
    fn an_end_keeps_its_code_and_says_when_memory_ran_out() {
        let ended = |terminated: Value| read(&worker(json!({"terminated": terminated}))).containers[0].1.clone();
        let plain = ContainerState::Terminated { exit_code: 137, signal: None, oom: None };
        assert_eq!(ended(json!({"exitCode": 137, "reason": "Error", "signal": 0})), plain);
        let oom = Some(OomRecord { limit_bytes: 1 << 20, peak_bytes: None });
        let killed = ContainerState::Terminated { exit_code: 137, signal: None, oom };
        assert_eq!(ended(json!({"exitCode": 137, "reason": "OOMKilled"})), killed);
    }

    #[test]
    fn a_sidecar_that_was_started_again_has_ended() {
        let again = |reason: &str| {
            let said = json!({"name": "service-1", "image": IMAGE, "imageID": "", "ready": true, "restartCount": 1,
                "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137, "reason": reason}}});
            read(&pod(json!({"phase": "Running", "initContainerStatuses": [said]}))).containers[0].1.clone()
        };
        assert_eq!(again("Error"), ContainerState::Terminated { exit_code: 137, signal: None, oom: None });
        assert!(matches!(again("OOMKilled"), ContainerState::Terminated { oom: Some(_), .. }));
        assert_eq!(again("StartError"), ContainerState::Running);
    }

    #[test]
    fn a_pod_that_was_taken_away_is_lost_and_never_a_script_s_failure() {
        for (reason, kind, word) in [
            ("Evicted", GroupFailure::Lost, "evicted"),
            ("Preempting", GroupFailure::Lost, "weight"),
            ("NodeLost", GroupFailure::Lost, "went away"),
            ("DeadlineExceeded", GroupFailure::Infra, "outlived"),
            ("UnexpectedAdmissionError", GroupFailure::Infra, "UnexpectedAdmissionError"),
        ] {
            let status = json!({"phase": "Failed", "reason": reason, "message": "The node was low on memory."});
            let (found, words) = read(&pod(status)).failed.expect(reason);
            assert!(found == kind && words.contains(word), "{reason}: {words}");
        }
        assert_eq!(read(&pod(json!({"phase": "Failed"}))).failed, None, "its containers say how they ended");
    }

    #[test]
    fn a_shim_that_could_not_be_installed_fails_the_pod() {
        let said = json!({"name": "shim", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 2}}});
        let standing = read(&pod(json!({"phase": "Pending", "initContainerStatuses": [said]})));
        assert!(standing.containers.is_empty());
        assert!(standing.failed.is_some_and(|(kind, words)| kind == GroupFailure::Infra && words.contains("shim")));
    }
}
