//! The stories, in the order in which they are run.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use danube_core::id::AttemptId;
use danube_core::runtime::{
    ContainerSpec, ContainerState, GroupEvent, GroupFailure, GroupSpec, ImageSource, Runtime, RuntimeError, Workspace,
};
use rustix::process::{Pid, Signal};

use crate::ahead;
use crate::world::{World, container, group, next, traces};

type Story = (&'static str, fn(&tokio::runtime::Runtime));

const STORIES: &[Story] = &[
    ("a_group_comes_and_goes_without_a_trace", a_group_comes_and_goes_without_a_trace),
    ("a_second_engine_finds_the_group", a_second_engine_finds_the_group),
    ("a_killed_monitor_is_lost_and_leaves_nothing_alive", a_killed_monitor_is_lost_and_leaves_nothing_alive),
    ("what_a_power_cut_left_of_a_group_is_lost", what_a_power_cut_left_of_a_group_is_lost),
    ("how_a_container_ended_is_told", how_a_container_ended_is_told),
    ("what_the_engine_prepared_is_there", what_the_engine_prepared_is_there),
    ("a_step_reaches_nothing_of_the_host", a_step_reaches_nothing_of_the_host),
    ("a_container_holds_no_power_over_its_kernel", a_container_holds_no_power_over_its_kernel),
    ("groups_do_not_see_each_other", groups_do_not_see_each_other),
    ("an_image_is_unpacked_once_and_never_written", an_image_is_unpacked_once_and_never_written),
    ("a_reference_says_what_to_do", a_reference_says_what_to_do),
    ("a_container_is_added_later", a_container_is_added_later),
    ("an_added_container_that_cannot_be_made_harms_no_other", an_added_container_that_cannot_be_made_harms_no_other),
    ("a_group_made_ahead_is_like_any_other", ahead::a_group_made_ahead_is_like_any_other),
    ("a_group_made_ahead_reaches_what_its_job_may", ahead::a_group_made_ahead_reaches_what_its_job_may),
    ("a_group_made_ahead_is_for_jobs_that_it_fits", ahead::a_group_made_ahead_is_for_jobs_that_it_fits),
    ("a_group_made_ahead_ends_with_its_engine", ahead::a_group_made_ahead_ends_with_its_engine),
    ("a_group_whose_monitor_was_never_told_is_made_anew", ahead::a_group_whose_monitor_was_never_told_is_made_anew),
    ("the_machine_is_told_as_it_is", the_machine_is_told_as_it_is),
    ("a_job_costs_little_memory", a_job_costs_little_memory),
    ("without_isolation_an_image_is_refused_with_a_word", without_isolation_an_image_is_refused_with_a_word),
];

/// Runs the stories whose names contain an argument, or all. The number of those that failed.
pub fn run() -> usize {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let user = rustix::process::geteuid().as_raw();
    let mut failed = 0;
    for (name, story) in STORIES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| name.contains(w)))
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (start, before) = (Instant::now(), traces());
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| {
            story(&runtime);
            let left: Vec<String> = traces().difference(&before).cloned().collect();
            assert!(left.is_empty(), "left behind: {left:#?}");
        }));
        failed += usize::from(done.is_err());
        let word = if done.is_ok() { "ok" } else { "FAILED" };
        println!("user {user}: {name} … {word} ({} ms)", start.elapsed().as_millis());
    }
    failed
}

fn a_group_comes_and_goes_without_a_trace(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-comes", &["worker"]);
        world.create(&spec).await;
        world.create(&spec).await;
        let said = world.step(&spec, "id -un; touch /workspace/x $HOME/y /tmp/z && echo made").await;
        assert_eq!(said.text, "danube\nmade");
        world.delete(&spec).await;
        world.delete(&spec).await;
        assert!(world.sandbox.list().await.unwrap().is_empty());
        assert!(std::fs::read_dir(world.data().join("groups")).unwrap().next().is_none());
        assert_eq!(next(&mut world.sandbox.watch(&spec.attempt)).await, Some(GroupEvent::Gone));
    });
}

