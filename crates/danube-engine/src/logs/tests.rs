//! Stories about logs, and properties over random output, cuts and deaths of the writer.

use danube_core::id::{AttemptId, ContainerName, StepId};
use danube_core::mask::{MaskSet, SecretValue};
use danube_core::step::StepKind;
use danube_store::steps::{self, LogCommit, NewStep, StepKey};
use danube_store::{Store, attempts, jobs};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

mod full_disk;
mod looks;
mod reading;

/// A small generator (splitmix64), so that a printed seed tells a run again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let fresh = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
        let seed = std::env::var("DANUBE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(fresh);
        println!("DANUBE_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % bound as u64) as usize
    }
}

/// A data directory with one job, one attempt, and steps that have their rows.
struct House {
    _dir: TempDir,
    store: Store,
    logs: LogDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let house = Self { logs: LogDir::new(store.dir().join(danube_store::LOGS)), store, _dir: dir };
        house.insert_attempt().await;
        house
    }

    async fn insert_attempt(&self) {
        let job = jobs::NewJob {
            id: "job-1".parse().unwrap(),
            pipeline: "p".into(),
            source: jobs::Source::default(),
            trigger: "run".into(),
            actor: None,
            params: "{}".into(),
            spec: "{}".into(),
            created_ms: 0,
            rerun_of: None,
            concurrency: None,
            supersedes: false,
        };
        let attempt =
            attempts::NewAttempt { id: key(1).attempt, nonce: "n".into(), budget_ms: 1, started_ms: 0, tries: 1 };
        let insert = self.store.write(|tx| {
            Box::pin(async move {
                jobs::insert(tx, &job).await?;
                attempts::insert(tx, &attempt).await
            })
        });
        insert.await.unwrap();
    }

    /// Writes a step's row and opens its log.
    async fn begin(&self, number: u32, masks: &MaskSet) -> StepLog {
        let step = NewStep {
            kind: StepKind::Step,
            key: key(number),
            id: StepId::from_bytes([number as u8; 16]),
            spec_hash: Vec::new(),
            name: format!("step {number}"),
            group_path: "[]".into(),
            container: ContainerName::worker(1),
            image: "host".into(),
            checked: true,
            r#try: 1,
            tries: 1,
            location: None,
            started_ms: 0,
        };
        self.store.write(|tx| Box::pin(async move { steps::insert(tx, &step).await })).await.unwrap();
        self.open(number, masks).await
    }

    async fn open(&self, number: u32, masks: &MaskSet) -> StepLog {
        self.logs.open(&self.store, &key(number), masks).await.unwrap()
    }

    async fn row(&self, number: u32) -> LogCommit {
        steps::log_commit(self.store.read(), &key(number)).await.unwrap().unwrap()
    }

    fn raw(&self, number: u32) -> Vec<u8> {
        std::fs::read(self.logs.path(&key(number), "raw")).unwrap()
    }
}

fn key(number: u32) -> StepKey {
    StepKey { attempt: AttemptId { job: "job-1".parse().unwrap(), number: 1 }, number }
}

fn masks() -> MaskSet {
    MaskSet::new(&[SecretValue::new("A", "correct-horse-battery"), SecretValue::new("B", "two\nlines of secret")])
        .unwrap()
}

#[tokio::test]
async fn output_is_hidden_indexed_and_committed() {
    let house = House::new().await;
    let mut log = house.begin(1, &masks()).await;
    log.append(1, 1000, b"user: correct-").unwrap();
    assert_eq!(log.commit().await.unwrap(), 6, "what may be a secret's beginning is not acknowledged");
    log.append(1, 1020, b"horse-battery\nnext\n").unwrap();
    assert_eq!(log.commit().await.unwrap(), 33);
    assert_eq!(house.raw(1), b"user: ***\nnext\n");
    assert_eq!((log.received(), log.uncommitted()), (33, 0));
    let row = house.row(1).await;
    assert_eq!((row.consumed, row.raw_len, row.idx_len), (33, 15, 96));
    log.check_end(33, &Sha256::digest("user: correct-horse-battery\nnext\n")).unwrap();
}

