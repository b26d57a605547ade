//! Signals from outside and from inside; and as PID 1, what a hostile step can do: nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Options, Shim, argv, sh};
use danube_proto::v1::signal_request::What;
use danube_proto::v1::{EndCause, InfoRequest, ShutdownRequest, StartRequest};
use rustix::process::Signal;

#[tokio::test]
async fn an_evicted_shim_serves_until_all_is_acknowledged() {
    let mut shim = Shim::worker();
    let mut master = shim.master().await;
    let step = sh("trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.01; done 2>/dev/null");
    let gone = StartRequest { grace_ms: 100, ..sh("trap '' TERM; echo up; while :; do sleep 0.01; done") };
    for step in [&step, &gone] {
        master.start(step).await.unwrap();
        master.until(&step.step_id, "up").await;
    }
    shim.signal(Signal::TERM);
    let ran = master.follow(&step.step_id).await;
    assert_eq!((ran.end.cause(), ran.end.exit_code), (EndCause::Evicted, 9));
    assert!(ran.text().ends_with("bye\n"), "{}", ran.text());
    assert!(master.start(&sh("true")).await.is_err(), "no more steps");
    let ran = master.follow(&gone.step_id).await;
    assert_eq!((ran.end.cause(), ran.end.signal), (EndCause::Evicted, 9));
    assert_eq!(shim.exit_code().await, Some(143));
}

#[tokio::test]
async fn a_signal_reaches_the_main_process_and_a_stop_reaches_all() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let step = sh("trap 'echo usr1' USR1; echo up; while :; do sleep 0.01; done");
    master.start(&step).await.unwrap();
    master.until(&step.step_id, "up").await;
    assert!(master.signal(&step.step_id, What::Signal(10)).await);
    master.until(&step.step_id, "usr1").await;
    assert!(master.signal(&step.step_id, What::Signal(15)).await);
    let end = master.follow(&step.step_id).await.end;
    assert_eq!((end.cause(), end.signal, end.exit_code), (EndCause::Stopped, 15, 143));

    let step = sh("sleep 1d & echo up; wait");
    master.start(&step).await.unwrap();
    master.until(&step.step_id, "up").await;
    assert!(master.signal(&step.step_id, What::Stop(true)).await);
    let end = master.follow(&step.step_id).await.end;
    assert_eq!((end.cause(), end.signal), (EndCause::Stopped, 15));

    let end = master.run(&sh("kill -SEGV $$")).await.end;
    assert_eq!((end.cause(), end.signal, end.exit_code), (EndCause::Exited, 11, 139));
}

#[tokio::test]
async fn shutdown_ends_everything_and_exits_with_the_masters_code() {
    let mut shim = Shim::worker();
    let mut master = shim.master().await;
    let step = sh("trap '' TERM; setsid sleep 1d & echo $! $$; wait");
    master.start(&step).await.unwrap();
    let pids = master.until(&step.step_id, "\n").await;
    master.client.shutdown(ShutdownRequest { exit_code: 42 }).await.unwrap();
    assert_eq!(shim.exit_code().await, Some(42));
    for pid in pids.split_whitespace() {
        assert!(!lives(pid), "{pid} lives on");
    }
}

/// Whether a process is there and has not ended: who inherits the dead of a shim may be slow to look at them.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A shim as PID 1 of its own namespaces, where its steps are root as far as they can see.
fn pid_one() -> Option<Shim> {
    pid_one_options().map(Options::start)
}

fn pid_one_options() -> Option<Options> {
    let wrapper = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let works = std::process::Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").output();
    if !works.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no user namespaces here");
        return None;
    }
    Some(Options::worker().through(&wrapper))
}

