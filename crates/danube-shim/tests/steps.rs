//! Steps: started once, ended with their main process, with all that the shim guarantees.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Options, Shim, argv, script_of, sh};
use danube_proto::v1::{EndCause, InfoRequest, ListRequest, SecretFile, StartRequest};
use tonic::Code;

#[tokio::test]
async fn a_step_starts_once() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let step = sh("echo once >> count; echo done");
    assert!(!master.start(&step).await.unwrap());
    assert!(master.start(&step).await.unwrap());
    assert_eq!(master.follow(&step.step_id).await.text(), "done\n");
    assert!(master.start(&step).await.unwrap());
    assert_eq!(std::fs::read_to_string(shim.workspace().join("count")).unwrap(), "once\n");

    let other = StartRequest { spec_hash: vec![7; 32].into(), ..step };
    let refused = master.start(&other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("STEP_CONFLICT"), "{refused}");
}

#[tokio::test]
async fn a_step_ends_with_its_main_process_though_a_child_holds_the_pipe() {
    let shim = Shim::worker();
    let ran = shim.master().await.run(&sh("sleep 1d & echo $!; exit 3")).await;
    assert_eq!((ran.end.exit_code, ran.end.cause(), ran.end.killed_processes), (3, EndCause::Exited, 1));
    assert_gone(ran.text().trim());
}

#[tokio::test]
async fn a_daemon_ends_with_its_step_too() {
    let shim = Shim::worker();
    // Two forks, a session of its own, and nothing of the step's environment.
    let ran = shim
        .master()
        .await
        .run(&sh("(env -i setsid sh -c 'echo $$ > pid; exec sleep 1d' &); until [ -s pid ]; do :; done; cat pid"))
        .await;
    assert_eq!((ran.end.exit_code, ran.end.killed_processes), (0, 1));
    assert_gone(ran.text().trim());
}

#[tokio::test]
async fn a_daemon_is_told_from_other_steps_by_its_mark() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let long = sh("echo up; exec sleep 1d");
    let short = sh("(setsid sh -c 'echo $$ > pid; exec sleep 1d' &); until [ -s pid ]; do :; done; cat pid");
    master.start(&long).await.unwrap();
    master.until(&long.step_id, "up").await;
    let ran = master.run(&short).await;
    assert_eq!(ran.end.killed_processes, 1);
    assert_gone(ran.text().trim());
    master.signal(&long.step_id, danube_proto::v1::signal_request::What::Kill(true)).await;
    let ran = master.follow(&long.step_id).await;
    assert_eq!((ran.end.cause(), ran.end.killed_processes), (EndCause::Stopped, 0));
}

#[tokio::test]
async fn a_leftover_that_ignores_term_is_killed_after_the_grace() {
    let shim = Shim::worker();
    let script = "(trap '' TERM; echo deaf; while :; do sleep 1; done) & while ! [ -s seen ]; do echo x > seen; done";
    let step = StartRequest { grace_ms: 50, ..sh(script) };
    let ran = shim.master().await.run(&step).await;
    assert_eq!(ran.end.exit_code, 0);
    assert!(ran.end.killed_processes >= 1, "{:?}", ran.end);
}

