//! What a story needs: a runtime on a fresh data directory, groups in it, words with a container.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use danube_core::egress::{EgressMode, EgressPolicy};
use danube_core::id::{AttemptId, ContainerName};
use danube_core::runtime::{ContainerSpec, GroupEvent, GroupSpec, ImageSource, Resources, Role, Runtime, Workspace};
use danube_sandbox::{Events, Sandbox, SandboxConfig};
use futures_core::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A runtime on a data directory of its own.
pub struct World {
    pub dir: tempfile::TempDir,
    pub sandbox: Sandbox,
}

/// What a script in a container came to.
#[derive(Debug)]
pub struct Said {
    pub text: String,
    pub status: i32,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A world whose set-up is changed a little.
    pub fn with(change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let dir = tempfile::Builder::new().prefix("danube-groups-").tempdir_in("/var/tmp").unwrap();
        let this = std::env::current_exe().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut config = SandboxConfig::new(data, this.clone(), vec![this, "__monitor".into()]);
        change(&mut config);
        Self { dir, sandbox: Sandbox::new(config) }
    }

    /// Another runtime on the same data directory, as a restarted engine has.
    pub fn again(&self) -> Sandbox {
        let this = std::env::current_exe().unwrap();
        Sandbox::new(SandboxConfig::new(self.data(), this.clone(), vec![this, "__monitor".into()]))
    }

    /// Ends a container's first process with an exit code.
    pub async fn tell_to_exit(&self, spec: &GroupSpec, container: &str, code: u8) {
        let name: ContainerName = container.parse().unwrap();
        let mut stream = self.sandbox.open(&spec.attempt, &name).await.unwrap();
        stream.write_all(format!("exit {code}\n").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    }

    /// Removes the one image that a story unpacked.
    pub async fn clear_images(&self) {
        assert_eq!(self.sandbox.remove_images().await.unwrap(), 1);
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub async fn create(&self, spec: &GroupSpec) {
        if let Err(error) = self.sandbox.create(spec).await {
            panic!("{error}\n{}", self.logs(&spec.attempt));
        }
    }

    /// Everything that the group's processes complained of.
    pub fn logs(&self, attempt: &AttemptId) -> String {
        let group = self.data().join("groups").join(attempt.to_string());
        std::fs::read_to_string(group.join("monitor.log")).unwrap_or_default()
    }

    /// Has a container's first process run a script, as itself (`root`) or as steps are (`step`).
    pub async fn run(&self, spec: &GroupSpec, container: &str, who: &str, script: &str) -> Said {
        let name: ContainerName = container.parse().unwrap();
        let mut stream = self.sandbox.open(&spec.attempt, &name).await.unwrap();
        stream.write_all(format!("{who}\n{script}").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        if let Err(error) = read.await {
            panic!("{error}: {answer}\n{}", self.logs(&spec.attempt));
        }
        let (text, status) = answer.rsplit_once("\nstatus ").unwrap_or_else(|| {
            let log = self.data().join("groups").join(spec.attempt.to_string()).join("events.jsonl");
            panic!("no answer: {answer:?}\n{}\n{}", self.logs(&spec.attempt), std::fs::read_to_string(log).unwrap())
        });
        Said { text: text.trim().to_owned(), status: status.trim().parse().unwrap() }
    }

    pub async fn step(&self, spec: &GroupSpec, script: &str) -> Said {
        self.run(spec, "worker", "step", script).await
    }

    pub async fn delete(&self, spec: &GroupSpec) {
        self.sandbox.delete(&spec.attempt).await.unwrap();
    }
}

/// A group of these containers on the host's programs.
pub fn group(job: &str, containers: &[&str]) -> GroupSpec {
    GroupSpec {
        attempt: AttemptId { job: job.parse().unwrap(), number: 1 },
        nonce: "0123456789abcdef0123456789abcdef".into(),
        pipeline: "story".into(),
        containers: containers.iter().map(|name| container(name)).collect(),
        workspace: Workspace::Empty,
        source: None,
        egress: EgressPolicy { mode: EgressMode::Enforce, rules: Vec::new() },
        orphan_grace: Duration::from_secs(60),
        time: Duration::from_secs(60),
        warm: 0,
    }
}

pub fn container(name: &str) -> ContainerSpec {
    let role = if name == "coordinator" { Role::Coordinator } else { Role::Worker };
    ContainerSpec {
        name: name.parse().unwrap(),
        role,
        image: ImageSource::Host,
        program: None,
        resources: Resources::default(),
    }
}

/// The next event of a group.
pub async fn next(events: &mut Events) -> Option<GroupEvent> {
    std::future::poll_fn(|context| Pin::new(&mut *events).poll_next(context)).await
}

/// A story that failed in the middle leaves nothing to the next one.
impl Drop for World {
    fn drop(&mut self) {
        let sandbox = self.again();
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for group in sandbox.list().await.unwrap() {
                    sandbox.delete(&group.attempt).await.unwrap();
                }
                sandbox.remove_images().await.unwrap();
            });
        });
        assert!(cleaned.join().is_ok() || std::thread::panicking(), "the story's groups cannot be removed");
    }
}

/// What a job could leave behind: processes of this program, mounts, cgroups.
pub fn traces() -> BTreeSet<String> {
    let own = std::env::current_exe().unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = pids.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let ours = pids.filter(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == own));
    let mut traces: BTreeSet<String> = ours.map(|pid| format!("process {pid}")).collect();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    traces.extend(mounts.lines().map(|line| format!("mount {line}")));
    collect_cgroups(&PathBuf::from("/sys/fs/cgroup"), &mut traces);
    traces
}

fn collect_cgroups(dir: &PathBuf, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name().as_encoded_bytes().starts_with(b"story-") {
                found.insert(format!("cgroup {}", entry.path().display()));
            }
            collect_cgroups(&entry.path(), found);
        }
    }
}
