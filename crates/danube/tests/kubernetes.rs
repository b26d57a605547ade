//! `danube serve` with jobs on a real cluster: what happens to it and to its pods, and what is said then. What both runtimes
//! share is told in `runtimes.rs`. Needs a cluster (`checks/kube`); without one each test says that it was not tried.

mod support;

use std::path::Path;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use support::dev::{Dev, wait};
use support::site::Site;

/// A step that prints for some seconds, and says how often it was started.
const SLOW: &str = "step.run('echo ran >> /workspace/marks; for n in $(seq 40); do seq $((n * 1000)) $((n * 1000 + 999)); \
                    sleep 0.2; done; cat /workspace/marks', name='slow')";

fn begin(site: &Site, serve: &Dev, body: &str) -> String {
    site.pipeline(&site.image(), body);
    site.commit("the story");
    serve.post("/pipelines/app/jobs", "", 201)["id"].as_str().expect("an id").to_owned()
}

/// Waits until its first step has printed more than this.
fn prints(serve: &Dev, id: &str, bytes: usize) {
    let raw = format!("/jobs/{id}/steps/1/raw");
    let printed =
        || serve.ask("GET", &raw, "").ok().filter(|(status, said)| *status == 200 && said.to_string().len() > bytes);
    wait(printed).unwrap_or_else(|| panic!("it does not print: {}", serve.get(&format!("/jobs/{id}"))));
}

/// The slow step ran once, and every byte of it is there.
fn is_whole(serve: &Dev, id: &str) {
    let job = serve.end(id);
    assert_eq!((&job["status"], &job["attempt"]), (&json!("success"), &json!(1)), "{job}");
    let expected: String = (1000..41_000).map(|n| format!("{n}\n")).collect::<String>() + "ran\n";
    assert!(serve.get(&format!("/jobs/{id}/steps/1/raw")) == Value::String(expected));
}

fn reason(job: &Value) -> (String, String) {
    let text = |name: &str| job["reason"][name].as_str().unwrap_or_default().to_owned();
    (text("kind"), text("message"))
}

#[test]
fn a_pod_is_made_of_digests_and_holds_nothing_of_the_server() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let serve = site.start();
    let id = begin(&site, &serve, "step.run('id -u; cat /proc/self/uid_map; env; echo begun; sleep 600')");
    prints(&serve, &id, 20);
    let pod = site.cluster().pod();
    let images: Vec<&str> =
        pod["spec"]["containers"].as_array().expect("containers").iter().filter_map(|c| c["image"].as_str()).collect();
    assert!(images.iter().all(|image| image.contains("@sha256:")), "{images:?}");
    let job = serve.get(&format!("/jobs/{id}"));
    let told: Vec<&str> =
        job["containers"].as_array().expect("a list").iter().filter_map(|one| one["image"].as_str()).collect();
    assert_eq!(told, images, "what the job runs in is written down, its coordinator too");
    // One hour, a minute of cleanup, the grace of images, and ten minutes.
    assert_eq!(
        (&pod["spec"]["activeDeadlineSeconds"], &pod["spec"]["hostUsers"]),
        (&json!(4268), &json!(false)),
        "{pod}"
    );
    let data = site.project.data().to_string_lossy().into_owned();
    assert!(
        !pod.to_string().contains(&data) && !pod.to_string().contains("sleep 600"),
        "what is run is not in the pod"
    );
    serve.post(&format!("/jobs/{id}/cancel"), "", 202);
    serve.end(&id);
    let said = serve.get(&format!("/jobs/{id}/steps/1/raw"));
    assert!(
        said.as_str().is_some_and(|said| !said.contains("KUBERNETES_") && !said.contains(" 0 4294967295")),
        "{said}"
    );
    site.cluster().empty();
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn a_master_that_is_killed_finds_its_jobs_again() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let serve = site.start();
    let id = begin(&site, &serve, SLOW);
    prints(&serve, &id, 5000);
    serve.kill();
    let serve = site.start();
    is_whole(&serve, &id);
    site.cluster().empty();
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn a_master_whose_lease_another_takes_ends_no_job_and_the_next_waits_until_that_one_is_silent() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let serve = site.start();
    let id = begin(&site, &serve, SLOW);
    prints(&serve, &id, 5000);
    let taken = r#"{"spec":{"holderIdentity":"somebody"}}"#;
    site.cluster().kubectl(&["patch", "lease", "danube-danube", "--type=merge", "--patch", taken]);
    serve.wait().expect(3).says("another master").says("kubernetes.instance");
    assert_eq!(site.cluster().names("pods").len(), 1, "its job runs on");
    // Somebody never says a word.
    let serve = site.start();
    is_whole(&serve, &id);
    serve.stop_by(Signal::TERM).expect(0).says("holder=\"somebody\"");
    let given_back =
        site.cluster().kubectl(&["get", "lease", "danube-danube", "--output=jsonpath={.spec.holderIdentity}"]);
    assert_eq!(given_back, "");
}

