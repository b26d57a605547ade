//! Stories of groups that are started ahead of their jobs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use danube_core::runtime::{GroupSpec, Runtime, Workspace};
use danube_sandbox::{Sandbox, Warmth};
use rustix::process::{Pid, Signal};

use crate::world::{World, group, traces};

/// All that a container can tell of itself and that must not depend on when it was made. Paths of the group's own folder
/// are named by it.
const FACTS: &str = "awk '{print $5, $6, $9 == \"-\" ? $10 : $8}' /proc/self/mountinfo | sort
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status
cat /proc/self/uid_map /proc/self/gid_map /proc/self/limits
for space in user pid ipc uts; do test -e /proc/self/ns/$space && echo $space; done
hostname; ls -la /workspace /danube 2>/dev/null | awk '{print $1, $3, $4, $9}'
env | grep -Ev '^(DANUBE_SHIM_|TOLD=|_=|PWD=)' | sort; cat /etc/resolv.conf /etc/passwd
ls /sys /sys/fs/cgroup 2>&1; ls /proc/self/fd | wc -l; ip addr 2>&1 | grep -v valid_lft";

fn warmth() -> Warmth {
    Warmth { count: 1, runner: Vec::new() }
}

/// Keeps one ready until it is; the future may then be dropped.
async fn one_stands(sandbox: &Sandbox) {
    let until = async {
        while sandbox.spares() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let warmth = warmth();
    tokio::select! {
        failed = sandbox.keep_spares(&warmth) => panic!("{}", failed.unwrap_err()),
        () = until => {}
    }
}

/// A job with files, as the engine prepares them.
fn with_files(world: &World, job: &str) -> GroupSpec {
    let mut spec = group(job, &["coordinator", "worker"]);
    let places = ["workspace", "source", "objects"].map(|name| world.dir.path().join(format!("{job}-{name}")));
    for place in &places {
        fs::create_dir(place).unwrap();
        fs::write(place.join("file"), place.file_name().unwrap().as_encoded_bytes()).unwrap();
    }
    let [dir, source, objects] = places;
    spec.workspace = Workspace::Prepared { dir, objects: Some(objects) };
    spec.source = Some(source);
    spec
}

fn spares(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.data().join("spares")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// What both containers tell of themselves.
async fn facts(world: &World, spec: &GroupSpec) -> String {
    let mut facts = String::new();
    for (container, who) in [("coordinator", "root"), ("coordinator", "step"), ("worker", "root"), ("worker", "step")] {
        let said = world.run(spec, container, who, FACTS).await;
        facts += &format!("{container} {who}\n{}\n", said.text);
    }
    facts
}

pub fn a_group_made_ahead_is_like_any_other(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let cold = with_files(&world, "story-cold");
        world.create(&cold).await;
        let expected = facts(&world, &cold).await;
        world.delete(&cold).await;

        one_stands(&world.sandbox).await;
        let warm = with_files(&world, "story-warm");
        world.create(&warm).await;
        assert_eq!((world.sandbox.spares(), spares(&world)), (0, Vec::new()), "it was taken");
        let found = facts(&world, &warm).await;
        let expected = expected.replace("story-cold", "story-warm");
        let differ: Vec<_> = expected.lines().zip(found.lines()).filter(|(cold, warm)| cold != warm).collect();
        assert!(differ.is_empty() && expected.len() == found.len(), "{differ:#?}");
        let read = "cat /workspace/file /danube/objects/file /danube/src/file";
        let said = world.run(&warm, "coordinator", "step", read).await;
        assert_eq!(said.text, "story-warm-workspacestory-warm-objectsstory-warm-source");
        let write =
            "for f in /danube/src/x /danube/objects/x /usr/x; do touch $f 2>/dev/null && echo $f; done; echo none";
        assert_eq!(world.run(&warm, "coordinator", "root", write).await.text, "none");
        let told = world.run(&warm, "coordinator", "root", "echo $TOLD").await.text;
        assert_eq!(told, format!(r#"{{"nonce":"{}","orphan_grace_s":60}}"#, warm.nonce));
        world.delete(&warm).await;
        assert!(fs::read_dir(world.data().join("groups")).unwrap().next().is_none());
    });
}

/// Its network is opened for the job that it becomes.
pub fn a_group_made_ahead_reaches_what_its_job_may(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        one_stands(&world.sandbox).await;
        let mut spec = group("story-ports", &["coordinator", "worker"]);
        spec.egress.rules = vec!["db.example:5432".parse().unwrap()];
        world.create(&spec).await;
        assert_eq!(world.sandbox.spares(), 0, "it was taken");
        let listening = "awk '$4 == \"0A\" {print $2}' /proc/net/tcp | sort -u | cut -d: -f2";
        let ports = world.step(&spec, listening).await.text;
        assert!(ports.lines().any(|port| port == "1538"), "5432 is not among {ports}");
        world.delete(&spec).await;
    });
}

/// One that is not what the job asks for is left for another.
pub fn a_group_made_ahead_is_for_jobs_that_it_fits(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        one_stands(&world.sandbox).await;
        let mut limited = group("story-limited", &["coordinator", "worker"]);
        limited.containers[0].resources.pids = Some(100);
        world.create(&limited).await;
        assert_eq!(world.sandbox.spares(), 1);
        world.delete(&limited).await;
        one_stands(&world.sandbox).await;
        world.sandbox.clear_spares().await.unwrap();
        assert_eq!((world.sandbox.spares(), spares(&world)), (0, Vec::new()));
    });
}

pub fn a_group_made_ahead_ends_with_its_engine(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    let before = traces();
    runtime.block_on(async {
        let engine = world.again();
        one_stands(&engine).await;
        let [folder] = spares(&world).try_into().unwrap();
        let pid = fs::read_to_string(folder.join("monitor.pid")).unwrap();
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        // Only the line is closed, as when the engine dies.
        drop(engine);
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
        world.sandbox.clear_spares().await.unwrap();
        assert_eq!(spares(&world), Vec::<PathBuf>::new());
        let left: Vec<String> = traces().difference(&before).cloned().collect();
        assert!(left.is_empty(), "left behind: {left:#?}");
    });
}

/// A monitor that dies before it was told its name has begun nothing, so the group is made anew with what it was given.
pub fn a_group_whose_monitor_was_never_told_is_made_anew(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        one_stands(&world.sandbox).await;
        let [spare] = spares(&world).try_into().unwrap();
        let spec = with_files(&world, "story-untold");
        // As far as an engine comes that is killed before the last word.
        let groups = world.data().join("groups");
        fs::create_dir_all(&groups).unwrap();
        let folder = groups.join(spec.attempt.to_string());
        fs::rename(&spare, &folder).unwrap();
        fs::rename(world.dir.path().join("story-untold-workspace"), folder.join("workspace")).unwrap();
        let pid = fs::read_to_string(folder.join("monitor.pid")).unwrap();
        rustix::process::kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
        let second = world.again();
        second.create(&spec).await.unwrap();
        let read = world.run(&spec, "coordinator", "step", "cat /workspace/file /danube/src/file").await.text;
        assert_eq!(read, "story-untold-workspacestory-untold-source");
        second.delete(&spec.attempt).await.unwrap();
        assert_eq!(spares(&world), Vec::<PathBuf>::new());
    });
}