/// docs/protocol.md, rule 3.
#[tokio::test]
async fn recovery_truncates_to_the_commit() {
    let house = House::new().await;
    let mut log = house.begin(1, &masks()).await;
    log.append(1, 1, b"one\ntwo correct-ho").unwrap();
    assert_eq!(log.commit().await.unwrap(), 8);
    log.append(1, 2, b"rse-battery never acknowledged\n").unwrap();
    assert_eq!(house.raw(1), b"one\ntwo *** never acknowledged\n");
    drop(log);

    let mut log = house.open(1, &masks()).await;
    assert_eq!(log.received(), 8, "the shim is asked for what was held back, too");
    assert_eq!(house.raw(1), b"one\ntwo ");
    log.append(1, 1, b"correct-horse-battery three\n").unwrap();
    log.commit().await.unwrap();
    assert_eq!(house.raw(1), b"one\ntwo *** three\n");
    log.check_end(36, &Sha256::digest("one\ntwo correct-horse-battery three\n")).unwrap();
}

/// The writer dies at any point, also in the middle of a write that no commit covers; each time it is opened again
/// and goes on. Nothing is doubled, lost or shown, and the hash is that of an undisturbed run.
#[tokio::test]
async fn however_often_the_writer_dies_the_log_is_the_same() {
    let (mut dice, house, masks) = (Dice::new(), House::new().await, masks());
    for number in 1..=20 {
        let text = random_output(&mut dice);
        let mut log = house.begin(number, &masks).await;
        while log.received() < text.len() as u64 {
            let rest = &text[log.received() as usize..];
            let chunk = &rest[..1 + dice.below(rest.len().min(400))];
            log.append(1, 7, chunk).unwrap();
            if dice.below(3) == 0 {
                log.commit().await.unwrap();
            }
            if dice.below(4) == 0 {
                drop(log);
                half_written(&house, number, &mut dice);
                log = house.open(number, &masks).await;
            }
        }
        log.check_end(text.len() as u64, &Sha256::digest(&text)).unwrap();
        let last = log.seal().await.unwrap();
        assert_eq!(last.consumed, text.len() as u64);
        let whole = masks.mask_text(std::str::from_utf8(&text).unwrap());
        assert_eq!(String::from_utf8(house.raw(number)).unwrap(), whole);
        let lines = house.logs.reader(&key(number)).unwrap().lines(0, usize::MAX).unwrap();
        assert!(lines.iter().map(|line| line.text.as_slice()).eq(whole.lines().map(str::as_bytes)));
        assert!(lines.iter().all(|line| (line.stream, line.at_ms) == (1, 7)));
    }
}

fn random_output(dice: &mut Dice) -> Vec<u8> {
    let words =
        ["correct-horse-battery", "correct-horse", "-battery", "lines of secret", "lines of", "two\n", "ab", " ", "\n"];
    (0..dice.below(400)).flat_map(|_| words[dice.below(words.len())].bytes()).chain(*b".\n").collect()
}

/// What a write leaves that was cut by a crash.
fn half_written(house: &House, number: u32, dice: &mut Dice) {
    for suffix in ["raw", "idx"] {
        let path = house.logs.path(&key(number), suffix);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.resize(bytes.len() + dice.below(100), b'?');
        std::fs::write(&path, bytes).unwrap();
    }
}

#[tokio::test]
async fn a_shim_that_says_other_than_it_sent_is_found_out() {
    let house = House::new().await;
    let mut log = house.begin(1, &MaskSet::default()).await;
    log.append(1, 1, b"hello").unwrap();
    let refused = log.check_end(5, &Sha256::digest("hellO")).unwrap_err();
    assert!(refused.to_string().starts_with("output differs from the shim's record: received 5 bytes"), "{refused}");
    assert!(log.check_end(6, &Sha256::digest("hello")).is_err());
    log.check_end(5, &Sha256::digest("hello")).unwrap();
}