/// A job whose pod is taken away in the midst of its step by whoever may.
fn stopped_from_outside(take_away: impl Fn(&Site, &str)) {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let serve = site.start();
    let id = begin(&site, &serve, SLOW);
    prints(&serve, &id, 5000);
    let pod = site.cluster().names("pods").pop().expect("a pod");
    take_away(&site, &pod);
    let job = serve.end(&id);
    let (kind, said) = reason(&job);
    assert_eq!((&job["status"], kind.as_str()), (&json!("failure"), "evicted"), "{job}");
    assert!(said.contains("stopped from outside"), "{job}");
    site.cluster().empty();
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn a_pod_that_somebody_deletes_is_no_success_and_no_failure_of_the_script() {
    stopped_from_outside(|site, pod| drop(site.cluster().kubectl(&["delete", "pod", pod, "--wait=false"])));
}

/// As `kubectl drain` does it, before a node is taken out of service.
#[test]
fn a_pod_that_is_evicted_is_no_success_and_no_failure_of_the_script() {
    stopped_from_outside(|site, pod| {
        let namespace = &site.cluster().namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
        let eviction =
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}});
        site.cluster().kubectl_with(&["create", "--raw", &path, "--filename=-"], &eviction.to_string());
    });
}

#[test]
fn no_node_for_a_job_is_told_in_the_cluster_s_words() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    site.toml_with("", "node_selector = { \"danube.dev/none\" = \"here\" }");
    let serve = site.start();
    let id = begin(&site, &serve, "step.run('echo here')");
    let (kind, said) = reason(&serve.end(&id));
    assert_eq!(kind, "infra", "{said}");
    assert!(said.contains("no node of the cluster can take it") && said.contains("nothing changed for"), "{said}");
    site.cluster().empty();
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn an_image_that_a_node_cannot_pull_is_told_in_its_words() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let gone = site.image().replace(":latest", &format!("@sha256:{}", "0".repeat(64)));
    let serve = site.start();
    site.pipeline(&gone, "step.run('true')");
    site.commit("the story");
    let id = serve.post("/pipelines/app/jobs", "", 201)["id"].as_str().expect("an id").to_owned();
    let (kind, said) = reason(&serve.end(&id));
    assert_eq!(kind, "image_pull", "{said}");
    assert!(said.contains(&gone) && said.contains("cannot be pulled"), "{said}");
    site.cluster().empty();
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn what_an_earlier_master_left_is_removed_and_nothing_of_others() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let pod = |name: &str, instance: &str| {
        let labels =
            json!({"danube.dev/job-id": "0199-gone", "danube.dev/attempt": "1", "danube.dev/instance": instance});
        let image = site.image();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "worker", "image": image, "command": ["sleep", "900"]}]}})
        .to_string()
    };
    site.cluster().kubectl_with(&["apply", "--filename=-"], &pod("danube-0199-gone-1", "danube"));
    site.cluster().kubectl_with(&["apply", "--filename=-"], &pod("another-s", "somebody"));
    let serve = site.start();
    wait(|| (site.cluster().names("pods") == ["another-s"]).then_some(())).expect("one is left");
    let id = begin(&site, &serve, "step.run('echo on')");
    assert_eq!(serve.end(&id)["status"], "success");
    site.cluster().kubectl(&["delete", "pod", "another-s"]);
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn a_coordinator_that_runs_out_of_memory_is_told_so() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let serve = site.start();
    let id = begin(&site, &serve, "step.run('true')\nx = b'x' * 300_000_000\nstep.run('echo never')");
    let job = serve.end(&id);
    let (kind, said) = reason(&job);
    assert_eq!((kind.as_str(), said.as_str()), ("oom", "the coordinator ran out of memory"), "{job}");
    assert_eq!(job["steps"].as_array().map(Vec::len), Some(2), "{job}");
    site.cluster().empty();
    serve.stop_by(Signal::TERM).expect(0);
}

/// Kills the first process of a pod's container, as the kernel does when all of a container is to go.
fn kill(pod: &Value, role: &str) {
    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    let role = format!("DANUBE_SHIM_ROLE={role}");
    let read = |process: &Path, name: &str| std::fs::read(process.join(name)).unwrap_or_default();
    let processes = std::fs::read_dir("/proc").expect("processes").flatten().map(|entry| entry.path());
    let first = processes.into_iter().find(|process| {
        read(process, "cmdline") == b"/danube/shim/danube-shim\0"
            && String::from_utf8_lossy(&read(process, "cgroup")).contains(uid)
            && read(process, "environ").split(|byte| *byte == 0).any(|pair| pair == role.as_bytes())
    });
    let first = first.unwrap_or_else(|| panic!("no {role} of {uid}"));
    let number = first.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
    rustix::process::kill_process(number.expect("a process"), Signal::KILL).expect("killed");
}

