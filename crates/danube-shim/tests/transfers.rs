//! Files in and out: resumable, exact, and nothing leads outside.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::master::Master;
use common::{Shim, sh};
use danube_proto::v1::start_request::Command;
use danube_proto::v1::{
    GetFileRequest, PutFileHeader, PutFileReply, PutFileRequest, PutTarget, Script, StatTransferRequest, script,
};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};
use tonic::{Code, Status};

fn header(id: &str, target: PutTarget, path: &str, data: &[u8]) -> PutFileHeader {
    let sha256 = Sha256::digest(data).to_vec().into();
    PutFileHeader {
        transfer_id: id.into(),
        target: target.into(),
        path: path.into(),
        size: data.len() as u64,
        sha256,
        mode: 0o640,
    }
}

/// Sends `data`, which stands at `offset`.
async fn put(master: &mut Master, header: &PutFileHeader, data: &[u8], offset: u64) -> Result<PutFileReply, Status> {
    let first = PutFileRequest { header: Some(header.clone()), offset, data: Default::default() };
    let pieces = data.chunks(60_000).enumerate().map(|(n, piece)| PutFileRequest {
        header: None,
        offset: offset + n as u64 * 60_000,
        data: piece.to_vec().into(),
    });
    let all: Vec<_> = std::iter::once(first).chain(pieces).collect();
    Ok(master.client.put_file(tokio_stream::iter(all)).await?.into_inner())
}

async fn put_all(master: &mut Master, id: &str, target: PutTarget, path: &str, data: &[u8]) -> Result<(), Status> {
    put(master, &header(id, target, path, data), data, 0).await.map(|reply| assert!(reply.complete))
}

async fn get(master: &mut Master, path: &str, offset: u64) -> Result<Vec<u8>, Status> {
    let request = GetFileRequest { path: path.into(), offset };
    let mut stream = master.client.get_file(request).await?.into_inner();
    let (mut data, mut hash) = (Vec::new(), Vec::new());
    while let Some(reply) = stream.message().await? {
        assert_eq!(reply.offset, offset + data.len() as u64);
        data.extend_from_slice(&reply.data);
        hash = reply.sha256.to_vec();
    }
    assert_eq!(hash, Sha256::digest(&data).to_vec());
    Ok(data)
}

#[tokio::test]
async fn a_transfer_goes_on_where_it_was_cut() {
    let shim = Shim::worker();
    let data: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    let header = header("big", PutTarget::File, "/workspace/a/b/big", &data);
    let (first, rest) = data.split_at(1_234_567);
    let reply = put(&mut shim.master_of(1).await, &header, first, 0).await.unwrap();
    assert_eq!(reply, PutFileReply { offset: 1_234_567, complete: false });
    assert!(!shim.workspace().join("a/b/big").exists());

    let mut master = shim.master_of(2).await;
    let stat = StatTransferRequest { transfer_id: "big".into() };
    assert_eq!(master.client.stat_transfer(stat.clone()).await.unwrap().into_inner().offset, 1_234_567);
    assert_eq!(put(&mut master, &header, rest, 1_300_000).await.unwrap_err().code(), Code::OutOfRange);
    // Some of it again, as after a lost answer.
    assert!(put(&mut master, &header, &data[1_200_000..], 1_200_000).await.unwrap().complete);
    let path = shim.workspace().join("a/b/big");
    assert!(std::fs::read(&path).unwrap() == data);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);

    std::fs::remove_file(&path).unwrap();
    assert!(put(&mut master, &header, &data, 0).await.unwrap().complete);
    assert!(!path.exists(), "a complete transfer happens once");
    assert!(master.client.stat_transfer(stat).await.unwrap().into_inner().complete);
}

#[tokio::test]
async fn wrong_bytes_are_not_put_in_place() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let wrong = PutFileHeader { sha256: vec![0; 32].into(), ..header("f", PutTarget::File, "/workspace/f", b"hello") };
    assert_eq!(put(&mut master, &wrong, b"hello", 0).await.unwrap_err().code(), Code::DataLoss);
    assert!(!shim.workspace().join("f").exists());
    put_all(&mut master, "f", PutTarget::File, "/workspace/f", b"hello").await.unwrap();
    let other = header("f", PutTarget::File, "/workspace/g", b"hello");
    assert_eq!(put(&mut master, &other, b"", 0).await.unwrap_err().code(), Code::AlreadyExists);
    let long = header("g", PutTarget::File, "/workspace/g", b"hell");
    assert_eq!(put(&mut master, &long, b"hello", 0).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_file_of_five_megabytes_runs_as_a_script() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let text = format!("{}\necho the end\n", ": filler\n".repeat(560_000));
    put_all(&mut master, "script", PutTarget::Script, "", text.as_bytes()).await.unwrap();
    let source = Some(script::Source::TransferId("script".into()));
    let mut step = sh("");
    step.command = Some(Command::Script(Script { source, shell: "sh".into(), errexit: true }));
    assert_eq!(master.run(&step).await.text(), "the end\n");
    let mut step = sh("");
    let source = Some(script::Source::TransferId("missing".into()));
    step.command = Some(Command::Script(Script { source, shell: "sh".into(), errexit: true }));
    let end = master.run(&step).await.end;
    assert!(end.exit_code == 126 && end.message.contains("missing"), "{end:?}");
}

