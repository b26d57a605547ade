//! The stream may die at any byte: no output is lost, nothing runs twice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::master::Master;
use common::{Options, Random, Shim, sh};
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::{End, StartRequest};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tonic::Status;

/// Which way a connection is cut, and after how many bytes.
#[derive(Clone, Copy, Debug)]
struct Cut {
    to_shim: i64,
    to_master: i64,
}

const NEVER: i64 = i64::MAX;

/// A connection through a proxy that dies when the budget of either way is spent. Answers what is left of both.
async fn proxied(shim: &Shim, cut: Cut) -> (DuplexStream, Arc<[AtomicI64; 2]>) {
    let left = Arc::new([AtomicI64::new(cut.to_shim), AtomicI64::new(cut.to_master)]);
    let (master, proxy) = tokio::io::duplex(256 * 1024);
    let stream = UnixStream::connect(&shim.socket).await.unwrap();
    let budgets = left.clone();
    tokio::spawn(async move {
        let (from_master, to_master) = tokio::io::split(proxy);
        let (from_shim, to_shim) = tokio::io::split(stream);
        // The end of one way is the end of both, at once.
        tokio::select! {
            () = carry(from_master, to_shim, &budgets[0]) => {}
            () = carry(from_shim, to_master, &budgets[1]) => {}
        }
    });
    (master, left)
}

async fn carry<R: AsyncRead, W: AsyncWrite>(mut from: ReadHalf<R>, mut to: WriteHalf<W>, left: &AtomicI64) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let budget = left.load(Ordering::Relaxed);
        if budget <= 0 {
            return;
        }
        let wanted = buffer.len().min(usize::try_from(budget).unwrap());
        let Ok(read @ 1..) = from.read(&mut buffer[..wanted]).await else { return };
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        left.fetch_sub(read as i64, Ordering::Relaxed);
    }
}

/// What the master's disk holds of a step: it survives every cut.
#[derive(Default)]
struct Disk {
    hash: Sha256,
    offset: u64,
    end: Option<End>,
}

/// One connection's worth of work on a step; resumes at the disk's offset.
async fn work(stream: DuplexStream, step: &StartRequest, disk: &mut Disk) -> Result<(), Status> {
    let failed = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let mut master = Master::over(stream).await.map_err(failed)?;
    master.hello(1).await?;
    master.start(step).await?;
    let mut attached = master.attach(&step.step_id, disk.offset).await?;
    loop {
        match attached.next().await? {
            Of::Chunk(chunk) => {
                assert_eq!(chunk.offset, disk.offset);
                disk.hash.update(&chunk.data);
                disk.offset += chunk.data.len() as u64;
                attached.ack(disk.offset, false);
            }
            Of::End(end) => {
                assert_eq!((end.bytes, &end.sha256[..]), (disk.offset, &disk.hash.clone().finalize()[..]));
                disk.end = Some(end);
                return Ok(());
            }
        }
    }
}

async fn undisturbed(shim: &Shim, step: &StartRequest) -> (Disk, i64, i64) {
    let mut disk = Disk::default();
    let (stream, left) = proxied(shim, Cut { to_shim: NEVER, to_master: NEVER }).await;
    work(stream, step, &mut disk).await.unwrap();
    let [to_shim, to_master] = [0, 1].map(|way: usize| NEVER - left[way].load(Ordering::Relaxed));
    (disk, to_shim, to_master)
}

/// One cut, then as many whole connections as it takes.
async fn cut_once(shim: &Shim, cut: Cut, step: &StartRequest) -> Disk {
    let mut disk = Disk::default();
    let (stream, _) = proxied(shim, cut).await;
    // Whether the cut came before or after the last byte that mattered, the outcome is the same.
    let _ = work(stream, step, &mut disk).await;
    while disk.end.is_none() {
        let (stream, _) = proxied(shim, Cut { to_shim: NEVER, to_master: NEVER }).await;
        let _ = work(stream, step, &mut disk).await;
    }
    disk
}

fn small(number: i64) -> StartRequest {
    StartRequest { separate: true, ..sh(&format!("echo {number:06} >> ran; head -c 3000 /dev/zero; echo end >&2")) }
}

#[tokio::test]
async fn a_cut_at_every_byte_of_a_small_exchange_changes_nothing() {
    let shim = Shim::worker();
    let (expected, to_shim, to_master) = undisturbed(&shim, &small(0)).await;
    assert!(to_master > 3000 && to_shim > 300, "{to_shim} {to_master}");
    let ways = (0..=to_shim).map(|at| Cut { to_shim: at, to_master: NEVER });
    let cuts: Vec<Cut> = ways.chain((0..=to_master).map(|at| Cut { to_shim: NEVER, to_master: at })).collect();
    for (number, cut) in (1..).zip(&cuts) {
        let disk = cut_once(&shim, *cut, &small(number)).await;
        let same = disk.offset == expected.offset && disk.end.as_ref().unwrap().exit_code == 0;
        assert!(same, "{cut:?}: {:?}", disk.end);
    }
    let ran = std::fs::read_to_string(shim.workspace().join("ran")).unwrap();
    let expected: Vec<String> = (0..=cuts.len()).map(|number| format!("{number:06}")).collect();
    assert_eq!(ran.lines().collect::<Vec<_>>(), expected, "every step ran once, in order");
}

#[tokio::test]
async fn random_cuts_of_a_hundred_megabytes_change_nothing() {
    let shim = Options::worker().env("DANUBE_SHIM_PRIVATE", "{}").start();
    let mut random = Random::new();
    // Output that repeats nowhere: a lost or doubled piece shows.
    let step = sh("echo once >> ran; seq 1 13000000 | head -c 100000000");
    let mut disk = Disk::default();
    let mut connections = 0;
    while disk.end.is_none() {
        connections += 1;
        let cut = Cut { to_shim: NEVER, to_master: 200 + random.below(8_000_000) as i64 };
        let (stream, _) = proxied(&shim, cut).await;
        let _ = work(stream, &step, &mut disk).await;
    }
    assert!(connections > 10, "{connections} connections");
    let mut expected = Sha256::new();
    let mut left = 100_000_000;
    for number in 1.. {
        let line = format!("{number}\n");
        let taken = line.len().min(left);
        expected.update(&line.as_bytes()[..taken]);
        left -= taken;
        if left == 0 {
            break;
        }
    }
    assert_eq!((disk.offset, disk.hash.finalize()), (100_000_000, expected.finalize()));
    assert_eq!(std::fs::read_to_string(shim.workspace().join("ran")).unwrap(), "once\n");
}