fn a_second_engine_finds_the_group(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-second", &["worker"]);
        world.create(&spec).await;
        let second = world.again();
        let found = second.list().await.unwrap();
        assert_eq!(
            found.iter().map(|group| (&group.attempt, group.running)).collect::<Vec<_>>(),
            [(&spec.attempt, true)]
        );
        second.create(&spec).await.unwrap();
        assert_eq!(world.step(&spec, "echo same").await.text, "same");
        second.delete(&spec.attempt).await.unwrap();
    });
}

fn monitor_of(world: &World, attempt: &AttemptId) -> Pid {
    let file = world.data().join("groups").join(attempt.to_string()).join("monitor.pid");
    Pid::from_raw(std::fs::read_to_string(file).unwrap().parse().unwrap()).unwrap()
}

fn a_killed_monitor_is_lost_and_leaves_nothing_alive(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-killed", &["worker", "coordinator"]);
        world.create(&spec).await;
        assert_eq!(world.step(&spec, "sleep 1000 >/dev/null 2>&1 & echo up").await.text, "up");
        let mut events = world.sandbox.watch(&spec.attempt);
        rustix::process::kill_process(monitor_of(&world, &spec.attempt), Signal::KILL).unwrap();
        loop {
            match next(&mut events).await.unwrap() {
                GroupEvent::Failed { kind, .. } => break assert_eq!(kind, GroupFailure::Lost),
                other => assert!(matches!(other, GroupEvent::State { .. }), "{other:?}"),
            }
        }
        assert!(!world.sandbox.list().await.unwrap()[0].running);
        world.delete(&spec).await;
        assert_eq!(next(&mut events).await, Some(GroupEvent::Gone));
        let open = world.sandbox.open(&spec.attempt, &"worker".parse().unwrap()).await;
        assert!(matches!(open, Err(RuntimeError::NotRunning(_))), "{open:?}");
    });
}

fn what_a_power_cut_left_of_a_group_is_lost(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-torn", &["coordinator"]);
        let folder = world.data().join("groups").join(spec.attempt.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        // Its own name for the record was not on the disk yet.
        std::fs::write(folder.join("spec.new"), "{").unwrap();
        let mut events = world.sandbox.watch(&spec.attempt);
        let told = next(&mut events).await;
        assert!(matches!(told, Some(GroupEvent::Failed { kind: GroupFailure::Lost, .. })), "{told:?}");
        world.delete(&spec).await;
        assert_eq!(next(&mut events).await, Some(GroupEvent::Gone));
    });
}

fn how_a_container_ended_is_told(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-ends", &["coordinator"]);
        world.create(&spec).await;
        let mut events = world.sandbox.watch(&spec.attempt);
        world.tell_to_exit(&spec, "coordinator", 7).await;
        let ended = loop {
            if let Some(GroupEvent::State { state: ContainerState::Terminated { exit_code, signal, .. }, .. }) =
                next(&mut events).await
            {
                break (exit_code, signal);
            }
        };
        assert_eq!(ended, (7, None));
        world.delete(&spec).await;
    });
}

fn what_the_engine_prepared_is_there(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let (dir, source) = (world.dir.path().join("w"), world.dir.path().join("s"));
        for (dir, text) in [(&dir, "tree\n"), (&source, "source\n")] {
            std::fs::create_dir_all(dir.join("deep")).unwrap();
            std::fs::write(dir.join("deep/file"), text).unwrap();
        }
        let mut spec = group("story-prepared", &["coordinator", "worker"]);
        spec.workspace = Workspace::Prepared { dir, objects: None };
        spec.source = Some(source);
        world.create(&spec).await;
        let said = world
            .step(&spec, "cat /workspace/deep/file; echo more >> /workspace/deep/file; ls /danube/src; echo")
            .await;
        assert!(said.text.starts_with("tree\n") && said.text.contains("No such file"), "{}", said.text);
        let said = world
            .run(
                &spec,
                "coordinator",
                "step",
                "cat /danube/src/deep/file; touch /danube/src/x; tail -1 /workspace/deep/file",
            )
            .await;
        assert!(
            said.text.starts_with("source") && said.text.contains("Read-only") && said.text.contains("more"),
            "{}",
            said.text
        );
        world.delete(&spec).await;
    });
}