#[tokio::test]
async fn a_fork_bomb_is_killed_to_the_last_process() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    // Each generation leaves its session; the bomb is bounded by the number of processes of an otherwise unused id.
    let bomb = "ulimit -u 300; echo lit; while :; do setsid sh -c \"$BOMB\" & done 2>/dev/null";
    let mut step = StartRequest { user: "54321:54321".into(), grace_ms: 100, ..script_of("bash", bomb) };
    step.env.insert("BOMB".into(), "while :; do setsid sh -c \"$BOMB\" & done 2>/dev/null".into());
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can run it as somebody else");
    }
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(shim.folder.path(), open.clone()).unwrap();
    std::fs::set_permissions(shim.workspace(), open).unwrap();
    master.start(&step).await.unwrap();
    master.until(&step.step_id, "lit").await;
    master.signal(&step.step_id, danube_proto::v1::signal_request::What::Stop(true)).await;
    let ran = master.follow(&step.step_id).await;
    assert_eq!(ran.end.cause(), EndCause::Stopped);
    assert_eq!(ran.end.message, "");
    assert_eq!(processes_of(54321), 0);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    std::fs::write(shim.workspace().join("plain"), "hello").unwrap();
    std::fs::write(shim.workspace().join("noformat"), "hello").unwrap();
    std::fs::set_permissions(shim.workspace().join("noformat"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (argv(&["no-such-program"]), 127, "no-such-program: not found"),
        (argv(&["./plain"]), 126, "./plain: not executable"),
        (argv(&["./noformat"]), 126, "not a program for this machine"),
        (StartRequest { cwd: "missing".into(), ..sh("true") }, 126, "workspace/missing cannot be entered"),
        (argv(&["true", &"x".repeat(200_000)]), 126, "too long"),
    ];
    for (step, code, words) in cases {
        let end = master.run(&step).await.end;
        assert_eq!((end.exit_code, end.cause()), (code, EndCause::NotStarted), "{words}");
        assert!(end.message.contains(words), "{}", end.message);
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_and_leaves_no_record() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let env = |name: &str, value: &str| {
        let mut step = sh("true");
        step.env.insert(name.into(), value.into());
        step
    };
    let cases = [
        StartRequest { step_id: vec![1; 15].into(), ..sh("true") },
        StartRequest { spec_hash: Vec::new().into(), ..sh("true") },
        StartRequest { command: None, ..sh("true") },
        StartRequest { user: "root".into(), ..sh("true") },
        StartRequest { cwd: "a\0b".into(), ..sh("true") },
        script_of("fish", "true"),
        sh(&"#".repeat(256 * 1024 + 1)),
        argv(&[]),
        argv(&["a\0b"]),
        env("A=B", "x"),
        env("", "x"),
        env("A", "x\0"),
    ];
    for step in cases {
        assert_eq!(master.start(&step).await.unwrap_err().code(), Code::InvalidArgument, "{step:?}");
    }
    assert_eq!(master.client.list(ListRequest {}).await.unwrap().into_inner().steps, []);
}

#[tokio::test]
async fn the_environment_arrives_exactly_and_without_the_shims_own() {
    let shim = Options::worker().env("FROM_IMAGE", "yes").start();
    let mut step = argv(&["env", "-0"]);
    step.env.insert("ODD".into(), "a=b\n\"'$(id) \u{fc}".into());
    let text = shim.master().await.run(&step).await.text();
    let lines: Vec<&str> = text.split('\0').collect();
    assert!(lines.contains(&"ODD=a=b\n\"'$(id) \u{fc}") && lines.contains(&"FROM_IMAGE=yes"), "{lines:?}");
    assert!(!text.contains("DANUBE_SHIM_") && !text.contains("the-nonce"), "{lines:?}");
}

#[tokio::test]
async fn a_hostile_environment_changes_the_step_and_not_the_shim() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    std::fs::write(shim.workspace().join("sh"), "#!/bin/sh\necho mine\n").unwrap();
    std::fs::set_permissions(shim.workspace().join("sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut step = sh("echo real");
    let here = shim.workspace().to_str().unwrap().to_owned();
    for (name, value) in [("PATH", here.as_str()), ("LD_PRELOAD", "/nonexistent.so"), ("DANUBE_SHIM_NONCE", "mine")] {
        step.env.insert(name.into(), value.into());
    }
    let text = master.run(&step).await.text();
    assert!(text.ends_with("real\n"), "{text}");
    assert_eq!(master.client.info(InfoRequest {}).await.unwrap().into_inner().nonce, "the-nonce");
    assert_eq!(master.run(&argv(&["echo", "still"])).await.text(), "still\n");
}

#[tokio::test]
async fn a_step_has_a_session_of_its_own_and_three_descriptors() {
    let shim = Shim::worker();
    let script = "read -r pid _ _ _ group session _ < /proc/self/stat; echo $((session == $$ && group == $$))
        readlink /proc/self/fd/0; ls -m /proc/$$/fd; umask; cat /proc/self/oom_score_adj
        grep -E 'NoNewPrivs|SigIgn|SigBlk' /proc/self/status | tr -d '\\t '";
    let text = shim.master().await.run(&sh(script)).await.text();
    let lines: Vec<&str> = text.lines().collect();
    // dash keeps its script open as 10; it is closed on exec. No pipeline lists them: the shell would hold its pipe.
    assert_eq!(lines[0..2], ["1", "/dev/null"], "{text}");
    assert!(lines[2] == "0, 1, 10, 2" || lines[2] == "0, 1, 2, 255", "{text}");
    assert_eq!(lines[3..5], ["0002", "1000"], "{text}");
    let calm = ["SigBlk:0000000000000000", "SigIgn:0000000000000000", "NoNewPrivs:1"];
    assert!(calm.iter().all(|line| lines.contains(line)), "{text}");
    let own = argv(&["ls", "/proc/self/fd"]);
    assert_eq!(shim.master().await.run(&own).await.text(), "0\n1\n2\n3\n");
}

#[tokio::test]
async fn a_step_runs_as_its_user_without_capabilities() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can become somebody else");
    }
    let shim = Options::worker().env("DANUBE_SHIM_USER", "54322:54323,7,8").start();
    std::fs::set_permissions(shim.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script =
        "id -u; id -g; id -G; grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f2 | sort -u; cat \"$0\"";
    let mut step = sh(script);
    step.secret_files.push(SecretFile { env: "KEY".into(), content: "hush".into() });
    let text = shim.master().await.run(&step).await.text();
    assert!(text.starts_with("54322\n54323\n54323 7 8\n0000000000000000\nid -u"), "{text}");

    let root = StartRequest { user: "0:0".into(), ..argv(&["grep", "CapBnd", "/proc/self/status"]) };
    let held = shim.master().await.run(&root).await.text();
    let held = u64::from_str_radix(held.split_whitespace().last().unwrap(), 16).unwrap();
    let (sys_ptrace, mknod, net_raw, sys_admin, audit_write) = (19, 27, 13, 21, 29);
    assert_eq!([sys_ptrace, mknod, net_raw, sys_admin, audit_write].map(|bit| held >> bit & 1), [0; 5], "{held:x}");
}

#[tokio::test]
async fn secret_files_can_be_read_by_the_step_and_are_gone_with_it() {
    let shim = Shim::worker();
    let mut step = sh("cat \"$KEY\"; echo; stat -c %a \"$KEY\"; stat -f -c %T \"$KEY\"; echo \"$KEY\"");
    step.secret_files.push(SecretFile { env: "KEY".into(), content: "hush\0".into() });
    let output = shim.master().await.run(&step).await.output();
    assert!(output.starts_with(b"hush\0\n400\ntmpfs\n"), "{}", String::from_utf8_lossy(&output));
    let path = String::from_utf8_lossy(&output[7..]).lines().last().unwrap().to_owned();
    assert!(path.starts_with('/') && !std::path::Path::new(&path).exists(), "{path}");
}

#[tokio::test]
async fn a_script_runs_with_e_and_its_errors_name_the_step() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let ran = master.run(&sh("echo a\nno-such-command\necho b")).await;
    let text = ran.text();
    assert!(ran.end.exit_code == 127 && text.contains("/step: 2: no-such-command: not found"), "{text}");
    assert!(!text.contains("\nb\n"), "{text}");
    let ran = master.run(&script_of("bash", "[[ $BASH_VERSION ]] && echo ${BASH_SOURCE##*/}; set -o pipefail")).await;
    assert_eq!((ran.text().as_str(), ran.end.exit_code), ("step\n", 0));
}

