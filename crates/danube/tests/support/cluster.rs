//! A real cluster, as somebody with kubectl sees it: `checks/kube` starts one and says by `DANUBE_CLUSTER_FACTS` what
//! stands where. Each has a namespace of its own, which goes with it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::dev::wait;

/// A namespace of a cluster.
pub struct Cluster {
    facts: BTreeMap<String, String>,
    /// Where the pods of jobs are.
    pub namespace: String,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// None, said in so many words, where there is no cluster. Its key is copied into this folder.
    pub fn find(dir: &Path) -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let Ok(path) = std::env::var("DANUBE_CLUSTER_FACTS") else {
            eprintln!("not tried: no cluster. `checks/kube` starts one");
            return None;
        };
        let text = fs::read_to_string(path).expect("facts");
        let facts: BTreeMap<String, String> =
            text.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect();
        let kubeconfig = dir.join("kubeconfig");
        fs::copy(&facts["KUBECONFIG"], &kubeconfig).expect("copied");
        fs::set_permissions(&kubeconfig, fs::Permissions::from_mode(0o600)).expect("set");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("danube-e2e-{}-{number}", std::process::id());
        let cluster = Self { facts, namespace, kubeconfig };
        cluster.kubectl(&["create", "namespace", &cluster.namespace]);
        cluster.kubectl(&["label", "namespace", &cluster.namespace, "pod-security.kubernetes.io/enforce=baseline"]);
        // Until it is there, every pod is refused.
        wait(|| (!cluster.names("serviceaccounts").is_empty()).then_some(())).expect("the namespace's account");
        Some(cluster)
    }

    /// An image of the cluster's registry, by tag.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}:latest", self.facts["REGISTRY"])
    }

    /// The certificate of the cluster's registry.
    pub fn certificate(&self) -> &str {
        &self.facts["CA"]
    }

    /// `[kubernetes]` of danube.toml, with more keys.
    pub fn table(&self, more: &str) -> String {
        format!(
            "[kubernetes]\nkubeconfig = \"{}\"\nnamespace = \"{}\"\nshim_image = \"{}\"\ncoordinator_image = \"{}\"\n\
             enforcement = \"off\"\ncoordinator_cpu = \"50m\"\ncoordinator_memory = \"128Mi\"\nworker_cpu = \"50m\"\n\
             worker_memory = \"128Mi\"\nworkspace = \"100Mi\"\npull_grace = \"8s\"\nnode_grace = \"8s\"\n{more}\n",
            self.kubeconfig.display(),
            self.namespace,
            self.facts["IMAGE_SHIM"],
            self.facts["IMAGE_COORDINATOR"],
        )
    }

    /// Puts the first image of an OCI layout into the cluster's registry, as `name:latest`.
    pub fn push(&self, layout: &Path, name: &str) {
        let index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).expect("an index")).expect("JSON");
        let digest = index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
        fs::write(layout.join("digest"), digest).expect("written");
        let program = "import sys; sys.path.insert(0, sys.argv[1])\nfrom pathlib import Path\nimport images, registry, settings\n\
            registry.push(settings.Cluster(sys.argv[2]), images.Image(sys.argv[3], Path(sys.argv[4])))";
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checks/cluster");
        let mut python = Command::new("python3");
        python.args(["-c", program]).arg(tools).args([&self.facts["CLUSTER"], name]).arg(layout);
        let pushed = python.output().expect("python3 is there");
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    }

    /// kubectl in the namespace, which succeeds; what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    /// The same, with this on its standard input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        let mut kubectl = Command::new(&self.facts["KUBECTL"]);
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig).args(["--namespace", &self.namespace]).args(arguments);
        kubectl
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = kubectl.spawn().expect("kubectl is there");
        let mut stdin = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("said");
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The names of objects of a kind.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let listed = self.kubectl(&["get", kind, "--output=name"]);
        listed.lines().map(|line| line.rsplit('/').next().unwrap_or(line).to_owned()).collect()
    }

    /// The only pod, as JSON.
    pub fn pod(&self) -> Value {
        let list: Value = serde_json::from_str(&self.kubectl(&["get", "pods", "--output=json"])).expect("JSON");
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
        list["items"][0].clone()
    }

    /// Waits until no pod is left.
    pub fn empty(&self) {
        wait(|| self.names("pods").is_empty().then_some(())).expect("no pod is left");
    }

    /// Does something to a part of the cluster: `kill` or `start` the `kube-apiserver`, …
    pub fn part(&self, verb: &str, part: &str) {
        let run = std::env::var("DANUBE_CLUSTER_RUN").expect("the cluster's own command");
        let done = Command::new(run).args([verb, &self.facts["CLUSTER"], part]).status().expect("it is there");
        assert!(done.success(), "{verb} {part}: {done}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut kubectl = Command::new(&self.facts["KUBECTL"]);
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig).args([
            "delete",
            "namespace",
            "--wait=false",
            &self.namespace,
        ]);
        // The cluster itself may be gone.
        let _ = kubectl.output();
    }
}