/// Each deed fails, and with this word.
async fn denied(world: &World, spec: &GroupSpec, who: &str, deeds: &[(&str, &str)]) {
    for (deed, word) in deeds {
        let said = world.run(spec, "worker", who, deed).await;
        assert!(said.status != 0 && said.text.contains(word), "{who}: {deed}: {said:?}");
    }
}

fn a_step_reaches_nothing_of_the_host(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    let abstract_name = format!("danube-story-{}", std::process::id());
    let _listener = abstract_listener(&abstract_name);
    runtime.block_on(async {
        let mut spec = group("story-host", &["worker"]);
        let (data, prepared) = (world.data(), world.dir.path().join("w"));
        std::fs::create_dir(&prepared).unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), prepared.join("client")).unwrap();
        spec.workspace = Workspace::Prepared { dir: prepared, objects: None };
        world.create(&spec).await;
        for who in ["step", "root"] {
            denied(
                &world,
                &spec,
                who,
                &[
                    ("cat /etc/shadow", "No such file"),
                    (&format!("ls {}", data.display()), "No such file"),
                    ("ls /root/.ssh", "No such file"),
                    ("ls /var/lib", "No such file"),
                    ("ls /run/systemd", "No such file"),
                    ("ls /sys/fs/cgroup", "No such file"),
                    ("ls /dev/kmsg /dev/sda /dev/vda /dev/mem /dev/kvm", "No such file"),
                    ("head -c1 /proc/kcore | grep .", ""),
                    ("echo h > /proc/sysrq-trigger", "cannot create"),
                    ("echo x > /proc/sys/kernel/core_pattern", "Read-only"),
                    ("echo 1 > /proc/sys/net/ipv4/ip_forward", "Read-only"),
                    ("touch /usr/x", "Read-only"),
                    (&format!("kill -0 {}", std::process::id()), "No such process"),
                    (&format!("/workspace/client __client {abstract_name}"), "onnection refused"),
                ],
            )
            .await;
        }
        let pids = world.step(&spec, "ls /proc | grep -c '^[0-9]'").await;
        assert!(pids.text.parse::<u32>().unwrap() < 10, "{pids:?}");
        world.delete(&spec).await;
    });
}

fn abstract_listener(name: &str) -> std::os::unix::net::UnixListener {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    std::os::unix::net::UnixListener::bind_addr(&address).unwrap()
}

fn a_container_holds_no_power_over_its_kernel(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-power", &["worker"]);
        world.create(&spec).await;
        for who in ["step", "root"] {
            denied(
                &world,
                &spec,
                who,
                &[
                    ("mount -t tmpfs none /tmp", ""),
                    ("umount -n /proc/sys", ""),
                    ("unshare -U true", "Operation not permitted"),
                    ("unshare -m true", "Operation not permitted"),
                    ("unshare -n true", "Operation not permitted"),
                    ("nsenter -t 1 -n true", "nsenter: "),
                    ("ip link set lo down", "Operation not permitted"),
                    ("ip route add default dev lo", "Operation not permitted"),
                    ("ip addr add 10.9.9.9/32 dev lo", "Operation not permitted"),
                    ("mknod /tmp/disk b 254 0", "Operation not permitted"),
                    ("hostname other", "host name"),
                    ("dmesg", "not permitted"),
                    ("python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'", "not supported"),
                ],
            )
            .await;
        }
        let said = world
            .run(&spec, "worker", "root", "grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status | cut -f2")
            .await;
        let [bounding, privileges, filter] = said.text.lines().collect::<Vec<_>>()[..] else { panic!("{said:?}") };
        assert_eq!((privileges, filter), ("1", "2"));
        let bounding = u64::from_str_radix(bounding, 16).unwrap();
        let dangerous = [12, 13, 16, 17, 19, 21, 22, 24, 25, 27];
        assert!(dangerous.iter().all(|right| bounding & (1 << right) == 0), "{bounding:x}");
        world.delete(&spec).await;
    });
}

