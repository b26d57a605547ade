//! Output: the same however often it is read, whatever is in it, and bounded while nobody reads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Options, Shim, argv, sh};
use danube_proto::limits::{CHUNK_BYTES, SPOOL_BYTES};
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::signal_request::What;
use danube_proto::v1::{EndCause, ListRequest, StartRequest};
use sha2::{Digest, Sha256};
use tonic::Code;

#[tokio::test]
async fn reading_again_gives_the_same_chunks() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let step = StartRequest { separate: true, ..sh("for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo e$i >&2; done") };
    master.start(&step).await.unwrap();
    let read = async |master: &mut common::master::Master, offset| {
        let mut attached = master.attach(&step.step_id, offset).await.unwrap();
        let mut chunks = Vec::new();
        loop {
            match attached.next().await.unwrap() {
                Of::Chunk(chunk) => chunks.push(chunk),
                Of::End(end) => return (chunks, end),
            }
        }
    };
    let first = read(&mut master, 0).await;
    let again = read(&mut shim.master_of(2).await, 0).await;
    assert_eq!(first, again);
    assert!((0..).zip(&first.0).all(|(seq, chunk)| chunk.seq == seq));
    let whole: Vec<u8> = first.0.iter().flat_map(|chunk| chunk.data.to_vec()).collect();
    assert_eq!((first.1.bytes, &first.1.sha256[..]), (whole.len() as u64, &Sha256::digest(&whole)[..]));

    let (tail, _) = read(&mut shim.master_of(2).await, 5).await;
    let rest: Vec<u8> = tail.iter().flat_map(|chunk| chunk.data.to_vec()).collect();
    assert_eq!((tail[0].offset, rest), (5, whole[5..].to_vec()));
}

#[tokio::test]
async fn bytes_are_bytes() {
    let shim = Shim::worker();
    let script =
        "printf 'nul\\0 bad\\377\\376 cr\\r lf\\n esc\\033[31m'; head -c 10000000 /dev/zero | tr '\\0' x; echo";
    let ran = shim.master().await.run(&sh(script)).await;
    let mut expected = b"nul\0 bad\xff\xfe cr\r lf\n esc\x1b[31m".to_vec();
    expected.extend(std::iter::repeat_n(b'x', 10_000_000));
    expected.push(b'\n');
    assert!(ran.output() == expected, "{} bytes", ran.output().len());
    assert!(ran.chunks.iter().all(|chunk| (1..=CHUNK_BYTES).contains(&chunk.data.len())));
}

#[tokio::test]
async fn a_reader_that_stops_costs_no_memory() {
    let shim = Options::worker().env("DANUBE_SHIM_PRIVATE", "{}").start();
    let mut master = shim.master().await;
    let step = sh("yes | head -c 50000000");
    master.start(&step).await.unwrap();
    let mut stopped = master.attach(&step.step_id, 0).await.unwrap();
    // The step ends though this reader takes a single message: List says so.
    let Of::Chunk(first) = stopped.next().await.unwrap() else { panic!("an end before output") };
    while !master.client.list(ListRequest {}).await.unwrap().into_inner().steps[0].ended {}
    let high_water = shim.memory("VmHWM");
    assert!(high_water < 24 * 1024, "{high_water} KiB");
    let ran = shim.master_of(2).await.follow(&step.step_id).await;
    let expected: Vec<u8> = b"y\n".iter().copied().cycle().take(50_000_000).collect();
    assert!(ran.output() == expected && first == ran.chunks[0]);
}

#[tokio::test]
async fn a_full_spool_holds_the_step_up_until_it_is_acknowledged() {
    let shim = Options::worker().env("DANUBE_SHIM_PRIVATE", "{}").start();
    let mut master = shim.master().await;
    let size = SPOOL_BYTES + 1_000_000;
    let step = sh(&format!("head -c {size} /dev/zero; echo > written"));
    master.start(&step).await.unwrap();
    let spooled = async |master: &mut common::master::Master| {
        master.client.list(ListRequest {}).await.unwrap().into_inner().steps[0].bytes
    };
    while spooled(&mut master).await < SPOOL_BYTES {}
    for _ in 0..100 {
        assert_eq!(spooled(&mut master).await, SPOOL_BYTES);
    }
    assert!(!shim.workspace().join("written").exists());
    let ran = master.follow(&step.step_id).await;
    assert_eq!((ran.end.bytes, ran.end.cause()), (size, EndCause::Exited));
}

