//! How much memory a lying shim can make the engine take: it sends without end, and the engine keeps a bounded part. The
//! only test of its program, because what is measured is the whole process, with the scripted shims in it.

mod world;

use std::sync::Arc;

use bytes::Bytes;
use danube_core::job::JobStatus;
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::{AttachReply, Chunk, GetFileReply};
use danube_testutils::{Script, StepScript};
use world::World;

/// What output amounts to; a file is without end, and the engine takes 64 MiB of it. Where it is sent, all of it shares one
/// block of memory.
const SENT: usize = 128 << 20;
/// What the process may grow by: windows and buffers of both sides, the log's uncommitted part.
const MOST: u64 = 40 << 20;

/// The most memory that this process ever had.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

fn block(bytes: usize) -> Bytes {
    vec![b'x'; bytes].into()
}

/// Output that the engine has no use for: it never ends as announced.
fn output() -> Script {
    let data = block(64 * 1024);
    let chunk = move |n: usize| {
        let offset = (n * data.len()) as u64;
        AttachReply { of: Some(Of::Chunk(Chunk { seq: n as u64, stream: 1, offset, at_ms: 0, data: data.clone() })) }
    };
    let told = move |_: usize, offset: u64, _: Vec<AttachReply>| {
        let from = usize::try_from(offset).expect("small") / (64 * 1024);
        (from..SENT / (64 * 1024)).map(&chunk).collect()
    };
    // Streams end without an End until the container does.
    Script { tells: Some(Arc::new(told)), worker_ends_after: Some(4), ..Script::of(&[StepScript::default()]) }
}

fn file() -> Script {
    let data = block(64 * 1024);
    let files = move |_: Bytes, at: u64| -> Box<dyn Iterator<Item = GetFileReply> + Send> {
        let data = data.clone();
        Box::new((0..).map(move |n: u64| GetFileReply {
            offset: at + n * data.len() as u64,
            data: data.clone(),
            ..GetFileReply::default()
        }))
    };
    let step = StepScript { script_file: Some(Vec::new()), ..StepScript::default() };
    Script { files: Some(Arc::new(files)), ..Script::of(&[step]) }
}

#[test]
fn whatever_a_shim_sends_the_engine_keeps_a_bounded_part() {
    let lies = [("a file", file()), ("output", output())];
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    // What an honest job takes is no part of it.
    let honest = runtime.block_on(World::run(Script::of(&[StepScript::default()])));
    assert_eq!(honest.verdict.status, JobStatus::Success);
    for (name, script) in lies {
        let before = peak();
        let ran = runtime.block_on(World::run(script));
        assert_ne!(ran.verdict.status, JobStatus::Success, "{name}");
        let grown = peak() - before;
        eprintln!("{name} without end: {} MiB", grown >> 20);
        assert!(grown < MOST, "{name} without end: the engine grew by {} MiB", grown >> 20);
    }
}