#[tokio::test]
async fn paths_that_lead_outside_are_refused() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let outside = shim.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, shim.workspace().join("link")).unwrap();
    symlink(outside.join("secret"), shim.workspace().join("file")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, shim.workspace().join("fifo"), 0o600.into()).unwrap();
    let paths = ["/etc/x", "/workspace/../x", "relative", "", "/workspace", "/danube/x", "/workspace/link/x"];
    for (number, path) in paths.into_iter().enumerate() {
        let refused = put_all(&mut master, &format!("t-{number}"), PutTarget::File, path, b"x").await.unwrap_err();
        assert!(matches!(refused.code(), Code::InvalidArgument | Code::FailedPrecondition), "{path}: {refused}");
    }
    // A link in the last place is replaced, never followed.
    put_all(&mut master, "last", PutTarget::File, "/workspace/file", b"new").await.unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    symlink(outside.join("secret"), shim.workspace().join("again")).unwrap();
    for path in ["/etc/passwd", "/workspace/link/secret", "/workspace/again", "/workspace/fifo", "/workspace/..", "x"] {
        let refused = get(&mut master, path, 0).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}: {refused}");
    }
    assert_eq!(get(&mut master, "/workspace/none", 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_is_read_from_any_offset() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let data: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(shim.workspace().join("data"), &data).unwrap();
    std::fs::write(shim.workspace().join("empty"), "").unwrap();
    assert!(get(&mut master, "/workspace/data", 0).await.unwrap() == data);
    assert!(get(&mut master, "/workspace/data", 123_457).await.unwrap() == data[123_457..]);
    assert_eq!(get(&mut master, "/workspace/data", 400_000).await.unwrap(), b"");
    assert_eq!(get(&mut master, "/workspace/data", 400_001).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(get(&mut master, "/workspace/empty", 0).await.unwrap(), b"");
}

/// Name, kind, what it links to, content.
type Raw<'a> = (&'a str, EntryType, &'a str, &'a [u8]);

/// A tar whose names are written as they are, wherever they lead.
fn raw_tar(entries: &[Raw]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, link, data) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(1_000_000);
        header.set_cksum();
        builder.append(&header, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn a_tree_is_unpacked_as_it_was() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let long = format!("deep/{}", "x".repeat(180));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    header.set_mtime(1_000_000);
    builder.append_data(&mut header, &long, &b"long"[..]).unwrap();
    let mut tar = builder.into_inner().unwrap();
    tar.truncate(tar.len() - 1024);
    tar.extend(raw_tar(&[
        ("dir", EntryType::Directory, "", b""),
        ("./dir/run", EntryType::Regular, "", b"#!/bin/sh\n"),
        ("dir/same", EntryType::Link, "dir/run", b""),
        ("dir/link", EntryType::Symlink, "../elsewhere", b""),
    ]));
    put_all(&mut master, "tree", PutTarget::Tree, "/workspace/src", &tar).await.unwrap();
    let at = |path: &str| shim.workspace().join("src").join(path);
    assert_eq!(std::fs::read_to_string(at(&long)).unwrap(), "long");
    assert_eq!(at(&long).metadata().unwrap().mode() & 0o777, 0o664);
    let run = at("dir/run").metadata().unwrap();
    assert_eq!((run.mode() & 0o777, run.mtime(), run.nlink()), (0o775, 1_000_000, 2));
    assert_eq!(at("dir").metadata().unwrap().mode() & 0o7777, 0o2775);
    assert_eq!(std::fs::read_link(at("dir/link")).unwrap(), Path::new("../elsewhere"));
}

#[tokio::test]
async fn a_hostile_tree_stays_inside() {
    let shim = Shim::worker();
    let mut master = shim.master().await;
    let outside = shim.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "kept").unwrap();
    std::fs::set_permissions(outside.join("file"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let there = outside.to_str().unwrap();
    let file = EntryType::Regular;
    let trees: [&[Raw]; 9] = [
        &[("../outside/file", file, "", b"x")],
        &[("/tmp/x", file, "", b"x")],
        &[("a/../../outside/file", file, "", b"x")],
        &[("l", EntryType::Symlink, there, b""), ("l/file", file, "", b"x")],
        &[("l2", EntryType::Symlink, "../outside", b""), ("l2/new/deep", file, "", b"x")],
        &[("h", EntryType::Link, "../outside/file", b"")],
        &[("s", EntryType::Symlink, there, b""), ("h2", EntryType::Link, "s/file", b"")],
        &[("dev", EntryType::Char, "", b"")],
        &[("fifo", EntryType::Fifo, "", b"")],
    ];
    for (number, entries) in trees.iter().enumerate() {
        let tar = raw_tar(entries);
        let refused = put_all(&mut master, &format!("t-{number}"), PutTarget::Tree, "/workspace", &tar).await;
        assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition, "{entries:?}");
    }
    // A link, and then a file of the same name: the link goes, its target stays.
    let twice = raw_tar(&[("x", EntryType::Symlink, &format!("{there}/file"), b""), ("x", file, "", b"mine")]);
    put_all(&mut master, "twice", PutTarget::Tree, "/workspace", &twice).await.unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    put_all(&mut master, "junk", PutTarget::Tree, "/workspace", &[b'j'; 2048]).await.unwrap_err();
}
