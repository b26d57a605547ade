//! The real shim as PID 1 of a pod, reached as a master will: over an exec of the bridge. `checks/cluster/run shim` starts
//! a cluster, says in the environment where it is, and runs these.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::{Child, Command, Output, Stdio};

use common::master::Master;
use common::sh;
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::{InfoRequest, ShutdownRequest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::unix::pipe::{Receiver, Sender};

const SHIM: &str = "/danube/shim/danube-shim";
const SOCKET: &str = "/danube/private/shim.sock";

/// What `checks/cluster/run up` told.
fn fact(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run checks/cluster/run shim"))
}

fn kubectl(words: &[&str]) -> Command {
    let mut command = Command::new(fact("KUBECTL"));
    command.args(words).env("KUBECONFIG", fact("KUBECONFIG"));
    command
}

fn output(words: &[&str]) -> Output {
    kubectl(words).stderr(Stdio::inherit()).output().unwrap()
}

/// A pod as design and product want it, with one worker.
fn manifest(name: &str) -> Value {
    let mount = |name: &str, at: &str, ro: bool| json!({"name": name, "mountPath": at, "readOnly": ro});
    let hard = json!({"allowPrivilegeEscalation": false, "seccompProfile": {"type": "RuntimeDefault"}});
    let env = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "hostUsers": false, "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 5,
            "volumes": [{"name": "shim", "emptyDir": {}}, {"name": "private", "emptyDir": {}}, {"name": "workspace", "emptyDir": {}}],
            "initContainers": [{
                "name": "install", "image": fact("IMAGE_SHIM"), "args": ["install", "/danube/shim"],
                "securityContext": hard, "volumeMounts": [mount("shim", "/danube/shim", false)],
            }],
            "containers": [{
                "name": "worker", "image": fact("IMAGE_WORKER"), "command": [SHIM], "securityContext": hard,
                "env": [
                    env("DANUBE_SHIM_ROLE", "worker"), env("DANUBE_SHIM_NONCE", name), env("DANUBE_SHIM_LISTEN", SOCKET),
                ],
                "volumeMounts": [
                    mount("shim", "/danube/shim", true), mount("private", "/danube/private", false),
                    mount("workspace", "/workspace", false),
                ],
            }],
        },
    })
}

/// The client of an exec. Dropping it kills it, and then nobody tells the bridge anything.
struct Exec(Child);