#[tokio::test]
async fn a_log_shorter_than_its_row_is_damaged() {
    let house = House::new().await;
    let mut log = house.begin(1, &MaskSet::default()).await;
    log.append(1, 1, b"hello").unwrap();
    log.commit().await.unwrap();
    drop(log);
    std::fs::write(house.logs.path(&key(1), "raw"), b"hell").unwrap();
    let refused = house.logs.open(&house.store, &key(1), &MaskSet::default()).await.unwrap_err();
    assert!(matches!(refused, LogError::Damaged { .. }), "{refused}");
    assert_eq!(house.raw(1), b"hell", "evidence is left as it is");
    assert!(matches!(
        house.logs.open(&house.store, &key(9), &MaskSet::default()).await.unwrap_err(),
        LogError::NoRow(9)
    ));
}

#[tokio::test]
async fn the_two_streams_keep_their_order_and_their_names() {
    let house = House::new().await;
    let mut log = house.begin(1, &masks()).await;
    log.append(1, 1, b"out correct-horse").unwrap();
    log.append(2, 2, b"err\n").unwrap();
    log.append(1, 3, b"-battery\n").unwrap();
    log.check_end(30, &Sha256::digest("out correct-horseerr\n-battery\n")).unwrap();
    log.seal().await.unwrap();
    assert_eq!(house.raw(1), b"out correct-horseerr\n-battery\n");
    let lines = house.logs.reader(&key(1)).unwrap().lines(0, 9).unwrap();
    assert_eq!(lines.iter().map(|line| (line.stream, line.at_ms)).collect::<Vec<_>>(), [(1, 1), (1, 3)]);
}

#[tokio::test]
async fn lost_output_is_told_in_the_log() {
    let house = House::new().await;
    let mut log = house.begin(1, &masks()).await;
    log.append(1, 1, b"compiling correct-").unwrap();
    log.mark_gap(5, Some(4096)).unwrap();
    log.seal().await.unwrap();
    assert_eq!(house.raw(1), b"compiling correct-\n[danube] about 4096 bytes of output were not received\n");
    let lines = house.logs.reader(&key(1)).unwrap().last_lines(1).unwrap();
    assert_eq!((lines[0].stream, lines[0].number), (0, 1));
}

#[tokio::test]
async fn who_looks_live_is_woken_by_every_write() {
    let house = House::new().await;
    let mut log = house.begin(1, &MaskSet::default()).await;
    let mut tail = log.tail();
    assert_eq!(tail.written(), 0);
    log.append(1, 1, b"hello\n").unwrap();
    assert_eq!(tail.beyond(0).await, Some(6));
    assert_eq!(tail.reader().unwrap().len(), 6);
    log.append(1, 1, b"more\n").unwrap();
    drop(log);
    assert_eq!(tail.beyond(6).await, Some(11), "the end does not hide what came before it");
    assert_eq!(tail.beyond(11).await, None);
}

/// Not a test: how fast. `cargo test --release -p danube-engine -- --ignored --nocapture how_fast_a_log`
#[tokio::test]
#[ignore = "a measurement"]
async fn how_fast_a_log_is_written() {
    let house = House::new().await;
    let values: Vec<_> =
        (0..10).map(|n| SecretValue::new("S", format!("secret-number-{n}-of-forty-characters---"))).collect();
    let line =
        "   Compiling some-crate v1.2.3 (/workspace/crates/some) 2024-01-06T12:00:00Z [info] request=abc123 ok\n";
    let chunk = &line.repeat(1000).into_bytes()[..65536];
    for (number, masks) in [(1, MaskSet::default()), (2, MaskSet::new(&values).unwrap())] {
        let mut log = house.begin(number, &masks).await;
        let start = std::time::Instant::now();
        for _ in 0..16_384 {
            log.append(1, 1, chunk).unwrap();
            if log.uncommitted() >= 8 << 20 {
                log.commit().await.unwrap();
            }
        }
        log.commit().await.unwrap();
        println!("{masks:?}: {:.0} MB/s", 16_384.0 * 65_536.0 / start.elapsed().as_secs_f64() / 1e6);
    }
}