#[tokio::test]
async fn a_terminal_is_a_terminal() {
    let shim = Shim::worker();
    let script = "test -t 1 && test -t 2 && ! test -t 0 && stty size < /dev/tty; echo end > /dev/tty";
    let ran = shim.master().await.run(&StartRequest { tty: true, ..sh(script) }).await;
    assert_eq!((ran.text().as_str(), ran.end.exit_code), ("40 120\r\nend\r\n", 0));
}

#[tokio::test]
async fn captures_hold_the_first_bytes_of_each_stream() {
    let shim = Shim::worker();
    let step = StartRequest { separate: true, capture_limit: 4, ..sh("echo out; echo error >&2") };
    let ran = shim.master().await.run(&step).await;
    assert_eq!((&ran.end.stdout[..], &ran.end.stderr[..]), (&b"out\n"[..], &b"erro"[..]));
    assert_eq!((ran.end.stdout_truncated, ran.end.stderr_truncated), (false, true));
    let of = |stream| ran.chunks.iter().filter(|c| c.stream == stream).map(|c| c.data.len()).sum::<usize>();
    assert_eq!((of(1), of(2), ran.end.bytes), (4, 6, 10));
}

#[tokio::test]
async fn a_memory_limit_that_cannot_be_held_is_said() {
    let shim = Shim::worker();
    let ran = shim.master().await.run(&StartRequest { memory_limit: 1 << 20, ..sh("true") }).await;
    assert!(ran.end.message.contains("memory limit of 1048576 bytes was not held"), "{}", ran.end.message);
}

#[tokio::test]
async fn two_hundred_steps_at_once_keep_their_output_apart() {
    let shim = Shim::worker();
    let master = shim.master().await;
    let runs = (0..200).map(|n| {
        let mut master = master.clone();
        let step = sh(&format!("for i in 1 2 3; do echo marker-{n}-$i; done"));
        tokio::spawn(async move { (n, master.run(&step).await.text()) })
    });
    for run in runs.collect::<Vec<_>>() {
        let (n, text) = run.await.unwrap();
        assert_eq!(text, format!("marker-{n}-1\nmarker-{n}-2\nmarker-{n}-3\n"));
    }
}

fn assert_gone(pid: &str) {
    assert!(pid.parse::<u32>().is_ok(), "{pid:?}");
    assert!(!std::path::Path::new("/proc").join(pid).exists(), "process {pid} is still there");
}

fn processes_of(uid: u32) -> usize {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| entry.metadata().is_ok_and(|found| found.uid() == uid)).count()
}
