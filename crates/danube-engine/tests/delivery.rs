//! The job's files over its containers' streams, which die at random bytes meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use danube_core::job::{FailureKind, JobStatus};
use danube_engine::job::delivery::Delivery;
use danube_testutils::{Cut, Random, Script, StepScript, seed};
use world::{World, plan};

/// What a tar holds: mode, and content or where a link leads.
fn entries(tar: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: Result<tar::Entry<'_, &[u8]>, std::io::Error>| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        match entry.link_name().unwrap() {
            Some(target) => content.extend_from_slice(target.to_string_lossy().as_bytes()),
            None => drop(entry.read_to_end(&mut content).unwrap()),
        }
        (path, (entry.header().mode().unwrap() & 0o777, content))
    };
    archive.entries().unwrap().map(read).collect()
}

fn files(dir: &Path) -> Delivery {
    let delivery = Delivery { workspace: dir.join("workspace"), source: dir.join("source") };
    fs::create_dir_all(delivery.workspace.join("src/deep")).unwrap();
    fs::create_dir(&delivery.source).unwrap();
    fs::write(delivery.workspace.join("src/deep/large"), vec![7; 300_000]).unwrap();
    fs::write(delivery.workspace.join("run.sh"), "true").unwrap();
    fs::set_permissions(delivery.workspace.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/shadow", delivery.workspace.join("link")).unwrap();
    fs::write(delivery.source.join("danubefile.py"), "pass").unwrap();
    delivery
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trees_arrive_whole_before_the_danubefile_starts_however_often_the_stream_is_cut() {
    let mut random = Random(seed());
    let left = Arc::new(AtomicU64::new(12));
    let at: Vec<u64> = (0..64).map(|_| 200 + random.below(120_000) as u64).collect();
    let cuts = move |_, n: u64| {
        let any = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        any.then(|| Cut { to_shim: at[usize::try_from(n).unwrap() % at.len()], to_engine: u64::MAX })
    };
    let dir = tempfile::tempdir().unwrap();
    let delivery = files(dir.path());
    let step = StepScript { output: b"done\n".to_vec(), ..StepScript::default() };
    let script = Script { cuts: Some(Arc::new(cuts)), ..Script::of(&[step]) };
    let mut plan = plan();
    plan.delivery = Some(delivery);
    let ran = World::run_plan(script, plan).await;
    assert_eq!(ran.verdict.status, JobStatus::Success, "{:?}", ran.verdict);
    assert!(ran.cut > 0, "nothing was cut");
    let received: BTreeMap<String, Vec<u8>> = ran.received.into_iter().collect();
    let workspace = entries(&received["workspace"]);
    assert_eq!(workspace.keys().collect::<Vec<_>>(), ["link", "run.sh", "src", "src/deep", "src/deep/large"]);
    assert_eq!(workspace["run.sh"], (0o755, b"true".to_vec()));
    assert_eq!(workspace["link"].1, b"/etc/shadow");
    assert!(workspace["src/deep/large"].1 == vec![7; 300_000]);
    assert_eq!(entries(&received["source"]).keys().collect::<Vec<_>>(), ["danubefile.py"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_not_there_are_no_success() {
    let mut plan = plan();
    plan.delivery = Some(Delivery { workspace: "/nonexistent".into(), source: "/nonexistent".into() });
    let ran = World::run_plan(Script::of(&[StepScript::default()]), plan).await;
    let reason = ran.verdict.reason.expect("a reason");
    assert!(reason.message.contains("files did not reach"), "{}", reason.message);
    // The context may be there already: it travels beside the files.
    let received: Vec<&str> = ran.received.iter().map(|(id, _)| id.as_str()).filter(|id| *id != "context").collect();
    assert!(reason.kind == FailureKind::Infra && received.is_empty(), "{reason:?}: {received:?}");
}