#[tokio::test]
async fn a_root_step_cannot_end_stop_read_or_trace_pid_one() {
    let Some(shim) = pid_one() else { return };
    let mut master = shim.master().await;
    let cases = [
        ("kill -9 1; kill -STOP 1; kill -INT 1; kill -HUP 1; kill -SEGV 1; true", "kill"),
        ("i=0; while [ $i -lt 100 ]; do kill -TERM 1; i=$((i+1)); done", "term"),
        ("! cat /proc/1/environ 2>/dev/null", "environ"),
        ("for fd in /proc/1/fd/*; do if readlink $fd || cat $fd < /dev/null; then exit 1; fi; done 2>/dev/null", "fd"),
        ("! cat /proc/1/maps 2>/dev/null | grep .", "maps"),
        ("! dd if=/proc/1/mem of=/dev/null bs=1 count=1 skip=4194304 2>/dev/null", "mem"),
        ("! sh -c 'echo x > /proc/1/mem' 2>/dev/null", "write"),
        ("! ls /proc/1/cwd/ /proc/1/root/ 2>/dev/null | grep .", "root"),
        ("! readlink /proc/1/exe", "exe"),
        ("! nsenter -t 1 -m true 2>/dev/null", "nsenter"),
        ("test $(cat /proc/self/oom_score_adj) = 1000", "badness"),
    ];
    for (script, name) in cases {
        let ran = master.run(&sh(script)).await;
        assert_eq!(ran.end.exit_code, 0, "{name}: {}", ran.text());
    }
    let forged = "import ctypes,os,signal,struct\nlibc=ctypes.CDLL(None)\n\
        info=ctypes.create_string_buffer(struct.pack('iiiiii',15,0,-1,0,0,0),128)\n\
        print(libc.syscall(129,1,15,info))\n\
        PTRACE_SEIZE=0x4206\nprint(libc.ptrace(PTRACE_SEIZE,1,0,0))\n\
        buf=ctypes.create_string_buffer(8)\niov=struct.pack('PN',ctypes.addressof(buf),8)\nr=struct.pack('PN',0x400000,8)\n\
        print(libc.process_vm_readv(1,iov,1,r,1,0))\nprint(libc.syscall(438,libc.syscall(434,1,0),3,0))";
    let ran = master.run(&argv(&["/usr/bin/python3", "-c", forged])).await;
    // The forged signal is sent, and means nothing; tracing, reading memory and taking a descriptor are refused.
    if ran.end.exit_code == 0 {
        assert_eq!(ran.text(), "0\n-1\n-1\n-1\n");
    } else {
        assert_eq!(ran.end.cause(), EndCause::NotStarted, "{}", ran.text());
    }
    // Alive, and taking steps.
    assert_eq!(master.run(&sh("echo $PPID")).await.text(), "1\n");
    assert_eq!(master.client.info(InfoRequest {}).await.unwrap().into_inner().nonce, "the-nonce");
}

#[tokio::test]
async fn pid_one_ends_daemons_and_bombs() {
    let Some(shim) = pid_one() else { return };
    let mut master = shim.master().await;
    let daemon = "(env -i setsid sh -c 'echo > up; exec sleep 1d' &); until [ -e up ]; do :; done";
    assert_eq!(master.run(&sh(daemon)).await.end.killed_processes, 1);
    let bomb = "while :; do setsid sh -c \"$BOMB\" & done 2>/dev/null";
    let mut step = StartRequest {
        grace_ms: 100,
        ..sh(&format!("echo 400 > /proc/sys/kernel/pid_max || exit 3; echo lit; {bomb}"))
    };
    step.env.insert("BOMB".into(), bomb.into());
    master.start(&step).await.unwrap();
    let mut attached = master.attach(&step.step_id, 0).await.unwrap();
    match attached.next().await.unwrap() {
        danube_proto::v1::attach_reply::Of::Chunk(chunk) if chunk.data.starts_with(b"lit") => {}
        other => return eprintln!("skipped: pid_max is not per namespace here: {other:?}"),
    }
    master.signal(&step.step_id, What::Stop(true)).await;
    // The bomb's own shell gives up when it cannot fork any more, which may be before it is stopped.
    let cause = master.follow(&step.step_id).await.end.cause();
    assert!([EndCause::Stopped, EndCause::Exited].contains(&cause), "{cause:?}");
    // The shim and the shell that asks: a pipe's other end may be there or not when it is looked for.
    assert_eq!(master.run(&sh("set -- /proc/[0-9]*; echo $#")).await.text(), "2\n");
}

#[tokio::test]
async fn a_socket_with_a_path_answers_only_those_from_outside() {
    let Some(options) = pid_one_options() else { return };
    let shim = options.by_path().start();
    let mut master = shim.master().await;
    let connect = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(60)\n\
        try: print(len(s.recv(100)))\nexcept ConnectionError: print(0)";
    let ran = master.run(&argv(&["/usr/bin/python3", "-c", connect, shim.socket.to_str().unwrap()])).await;
    if ran.end.cause() != EndCause::NotStarted {
        assert_eq!(ran.text(), "0\n", "a server that speaks HTTP/2 would have sent its settings");
    }
    assert!(master.client.info(InfoRequest {}).await.is_ok());
}

#[tokio::test]
async fn pid_one_heeds_a_term_from_outside() {
    let Some(mut shim) = pid_one() else { return };
    let mut master = shim.master().await;
    let step = sh("trap 'exit 8' TERM; echo up; while :; do sleep 0.01; done 2>/dev/null");
    master.start(&step).await.unwrap();
    master.until(&step.step_id, "up").await;
    // The wrapper's only child is the shim.
    let wrapper = shim.child.id();
    let children = std::fs::read_to_string(format!("/proc/{wrapper}/task/{wrapper}/children")).unwrap();
    let pid = rustix::process::Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let end = master.follow(&step.step_id).await.end;
    assert_eq!((end.cause(), end.exit_code), (EndCause::Evicted, 8));
    assert_eq!(shim.exit_code().await, Some(143));
}