impl Drop for Exec {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pod that is deleted when the test is over.
struct Pod(String);

impl Pod {
    fn start(name: &str) -> Self {
        let mut create = kubectl(&["create", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        serde_json::to_writer(create.stdin.take().unwrap(), &manifest(name)).unwrap();
        assert!(create.wait().unwrap().success());
        let pod = Self(name.to_owned());
        let running = output(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"]);
        assert!(running.status.success(), "{}", pod.field("{.status}"));
        pod
    }

    fn field(&self, path: &str) -> String {
        let said = output(&["get", "pod", &self.0, "-o", &format!("jsonpath={path}")]);
        String::from_utf8(said.stdout).unwrap()
    }

    /// A stream to the shim.
    async fn master(&self) -> (Master, Exec) {
        let mut exec = kubectl(&["exec", "-i", &self.0, "-c", "worker", "--", SHIM, "bridge", SOCKET]);
        let mut exec = Exec(exec.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let input = Sender::from_owned_fd(exec.0.stdin.take().unwrap().into()).unwrap();
        let output = Receiver::from_owned_fd(exec.0.stdout.take().unwrap().into()).unwrap();
        let stream = tokio::io::join(output, input);
        let mut master = Master::over(stream).await.unwrap();
        master.hello(1).await.unwrap();
        (master, exec)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = kubectl(&["delete", "pod", &self.0, "--grace-period=0", "--force", "--wait=false"]).output();
    }
}

/// Bridges in the container, as one of its steps counts them.
const BRIDGES: &str = "n=0; for p in /proc/[0-9]*; do \
    case \"$(tr '\\0' ' ' <$p/cmdline 2>/dev/null)\" in *'danube-shim bridge'*) n=$((n + 1));; esac; done; echo $n";

#[tokio::test]
#[ignore = "needs a cluster: checks/cluster/run shim"]
async fn it_runs_steps_and_its_exit_code_is_the_containers() {
    let pod = Pod::start("exits");
    let (mut master, _exec) = pod.master().await;
    let info = master.client.info(InfoRequest {}).await.unwrap().into_inner();
    eprintln!("Info: {info:?}");
    assert_eq!(info.nonce, "exits");
    let ran = master.run(&sh("echo pid $PPID; id -u; cat /proc/self/uid_map; seq 200000 | tail -n 1")).await;
    assert!(ran.text().starts_with("pid 1\n0\n") && ran.text().ends_with("200000\n"), "{}", ran.text());
    master.client.shutdown(ShutdownRequest { exit_code: 42 }).await.unwrap();
    let ended = output(&["wait", "--for=jsonpath={.status.phase}=Failed", "pod/exits", "--timeout=60s"]);
    assert!(ended.status.success());
    assert_eq!(pod.field("{.status.containerStatuses[0].state.terminated.exitCode}"), "42");
}

#[tokio::test]
#[ignore = "needs a cluster: checks/cluster/run shim"]
async fn a_step_gets_no_word_from_the_shims_socket() {
    let pod = Pod::start("hostile");
    let (mut master, _exec) = pod.master().await;
    let connect = format!(
        "import socket; s=socket.socket(socket.AF_UNIX); s.connect('{SOCKET}'); s.settimeout(60)\n\
         try: print(len(s.recv(100)))\nexcept ConnectionError: print(0)"
    );
    let ran = master.run(&common::argv(&["/usr/bin/python3", "-c", &connect])).await;
    assert_eq!(ran.text(), "0\n", "a server that speaks HTTP/2 would have sent its settings");
    let bridged =
        master.run(&sh(&format!("mkfifo open; exec 3<>open; {SHIM} bridge {SOCKET} <&3 | head -c 1 | wc -c"))).await;
    assert_eq!(bridged.text(), "0\n", "a step's own bridge has its parent inside");
}

/// The client of the exec is killed while a chatty step runs: nobody tells the bridge, and nobody reads from it.
#[tokio::test]
#[ignore = "needs a cluster: checks/cluster/run shim"]
async fn a_client_that_dies_costs_nothing_and_its_bridge_ends() {
    let pod = Pod::start("cut");
    let step = sh("i=0; while [ $i -lt 60000 ]; do echo line $i of a step that talks a lot; i=$((i+1)); done");
    let mut seen = Vec::new();
    let (mut master, mut exec) = pod.master().await;
    master.start(&step).await.unwrap();
    for round in 0.. {
        let mut attached = master.attach(&step.step_id, seen.len() as u64).await.unwrap();
        let mut killed = false;
        let end = loop {
            match attached.next().await {
                Ok(Of::Chunk(chunk)) => {
                    seen.extend_from_slice(&chunk.data);
                    attached.ack(seen.len() as u64, false);
                    if round < 3 && !killed && seen.len() > (round + 1) * 200_000 {
                        exec.0.kill().unwrap();
                        killed = true;
                    }
                }
                Ok(Of::End(end)) => break Some(end),
                Err(_) => break None,
            }
        };
        if let Some(end) = end {
            assert_eq!((end.exit_code, end.bytes), (0, seen.len() as u64));
            assert_eq!(end.sha256, Sha256::digest(&seen).to_vec());
            assert!(round > 0, "it was cut at least once");
            break;
        }
        (master, exec) = pod.master().await;
    }
    while master.run(&sh(BRIDGES)).await.text() != "1\n" {}
}

/// containerd ends what was exec'd when the API server dies; the shim and its step live on.
#[tokio::test]
#[ignore = "needs a cluster: checks/cluster/run shim"]
async fn an_api_server_that_is_killed_costs_nothing() {
    let pod = Pod::start("restart");
    let (mut master, _exec) = pod.master().await;
    let step = sh("echo before; until [ -e /workspace/go ]; do sleep 0.1; done; echo after");
    master.start(&step).await.unwrap();
    master.until(&step.step_id, "before").await;
    for verb in ["kill", "start"] {
        let run = fact("CLUSTER_RUN");
        assert!(Command::new(run).args([verb, &fact("CLUSTER"), "kube-apiserver"]).status().unwrap().success());
    }
    while !kubectl(&["get", "--raw=/readyz"]).stderr(Stdio::null()).output().unwrap().status.success() {}
    let (mut master, _exec) = pod.master().await;
    assert_eq!(master.run(&sh("touch /workspace/go")).await.end.exit_code, 0);
    let ran = master.follow(&step.step_id).await;
    assert_eq!((ran.text().as_str(), ran.end.exit_code), ("before\nafter\n", 0));
    assert_eq!(pod.field("{.status.containerStatuses[0].restartCount}"), "0");
}
