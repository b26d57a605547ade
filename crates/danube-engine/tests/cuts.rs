//! Streams that are cut at every byte of a small exchange, both ways, below the real engine: each step's log is whole
//! and each step was started once. `danube/tests/cuts.rs` does the same with the real binary, at random.

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use danube_core::job::JobStatus;
use danube_core::runtime::Role;
use danube_testutils::{Cut, Script, StepScript, sha256};
use world::World;

/// Bytes each way between engine and worker that are tried one by one.
const SAMPLE: u64 = 4096;
/// Streams that are cut in one job.
const STREAMS: u64 = 128;
/// A stream cut early carries nothing: every fourth lives for so many bytes, so that the job comes on. That is some
/// output, or one part of a script that goes by file.
const EVERY: u64 = 4;
const ENOUGH: u64 = 6000;
const ENOUGH_TO_SHIM: u64 = 80_000;
/// Bytes of a step that its shim keeps, in the test of a full spool.
const SPOOL: u64 = 3000;
/// Jobs at once.
const JOBS: usize = 12;

/// One job: its streams into one container are cut one way, at one byte after the other from the first on.
#[derive(Clone, Copy, Debug)]
struct Batch {
    role: Role,
    to_shim: bool,
    first: u64,
}

impl Batch {
    /// All that cover a sample, both ways.
    fn all(role: Role, sample: u64) -> impl Iterator<Item = Self> {
        let firsts = (0..sample).step_by(usize::try_from(Self::bytes()).expect("small"));
        firsts.flat_map(move |first| [true, false].map(|to_shim| Self { role, to_shim, first }))
    }

    /// How many bytes one covers.
    const fn bytes() -> u64 {
        STREAMS / EVERY * (EVERY - 1)
    }

    /// When the n-th stream into its container dies.
    fn cut(self, nth: u64) -> Option<Cut> {
        let carries = nth % EVERY == EVERY - 1;
        let at = self.first + nth / EVERY * (EVERY - 1) + nth % EVERY;
        let cut = match (self.to_shim, carries) {
            (true, false) => Cut { to_shim: at, to_engine: u64::MAX },
            (true, true) => Cut { to_shim: ENOUGH_TO_SHIM, to_engine: u64::MAX },
            (false, false) => Cut { to_shim: u64::MAX, to_engine: at },
            (false, true) => Cut { to_shim: u64::MAX, to_engine: ENOUGH },
        };
        (nth < STREAMS).then_some(cut)
    }

    /// More than its streams can carry, the way that they are cut.
    fn steps(self) -> Vec<StepScript> {
        // The length of what is repeated divides no chunk's: a part that comes twice or not at all is seen.
        let output = |n: u8, times: usize| (n..251).collect::<Vec<u8>>().repeat(times);
        if self.to_shim {
            let script_file = Some(output(1, 16_000));
            return vec![StepScript { output: output(2, 12), script_file, ..StepScript::default() }];
        }
        (0..4).map(|n| StepScript { output: output(n, 600), ..StepScript::default() }).collect()
    }
}

#[test]
fn cut_at_every_byte_nothing_is_lost_and_nothing_starts_twice() {
    let batches: Vec<Batch> = Batch::all(Role::Worker, SAMPLE).collect();
    some_at_once(&batches, run);
}

/// The shim's spool is full, and the stream dies right after its last byte, before the engine has made that durable:
/// nothing more comes until the engine acknowledges, and nothing that comes makes it do so.
#[test]
fn a_full_spool_and_a_cut_do_not_wait_for_each_other() {
    let last_bytes: Vec<u64> = (SPOOL + 200..SPOOL + 600).collect();
    some_at_once(&last_bytes, run_with_a_full_spool);
}

async fn run_with_a_full_spool(last_byte: u64) {
    let cut = Cut { to_shim: u64::MAX, to_engine: last_byte };
    let cuts = move |role: Role, nth: u64| (role == Role::Worker && nth == 0).then_some(cut);
    let steps = [StepScript { output: (0..251).collect::<Vec<u8>>().repeat(14), ..StepScript::default() }];
    let script = Script { cuts: Some(Arc::new(cuts)), spool: Some(SPOOL), ..Script::of(&steps) };
    let ran = World::run(script).await;
    assert_eq!(ran.verdict.status, JobStatus::Success, "{last_byte}: {:?}", ran.verdict.reason);
    assert_eq!(ran.log(1), steps[0].output, "{last_byte}");
}

/// Each on a runtime of its own, on one of a few threads.
fn some_at_once<T: Copy + Sync, F: Future<Output = ()>>(all: &[T], run: impl Fn(T) -> F + Sync) {
    let next = AtomicUsize::new(0);
    let take = || all.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let alone = |one| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(one));
    };
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| std::iter::from_fn(take).for_each(alone));
        }
    });
}

async fn run(batch: Batch) {
    let cuts = move |role: Role, nth: u64| batch.cut(nth).filter(|_| role == batch.role);
    let steps = batch.steps();
    let script = Script { cuts: Some(Arc::new(cuts)), ..Script::of(&steps) };
    let ran = World::run(script).await;
    assert_eq!(ran.verdict.status, JobStatus::Success, "{batch:?}: {:?}", ran.verdict.reason);
    for row in &ran.steps {
        let content = ran.log(row.number);
        assert_eq!(row.sha256.as_deref(), Some(&sha256(&content)[..]), "{batch:?}");
    }
    assert_eq!(ran.cut, STREAMS, "{batch:?}: not every byte was tried");
    assert_eq!(ran.starts.len(), steps.len() + 1, "the steps and the danubefile");
    assert!(ran.starts.iter().all(|(_, count)| *count == 1), "{:?}", ran.starts);
    for wanted in steps.iter().filter_map(|step| step.script_file.as_ref()) {
        assert!(ran.received.iter().any(|(_, got)| got == wanted), "{batch:?}: the script did not arrive whole");
    }
}
