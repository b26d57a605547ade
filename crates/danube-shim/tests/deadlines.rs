//! Deadlines hold while nobody listens; a shim that nobody comes back to ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Options, Shim, sh};
use danube_proto::limits::SPOOL_BYTES;
use danube_proto::v1::{EndCause, ListRequest, StartRequest};
use tonic::Code;

#[tokio::test]
async fn a_step_past_its_deadline_is_told_and_then_killed() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let polite = StartRequest { timeout_ms: 50, ..sh("trap 'echo bye; exit 4' TERM; while :; do sleep 0.01; done") };
    let ran = master.run(&polite).await;
    assert_eq!((ran.end.cause(), ran.end.exit_code), (EndCause::TimedOut, 4));
    assert!(ran.text().ends_with("bye\n"), "{}", ran.text());

    let deaf = StartRequest { timeout_ms: 50, grace_ms: 50, ..sh("trap '' TERM; while :; do sleep 0.01; done") };
    let ran = master.run(&deaf).await;
    assert_eq!((ran.end.cause(), ran.end.signal, ran.end.exit_code), (EndCause::TimedOut, 9, 137));
}

#[tokio::test]
async fn a_stopped_process_is_ended_too() {
    let shim = Shim::worker();
    let step = StartRequest { timeout_ms: 50, ..sh("trap 'exit 5' TERM; kill -STOP $$; exit 6") };
    let ran = shim.master().await.run(&step).await;
    assert_eq!(ran.end.cause(), EndCause::TimedOut);
    assert!([5, 6].contains(&ran.end.exit_code), "{:?}", ran.end);
}

#[tokio::test]
async fn a_deadline_passes_while_the_master_is_away() {
    let shim = Shim::worker();
    let step = StartRequest { timeout_ms: 50, ..sh("echo x; exec sleep 1d") };
    shim.master().await.start(&step).await.unwrap();
    let ran = shim.master().await.follow(&step.step_id).await;
    assert_eq!((ran.end.cause(), ran.end.signal, ran.text().as_str()), (EndCause::TimedOut, 15, "x\n"));
}

#[tokio::test]
async fn a_deadline_that_passes_over_a_full_spool_is_the_masters_fault() {
    let shim = Options::worker().env("DANUBE_SHIM_PRIVATE", "{}").start();
    let mut master = shim.master().await;
    // Long enough to fill the spool, short enough to wait for.
    let step = StartRequest { timeout_ms: 3000, ..sh("exec cat /dev/zero") };
    master.start(&step).await.unwrap();
    // Only acknowledging gives room: reading the whole spool without does not.
    let mut attached = master.attach(&step.step_id, 0).await.unwrap();
    let mut read = 0;
    while read < SPOOL_BYTES {
        if let danube_proto::v1::attach_reply::Of::Chunk(chunk) = attached.next().await.unwrap() {
            read += chunk.data.len() as u64;
        }
    }
    // Wait for the process's end, which frees nothing: the shim must not have read on.
    let full = master.client.list(ListRequest {}).await.unwrap().into_inner().steps.remove(0);
    assert_eq!((full.bytes, full.acked), (SPOOL_BYTES, 0));
    while processes_named("cat", &shim) > 0 {
        tokio::task::yield_now().await;
    }
    let ran = master.follow(&step.step_id).await;
    assert_eq!((ran.end.cause(), ran.end.signal), (EndCause::MasterAway, 15));
    assert!(ran.end.bytes >= SPOOL_BYTES);
}

#[tokio::test]
async fn a_shim_without_a_master_stops_its_steps_and_exits() {
    let mut shim = Options::worker().env("DANUBE_SHIM_ORPHAN_GRACE_S", "0.2").start();
    let step = sh("echo $$ > pid; exec sleep 1d");
    shim.master().await.start(&step).await.unwrap();
    assert_eq!(shim.exit_code().await, Some(75));
    let pid = std::fs::read_to_string(shim.workspace().join("pid")).unwrap();
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists());
}

#[tokio::test]
async fn a_master_that_comes_late_still_hears_the_end() {
    let mut shim = Options::worker().env("DANUBE_SHIM_ORPHAN_GRACE_S", "0.2").start();
    let script = "trap 'echo told > told; until [ -e back ]; do sleep 0.01; done; exit 6' TERM
        while :; do sleep 0.01; done";
    let step = sh(script);
    shim.master().await.start(&step).await.unwrap();
    while !shim.workspace().join("told").exists() {
        tokio::task::yield_now().await;
    }
    let mut master = shim.master().await;
    std::fs::write(shim.workspace().join("back"), "").unwrap();
    let end = master.follow(&step.step_id).await.end;
    assert_eq!((end.cause(), end.exit_code), (EndCause::Orphaned, 6));
    let late = master.start(&sh("true")).await;
    assert!(late.is_err_and(|status| matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)));
    assert_eq!(shim.exit_code().await, Some(75));
}

fn processes_named(name: &str, shim: &Shim) -> usize {
    let children = format!("/proc/{0}/task/{0}/children", shim.child.id());
    let children = std::fs::read_to_string(children).unwrap();
    let named = |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
    children.split_whitespace().filter(named).count()
}