#[tokio::test]
async fn a_gigabyte_passes_through_a_small_shim() {
    let shim = Options::worker().env("DANUBE_SHIM_PRIVATE", "{}").start();
    let mut master = shim.master().await;
    let step = argv(&["head", "-c", "1000000000", "/dev/zero"]);
    master.start(&step).await.unwrap();
    let mut attached = master.attach(&step.step_id, 0).await.unwrap();
    let (mut hash, mut offset) = (Sha256::new(), 0);
    let end = loop {
        match attached.next().await.unwrap() {
            Of::Chunk(chunk) => {
                assert_eq!(chunk.offset, offset);
                hash.update(&chunk.data);
                offset += chunk.data.len() as u64;
                attached.ack(offset, false);
            }
            Of::End(end) => break end,
        }
    };
    assert_eq!((end.bytes, &end.sha256[..]), (1_000_000_000, &hash.finalize()[..]));
    let high_water = shim.memory("VmHWM");
    assert!(high_water < 24 * 1024, "{high_water} KiB");
}

#[tokio::test]
async fn acknowledgements_are_held_to_what_was_sent() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let step = sh("echo hello; exec sleep 1d");
    master.start(&step).await.unwrap();
    master.until(&step.step_id, "hello").await;
    let mut attached = master.attach(&step.step_id, 0).await.unwrap();
    assert!(matches!(attached.next().await.unwrap(), Of::Chunk(_)));
    attached.ack(7, false);
    assert_eq!(attached.next().await.unwrap_err().code(), Code::InvalidArgument);
    // The connection is dropped as well.
    while master.client.list(ListRequest {}).await.is_ok() {}

    let mut master = shim.master().await;
    let mut attached = master.attach(&step.step_id, 0).await.unwrap();
    assert!(matches!(attached.next().await.unwrap(), Of::Chunk(_)));
    attached.ack(4, false);
    while master.client.list(ListRequest {}).await.unwrap().into_inner().steps[0].acked < 4 {}
    assert_eq!(master.attach(&step.step_id, 3).await.err().unwrap().code(), Code::OutOfRange);
    assert!(master.attach(&step.step_id, 4).await.is_ok());
    assert_eq!(master.attach(&[9; 16], 0).await.err().unwrap().code(), Code::NotFound);
    assert_eq!(master.attach(&step.step_id, 7).await.err().unwrap().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_released_step_keeps_its_record_without_its_captures() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let step = StartRequest { capture_limit: 100, ..sh("echo hello") };
    let end = master.run(&step).await.end;
    assert_eq!(&end.stdout[..], b"hello\n");
    let mut attached = master.attach(&step.step_id, 6).await.unwrap();
    assert_eq!(attached.next().await.unwrap(), Of::End(end.clone()));
    attached.ack(6, true);
    assert_eq!(attached.next().await.unwrap_err().code(), Code::Unavailable);
    let mut attached = master.attach(&step.step_id, 6).await.unwrap();
    let Of::End(kept) = attached.next().await.unwrap() else { panic!("output after the end") };
    assert_eq!((kept.stdout.len(), &kept.sha256), (0, &end.sha256));
}

#[tokio::test]
async fn a_step_that_drips_is_seen_while_it_runs() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let step = sh("echo one; until [ -e go ]; do :; done; echo two");
    master.start(&step).await.unwrap();
    master.until(&step.step_id, "one\n").await;
    std::fs::write(shim.workspace().join("go"), "").unwrap();
    assert_eq!(master.follow(&step.step_id).await.text(), "one\ntwo\n");
    assert!(!master.signal(&step.step_id, What::Stop(true)).await);
}

/// `DANUBE_SHIM_BIN=… cargo test --test attach how_fast -- --ignored --nocapture` measures a release build.
#[tokio::test]
#[ignore = "a measurement"]
async fn how_fast_is_the_pump() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    eprintln!("idle: {} KiB", shim.memory("VmRSS"));
    for _ in 0..5 {
        let step = argv(&["dd", "if=/dev/zero", "bs=64k", "count=1000", "status=none"]);
        master.start(&step).await.unwrap();
        while !master.client.list(ListRequest {}).await.unwrap().into_inner().steps.iter().all(|step| step.ended) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let mut attached = master.attach(&step.step_id, 65_536_000).await.unwrap();
        let Of::End(end) = attached.next().await.unwrap() else { panic!("more output") };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", shim.child.id())).unwrap();
        let ticks: Vec<&str> = stat.split_whitespace().skip(13).take(2).collect();
        eprintln!("{} MB/s into the spool; ticks of the shim so far {ticks:?}", 65_536 / end.duration_ms.max(1));
    }
}