fn groups_do_not_see_each_other(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let (a, b) = (group("story-a", &["worker"]), group("story-b", &["worker"]));
        world.create(&a).await;
        world.create(&b).await;
        let server = "import socket; s = socket.create_server((\"127.0.0.1\", 8080)); print(\"up\", flush=True); import time; time.sleep(1000)";
        let script = format!("touch /tmp/mine /workspace/mine; (python3 -c '{server}' > /tmp/said 2>&1 &); until grep -qs up /tmp/said; do :; done; echo up");
        assert_eq!(world.step(&a, &script).await.text, "up");
        let look = "ls /tmp /workspace; python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8080))' 2>&1 | tail -1";
        let said = world.step(&b, look).await;
        assert!(!said.text.contains("mine") && said.text.contains("refused"), "{said:?}");
        world.delete(&a).await;
        assert_eq!(world.step(&b, "echo alive").await.text, "alive");
        world.delete(&b).await;
    });
}

/// A root file system with a shell, of this machine's own programs.
fn root_file_system(tar: &Path) {
    let programs = ["/bin/sh", "/usr/bin/cat", "/usr/bin/id", "/usr/bin/touch", "/usr/bin/rm"];
    let this = std::env::current_exe().unwrap();
    let linked = Command::new("ldd").args(programs).arg(&this).output().unwrap();
    let text = String::from_utf8(linked.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    let mut files: Vec<&str> = libraries.chain(programs).map(|path| path.trim_start_matches('/')).collect();
    files.sort_unstable();
    files.dedup();
    let done = Command::new("tar").args(["--hard-dereference", "-h", "-C", "/", "-cf"]).arg(tar).args(files).status();
    assert!(done.unwrap().success());
}

fn an_image_is_unpacked_once_and_never_written(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    let tar = world.dir.path().join("image.tar");
    root_file_system(&tar);
    runtime.block_on(async {
        for round in ["story-image-a", "story-image-b"] {
            let mut spec = group(round, &["worker"]);
            spec.containers[0].image = ImageSource::Tar(tar.clone());
            world.create(&spec).await;
            let said = world.step(&spec, "id -u; cat /new; rm /usr/bin/touch; echo text > /new; cat /new /etc/resolv.conf; echo x > /workspace/x && echo wrote").await;
            assert!(said.text.starts_with("0\n") && said.text.contains("No such file"), "{said:?}");
            assert!(said.text.contains("text\nnameserver") && said.text.ends_with("wrote"), "{said:?}");
            world.delete(&spec).await;
        }
        assert_eq!(std::fs::read_dir(world.data().join("images")).unwrap().count(), 2, "one image and its lock");
        world.clear_images().await;
    });
}

fn a_reference_says_what_to_do(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let mut spec = group("story-reference", &["worker"]);
        spec.containers[0].image = ImageSource::parse("127.0.0.1:1/rust:1.95");
        world.create(&spec).await;
        let mut events = world.sandbox.watch(&spec.attempt);
        loop {
            match next(&mut events).await.unwrap() {
                GroupEvent::Failed { kind, message } => {
                    assert_eq!(kind, GroupFailure::Image);
                    break assert!(message.contains("`127.0.0.1:1/rust:1.95`") && message.contains("HTTPS_PROXY"));
                }
                other => assert!(matches!(other, GroupEvent::State { .. }), "{other:?}"),
            }
        }
        world.delete(&spec).await;
    });
}

