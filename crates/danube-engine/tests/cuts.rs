//! Streams that are cut at every byte of a small exchange, both ways, below the real engine: each step's log is whole
//! and each step was started once. `danube/tests/cuts.rs` does the same with the real binary, at random.

mod world;

use std::sync::Arc;

use danube_core::job::JobStatus;
use danube_testutils::{Cut, Script, StepScript, sha256};
use world::World;

/// Bytes towards the engine that are tried one by one.
const SAMPLE: u64 = 4096;
/// The first ones are greetings, in which a job does not come on. An engine itself says no more than that before the
/// other way is cut.
const GREETING: u64 = 1024;
/// Streams that are cut in one job.
const STREAMS: u64 = 128;
/// So many bytes carry a job on.
const ENOUGH: u64 = 6000;
/// Jobs at once.
const JOBS: usize = 8;

/// More than a batch of connections can carry.
fn steps() -> Vec<StepScript> {
    let output = |n: u8| (0..200_000_u32).map(|at| n.wrapping_add((at % 251) as u8)).collect();
    (0..4).map(|n| StepScript { output: output(n), ..StepScript::default() }).collect()
}

#[test]
fn cut_at_every_byte_nothing_is_lost_and_nothing_starts_twice() {
    let half = usize::try_from(STREAMS / 2).expect("small");
    let whole = usize::try_from(STREAMS).expect("small");
    let greeting = (0..GREETING).step_by(half).flat_map(|first| [(first, true), (first, false)]);
    let batches: Vec<_> = greeting.chain((GREETING..SAMPLE).step_by(whole).map(|first| (first, false))).collect();
    for jobs in batches.chunks(JOBS) {
        std::thread::scope(|scope| jobs.iter().for_each(|job| drop(scope.spawn(|| alone(*job)))));
    }
}

/// One job on a thread of its own.
fn alone((first, to_shim): (u64, bool)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(cut(first, to_shim));
}

/// Cuts streams at one byte after the other from `first` on, one way. In a greeting only every other one, so that the
/// job comes on.
async fn cut(first: u64, to_shim: bool) {
    let cuts = move |nth: u64| {
        let at = if first < GREETING { first + nth / 2 } else { first + nth };
        let (to_shim, to_engine) = match (first < GREETING && nth % 2 == 1, to_shim) {
            (true, _) => (u64::MAX, ENOUGH),
            (false, true) => (at, ENOUGH),
            (false, false) => (u64::MAX, at),
        };
        (nth < STREAMS).then_some(Cut { to_shim, to_engine })
    };
    let script = Script { cuts: Some(Arc::new(cuts)), ..Script::of(&steps()) };
    let ran = World::run(script).await;
    assert_eq!(
        ran.verdict.status,
        JobStatus::Success,
        "from byte {first}, to shim {to_shim}: {:?}",
        ran.verdict.reason
    );
    for row in &ran.steps {
        let content = ran.log(row.number);
        assert_eq!(row.sha256.as_deref(), Some(&sha256(&content)[..]), "from byte {first}, to shim {to_shim}");
    }
    assert!(ran.opened > STREAMS, "only {} streams were needed: the batch was not tried", ran.opened);
    assert_eq!(ran.starts.len(), 5, "four steps and the danubefile");
    assert!(ran.starts.iter().all(|(_, count)| *count == 1), "{:?}", ran.starts);
}
