//! Random sequences of entries: whatever they are, nothing outside is touched, and what was made can be removed.

use std::cell::Cell;
use std::fs::File;
use std::os::fd::AsFd;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::builder::{Head, Tar};
use crate::world::World;

#[derive(Clone, Debug)]
struct Op {
    kind: u8,
    path: Vec<usize>,
    target: Vec<usize>,
    absolute: bool,
    whiteout: u8,
}

const CASES: u32 = 600;

/// Few names, so that entries meet; some of them dangerous.
const NAMES: [&str; 8] = ["a", "b", "c", "outside", "precious", ".", "..", "root"];

fn ops() -> impl Strategy<Value = Vec<Vec<Op>>> {
    let path = || prop::collection::vec(prop_oneof![9 => 0..6usize, 1 => 0..NAMES.len()], 1..5);
    let target = prop::collection::vec(0..NAMES.len(), 1..7);
    let kind = prop::sample::select(vec![b'0', b'0', b'5', b'2', b'2', b'1', b'3', b'6']);
    let op = (kind, path(), target, any::<bool>(), 0..8u8).prop_map(|(kind, path, target, absolute, whiteout)| Op {
        kind,
        path,
        target,
        absolute,
        whiteout,
    });
    prop::collection::vec(prop::collection::vec(op, 0..12), 1..4)
}

fn path(parts: &[usize]) -> String {
    parts.iter().map(|at| NAMES[*at]).collect::<Vec<_>>().join("/")
}

fn layer(world: &World, ops: &[Op]) -> Vec<u8> {
    let entry = |tar: Tar, op: &Op| {
        let mut name = path(&op.path);
        match op.whiteout {
            0 => name = format!("{name}/.wh..wh..opq"),
            1 => name = format!("{name}/.wh.{}", NAMES[op.target[0]]),
            _ => {}
        }
        let prefix = if op.absolute { format!("{}/", world.outside()) } else { String::new() };
        let target = format!("{prefix}{}", path(&op.target));
        tar.entry(&Head { link: target.as_bytes(), ..Head::new(op.kind, name.as_bytes()) }, b"")
    };
    ops.iter().fold(Tar::new(), entry).build()
}

#[test]
fn no_sequence_of_entries_touches_anything_outside() {
    let seed: u64 = match std::env::var("DANUBE_SEED") {
        Ok(seed) => seed.parse().expect("DANUBE_SEED is a number"),
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("DANUBE_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let accepted = Cell::new(0);
    let outcome = TestRunner::new_with_rng(config, rng).run(&ops(), |layers| {
        let world = World::new();
        // `World::unpack` compares everything outside before and after, whether or not the image is refused.
        let result = world.unpack(layers.iter().map(|ops| layer(&world, ops)).collect());
        accepted.set(accepted.get() + u32::from(result.is_ok()));
        danube_sandbox::images::clear(File::open(world.root()).unwrap().as_fd()).unwrap();
        prop_assert!(world.names().is_empty());
        Ok(())
    });
    let accepted = accepted.get();
    assert!(outcome.is_ok(), "DANUBE_SEED={seed}: {}", outcome.unwrap_err());
    assert!((50..CASES - 50).contains(&accepted), "both kinds must occur: {accepted} of {CASES} were accepted");
}