fn a_container_is_added_later(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-added", &["worker"]);
        world.create(&spec).await;
        world.step(&spec, "echo shared > /workspace/file").await;
        world.sandbox.add(&spec.attempt, &container("worker-2")).await.unwrap();
        let said =
            world.run(&spec, "worker-2", "step", "cat /workspace/file; echo more >> /workspace/file; echo $?").await;
        assert_eq!(said.text, "shared\n0");
        world.run(&spec, "worker-2", "step", "echo mark > /tmp/mark").await;
        world.again().add(&spec.attempt, &container("worker-2")).await.unwrap();
        assert_eq!(world.run(&spec, "worker-2", "step", "cat /tmp/mark").await.text, "mark", "it is the same one");
        world.delete(&spec).await;
        let refused = world.sandbox.add(&spec.attempt, &container("worker-3")).await;
        assert!(matches!(refused, Err(RuntimeError::NotRunning(_))), "{refused:?}");
    });
}

fn an_added_container_that_cannot_be_made_harms_no_other(runtime: &tokio::runtime::Runtime) {
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-unmade", &["worker"]);
        world.create(&spec).await;
        let missing = ContainerSpec { image: ImageSource::Tar("/nowhere.tar".into()), ..container("worker-2") };
        for _ in 0..2 {
            let refused = world.sandbox.add(&spec.attempt, &missing).await;
            let Err(RuntimeError::Refused { kind, message }) = refused else { panic!("{refused:?}") };
            assert_eq!(kind, GroupFailure::Image);
            assert!(message.contains("`tar:/nowhere.tar`"), "{message}");
        }
        let another = world.sandbox.add(&spec.attempt, &container("worker-2")).await;
        assert!(matches!(another, Err(RuntimeError::Refused { kind: GroupFailure::Config, .. })), "{another:?}");
        assert_eq!(world.step(&spec, "echo goes on").await.text, "goes on");
        world.delete(&spec).await;
    });
}

fn the_machine_is_told_as_it_is(_: &tokio::runtime::Runtime) {
    let probe = Command::new(std::env::current_exe().unwrap()).arg("__probe").output().unwrap();
    let text = String::from_utf8(probe.stdout).unwrap();
    for fact in ["user namespaces", "user ids", "overlay", "cgroups", "seccomp", "process limit"] {
        assert!(text.lines().any(|line| line.contains(fact)), "{fact}: {text}");
    }
    let ids = text.lines().find(|line| line.contains("user ids")).unwrap();
    let user = rustix::process::geteuid().as_raw();
    let expected = match user {
        0 => "root: ",
        crate::WITHOUT_RANGE => "one id",
        _ => "/etc/subuid",
    };
    assert!(ids.contains(expected), "{ids}");
}

/// Proportional memory of a process in KiB.
fn memory(pid: Pid) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero())).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn a_job_costs_little_memory(runtime: &tokio::runtime::Runtime) {
    const MOST_KIB: u64 = 8 * 1024;
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-memory", &["worker"]);
        world.create(&spec).await;
        world.step(&spec, "true").await;
        let monitor = monitor_of(&world, &spec.attempt);
        let children = format!("/proc/{0}/task/{0}/children", monitor.as_raw_nonzero());
        let keeper = std::fs::read_to_string(children).unwrap();
        let keeper = keeper.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().unwrap())).unwrap();
        let used = memory(monitor) + memory(keeper);
        assert!(used < MOST_KIB, "monitor and keeper use {used} KiB");
        world.delete(&spec).await;
    });
}

fn without_isolation_an_image_is_refused_with_a_word(runtime: &tokio::runtime::Runtime) {
    let world = World::with(|config| config.isolation = danube_sandbox::Isolation::None);
    runtime.block_on(async {
        let mut group = group("story-none", &["worker"]);
        group.containers[0].image = ImageSource::Tar("/nowhere.tar".into());
        let refused = world.sandbox.create(&group).await;
        let Err(RuntimeError::Refused { kind, message }) = refused else { panic!("{refused:?}") };
        assert_eq!(kind, GroupFailure::Config);
        assert!(message.contains("--isolation none"), "{message}");
    });
}
