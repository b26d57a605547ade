//! `danube cluster apply` and what `danube doctor` says of a cluster. What needs one is tried where `DANUBE_CLUSTER_FACTS`
//! says what stands where (`checks/kube`).

mod support;

use std::process::Command;

use support::{Ran, binary};

fn danube(arguments: &[&str]) -> Ran {
    let mut command = Command::new(binary());
    command.args(arguments).env("HOME", "/nonexistent").env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    Ran::of(command.output().expect("danube starts"))
}

/// A line `NAME=VALUE` of the facts; none where there is no cluster.
fn told(name: &str) -> Option<String> {
    let Ok(path) = std::env::var("DANUBE_CLUSTER_FACTS") else {
        eprintln!("not tried: no cluster. `checks/kube` starts one");
        return None;
    };
    let text = std::fs::read_to_string(path).expect("the facts");
    Some(text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).expect("a fact").to_owned())
}

#[test]
fn what_would_be_applied_is_printed_without_a_cluster() {
    let image = format!("registry.example/registry@sha256:{}", "0".repeat(64));
    let ran = danube(&["cluster", "apply", "--print", "--registry-image", &image, "--namespace", "ci-jobs"]).expect(0);
    assert_eq!(ran.stdout.matches("---\n").count(), ran.stdout.matches("\nkind: ").count(), "{}", ran.stdout);
    ran.says("kind: Namespace").says("name: ci-jobs").says("pod-security.kubernetes.io/enforce: baseline").says(&image);
    let fewer = danube(&["cluster", "apply", "--print", "--only", "foundation", "--without-cilium"]).expect(0);
    assert!(!fewer.stdout.contains("Policy\n") && fewer.stdout.contains("kind: RoleBinding"), "{}", fewer.stdout);
}

#[test]
fn an_image_without_a_digest_and_a_cluster_that_is_not_named_are_said() {
    danube(&["cluster", "apply", "--print", "--dex-image", "dex:latest"]).expect(2).says("by its digest");
    danube(&["cluster", "apply"]).expect(2).says("--kubeconfig");
    danube(&["doctor", "--cluster", "--kubeconfig", "/nonexistent/config"]).expect(2).says("/nonexistent/config");
}

#[test]
fn a_cluster_is_made_ready_and_the_doctor_says_so() {
    let (Some(kubeconfig), Some(shim), Some(coordinator)) =
        (told("KUBECONFIG"), told("IMAGE_SHIM"), told("IMAGE_COORDINATOR"))
    else {
        return;
    };
    let (jobs, system) = (format!("ready-{}", std::process::id()), format!("ready-{}-system", std::process::id()));
    let place = ["--kubeconfig", &kubeconfig, "--namespace", &jobs];
    let apply = |more: &[&str]| {
        let mut words = vec!["cluster", "apply", "--without-cilium", "--system-namespace", &system];
        words.extend(place.iter().chain(more));
        danube(&words)
    };
    apply(&["--dry-run"]).expect(0).says("created").says("nothing was changed");
    apply(&[]).expect(0).says("created");
    let again = apply(&[]).expect(0);
    assert!(
        !again.stdout.contains("created") && again.stdout.lines().all(|line| line.ends_with(" unchanged")),
        "{}",
        again.stdout
    );

    let images = ["--shim-image", &shim, "--coordinator-image", &coordinator];
    let mut words = vec!["doctor", "--cluster"];
    words.extend(place.iter().chain(&images));
    // Not everything is good: no Cilium is here.
    let looked = danube(&words).expect(3);
    looked
        .says("ok   API server")
        .says("ok   rights")
        .says("ok   user namespaces")
        .says("ok   shim image")
        .says("less policies by name");
    let mut words = vec!["doctor", "egress", "--json", "--coordinator-image", &coordinator];
    words.extend(place);
    let canary = danube(&words).expect(3);
    let report: serde_json::Value = serde_json::from_str(&canary.stdout).expect("one object");
    assert_eq!(report["verdict"], "not_enforced", "{report:#}");
    let kubectl = told("KUBECTL").expect("kubectl");
    let gone = Command::new(kubectl)
        .args(["--kubeconfig", &kubeconfig, "delete", "namespace", "--wait=false", &jobs, &system])
        .status();
    assert!(gone.expect("kubectl").success());
}