/// A job with a service, one of whose containers is killed in the midst of its step.
fn after_the_death_of(role: &str) -> Option<Value> {
    let site = Site::on_cluster("step.run('true')")?;
    let serve = site.start();
    let image = site.image();
    let body = format!(
        "service.start('{image}', name='db', command=['sh', '-c', 'echo here; sleep 600'])\n\
         step.run('for n in $(seq 600); do echo line $n; sleep 0.2; done', name='slow')"
    );
    let id = begin(&site, &serve, &body);
    wait(|| serve.get(&format!("/jobs/{id}"))["steps"].to_string().contains("slow").then_some(()))
        .expect("it is begun");
    kill(&site.cluster().pod(), role);
    let job = serve.end(&id);
    site.cluster().empty();
    serve.stop_by(Signal::TERM).expect(0);
    Some(job)
}

#[test]
fn a_worker_that_its_node_kills_is_lost() {
    let Some(job) = after_the_death_of("worker") else { return };
    let (kind, said) = reason(&job);
    assert_eq!((kind.as_str(), said.as_str()), ("worker_lost", "the container `worker` ended before its steps did"));
}

#[test]
fn a_coordinator_that_its_node_kills_is_lost() {
    let Some(job) = after_the_death_of("coordinator") else { return };
    let (kind, said) = reason(&job);
    assert_eq!((kind.as_str(), said.as_str()), ("infra", "the coordinator ended without an exit record"));
}

/// The kubelet starts a sidecar again; what ran in it is gone all the same.
#[test]
fn a_service_that_its_node_kills_has_died_even_though_its_container_is_started_again() {
    let Some(job) = after_the_death_of("service") else { return };
    let (kind, said) = reason(&job);
    assert_eq!(kind, "service", "{job}");
    assert!(said.starts_with("the service `db` was lost: its container ended; its last lines:\n  here\n"), "{said}");
}

#[test]
fn a_pipeline_s_next_job_has_a_pod_that_was_made_ahead_also_after_the_master_died() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    site.configure("app", &format!("{}  warm: 1\n", site.object("app")));
    let serve = site.start();
    let body = "step.run('git log -1 --format=%s; cat /etc/hostname')";
    let first = begin(&site, &serve, body);
    assert_eq!(serve.end(&first)["status"], "success");
    let ahead = || {
        let listed = site.cluster().kubectl(&["get", "pods", "--selector=danube.dev/warm", "--output=json"]);
        let listed: Value = serde_json::from_str(&listed).ok()?;
        let ready = |pod: &Value| {
            pod["status"]["containerStatuses"].as_array().is_some_and(|all| all.iter().all(|one| one["ready"] == true))
        };
        let pods: Vec<&Value> = listed["items"].as_array()?.iter().filter(|pod| ready(pod)).collect();
        Some(pods.first()?["metadata"]["name"].as_str()?.to_owned())
    };
    let spare = wait(ahead).expect("one is made ahead");
    serve.kill();
    let serve = site.start();
    let second = begin(&site, &serve, &format!("{body}\nstep.run('true')"));
    assert_eq!(serve.end(&second)["status"], "success");
    let said = serve.get(&format!("/jobs/{second}/steps/1/raw"));
    assert!(
        said.as_str().is_some_and(|said| said.starts_with("the story\n") && said.contains(&spare)),
        "{said}: {spare}"
    );
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn the_doctor_asks_with_the_server_s_own_file() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let file = site.toml_path().to_string_lossy().into_owned();
    // No policies by name are here, which is a line too.
    let looked = site.run(&["doctor", "--cluster", "--config", &file]).expect(3);
    looked.says("ok   rights").says("ok   coordinator image").says("ok   shim image").says("less policies by name");
    site.run(&["doctor", "egress", "--config", &file]).expect(3).says("not enforced");
    let both = site.run(&["doctor", "--cluster", "--config", &file, "--namespace", "another"]).expect(2);
    both.says("cannot be used with");
    site.cluster().empty();
}

/// Takes the cluster apart, and so runs alone (`checks/kube`).
#[test]
#[ignore = "it takes the cluster apart"]
fn an_api_server_that_dies_costs_no_byte_and_no_job() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    let serve = site.start();
    let id = begin(&site, &serve, SLOW);
    prints(&serve, &id, 5000);
    site.cluster().part("kill", "kube-apiserver");
    std::thread::sleep(std::time::Duration::from_secs(60));
    site.cluster().part("start", "kube-apiserver");
    is_whole(&serve, &id);
    site.cluster().empty();
    serve.stop_by(Signal::TERM).expect(0);
}

#[test]
fn a_cluster_that_cannot_be_reached_is_told_before_anything_is_started() {
    let Some(site) = Site::on_cluster("step.run('true')") else { return };
    site.toml_with("", "context = \"nobody's\"");
    site.run(&["serve"]).expect(3).says("kubeconfig").says("nobody's");
}
