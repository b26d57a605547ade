//! The store: an image is unpacked once, whoever asks, whatever crashes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use danube_core::runtime::ImageSource;
use danube_sandbox::images::{
    Digest, Hands, Here, ImageKey, ImageStore, Limits, Ownership, ResolvedImage, Result, StoredImage, Unpacked, resolve,
};

use crate::builder::{Layout, Tar};
use crate::world::World;

/// A guard against a test that hangs; nothing is measured with it.
const HUNG: Duration = Duration::from_secs(60);

fn here() -> Here<impl FnMut(u64, u64)> {
    Here { ownership: Ownership::Single, limits: Limits::default(), progress: |_, _| {} }
}

fn image(source: &ImageSource) -> (ResolvedImage, ImageKey) {
    let image = resolve(source, &Limits::default()).unwrap();
    let key = ImageKey::new(&image.digest, Ownership::Single, 7);
    (image, key)
}

fn sample(world: &World) -> ImageSource {
    let layer = (0..200).fold(Tar::new(), |tar, at| tar.file(format!("d{at}/f"), vec![1; 20_000]));
    Layout::of(&world.image(), vec![layer.dir_mode("closed", 0o500).file("closed/x", "x").build()]).source()
}

/// Counts how often it unpacks.
struct Counting<'a> {
    unpacked: &'a AtomicUsize,
}

impl Hands for Counting<'_> {
    fn unpack(&mut self, image: &ResolvedImage, root: BorrowedFd<'_>) -> Result<Unpacked> {
        self.unpacked.fetch_add(1, Ordering::SeqCst);
        here().unpack(image, root)
    }
    fn clear(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        here().clear(root)
    }
}

fn hidden(store: &Path) -> Vec<String> {
    let names = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".partial")).collect()
}

#[test]
fn eight_threads_unpack_one_image_once() {
    let world = World::new();
    let store = world.base.path().join("root/store");
    let (image, key) = image(&sample(&world));
    let (unpacked, start) = (AtomicUsize::new(0), Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let store = ImageStore::open(&store).unwrap();
                let stored = store.ensure(&key, &image, &mut Counting { unpacked: &unpacked }).unwrap();
                let file =
                    rustix::fs::openat(&stored.rootfs, "d199/f", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
                assert!(file.is_ok(), "whoever gets the image gets all of it");
            });
        }
    });
    assert_eq!(unpacked.load(Ordering::SeqCst), 1);
}

/// Containers of one job start together and keep their image until the job ends: nobody may wait for another's end.
#[test]
fn whoever_is_late_does_not_wait_until_the_others_have_done_with_the_image() {
    let world = World::new();
    let layer = Tar::new().file("f", "x").build();
    let (image, key) = image(&Layout::of(&world.image(), vec![layer]).source());
    let (told, all) = std::sync::mpsc::channel();
    for round in 0..40 {
        let (start, done) = (Arc::new(Barrier::new(4)), Arc::new(Barrier::new(4)));
        for _ in 0..4 {
            let (store, told) = (world.root().join(format!("store-{round}")), told.clone());
            let (image, key, start, done) = (image.clone(), key.clone(), start.clone(), done.clone());
            std::thread::spawn(move || {
                let store = ImageStore::open(&store).unwrap();
                start.wait();
                let held = store.ensure(&key, &image, &mut here()).unwrap();
                done.wait();
                drop(held);
                told.send(()).unwrap();
            });
        }
        for _ in 0..4 {
            all.recv_timeout(HUNG).unwrap_or_else(|_| panic!("round {round}: somebody waits for ever"));
        }
    }
}

#[test]
fn the_image_is_listed_used_and_removed() {
    let world = World::new();
    let store = ImageStore::open(&world.root().join("store")).unwrap();
    let (image, key) = image(&sample(&world));
    assert!(store.get(&key).unwrap().is_none());
    let stored: StoredImage = store.ensure(&key, &image, &mut here()).unwrap();
    assert_eq!(stored.config, image.config);
    let kept = store.list().unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].key == key && kept[0].bytes > 4_000_000 && kept[0].entries == 202, "{kept:?}");

    let in_use = store.remove(&key, &mut here()).unwrap_err().to_string();
    assert!(in_use.contains("in use"), "{in_use}");
    drop(stored);
    assert!(store.remove(&key, &mut here()).unwrap());
    assert!(!store.remove(&key, &mut here()).unwrap());
    assert!(store.get(&key).unwrap().is_none() && store.list().unwrap().is_empty());
}

#[test]
fn removing_follows_no_link() {
    let world = World::new();
    let outside = world.outside();
    let layer = Tar::new().symlink("a", &outside).dir("b").symlink("b/c", &outside).build();
    let (image, key) = image(&Layout::of(&world.image(), vec![layer]).source());
    let store = ImageStore::open(&world.root().join("store")).unwrap();
    drop(store.ensure(&key, &image, &mut here()).unwrap());
    assert!(store.remove(&key, &mut here()).unwrap());
    assert_eq!(fs::read_to_string(format!("{outside}/precious")).unwrap(), "untouched");
    assert_eq!(fs::read_to_string(format!("{outside}/deep/too")).unwrap(), "untouched");
}

#[test]
fn a_refused_image_leaves_nothing() {
    let world = World::new();
    let path = world.root().join("store");
    let layer = Tar::new().file("good", "g").file("../bad", "b").build();
    let (image, key) = image(&Layout::of(&world.image(), vec![layer]).source());
    let store = ImageStore::open(&path).unwrap();
    assert!(store.ensure(&key, &image, &mut here()).is_err());
    assert!(hidden(&path).is_empty() && store.list().unwrap().is_empty());
}

#[test]
fn other_owners_mean_another_copy() {
    let digest = danube_sandbox::images::Digest::of(b"");
    let keys = [
        ImageKey::new(&digest, Ownership::Single, 0),
        ImageKey::new(&digest, Ownership::Mapped, 0),
        ImageKey::new(&digest, Ownership::Mapped, 100_000),
    ];
    assert!(keys[0] != keys[1] && keys[1] != keys[2]);
}

/// A process of its own that unpacks; stops in the middle for ever if it is told to.
#[test]
#[ignore = "started by the tests below"]
fn child_unpacks() {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(store), Some(layout)) = (var("IMAGES_STORE"), var("IMAGES_LAYOUT")) else { return };
    let (image, key) = image(&ImageSource::OciLayout { dir: layout, tag: None });
    let stop = std::env::var_os("IMAGES_STOP").is_some();
    let progress = |done: u64, total: u64| {
        if stop && done > total / 2 {
            println!("half");
            let _ = std::io::stdin().read(&mut [0]);
        }
    };
    let mut hands = Here { ownership: Ownership::Single, limits: Limits::default(), progress };
    let stored = ImageStore::open(&store).unwrap().ensure(&key, &image, &mut hands).unwrap();
    println!("inode {}", rustix::fs::fstat(&stored.rootfs).unwrap().st_ino);
}

fn child(store: &Path, layout: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "keeping::child_unpacks", "--ignored", "--nocapture"]);
    command.env("IMAGES_STORE", store).env("IMAGES_LAYOUT", layout);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[test]
fn after_a_kill_in_the_middle_the_next_one_succeeds() {
    let world = World::new();
    let path = world.root().join("store");
    let (image, key) = image(&sample(&world));
    let mut killed = child(&path, &world.image()).env("IMAGES_STOP", "1").spawn().unwrap();
    let lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    assert!(lines.map_while(std::io::Result::ok).any(|line| line.contains("half")));
    let store = ImageStore::open(&path).unwrap();
    assert_eq!(store.sweep(&mut here()).unwrap(), 0, "what is being made is not swept");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(hidden(&path).len(), 1, "the test must have cut it in the middle");
    assert!(store.get(&key).unwrap().is_none(), "half an image is no image");

    let stored = store.ensure(&key, &image, &mut here()).unwrap();
    assert!(rustix::fs::statat(&stored.rootfs, "d199/f", rustix::fs::AtFlags::empty()).is_ok());
    assert!(hidden(&path).is_empty());
}

#[test]
fn leftovers_of_a_crash_are_swept() {
    let world = World::new();
    let path = world.root().join("store");
    sample(&world);
    let mut killed = child(&path, &world.image()).env("IMAGES_STOP", "1").spawn().unwrap();
    let lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    assert!(lines.map_while(std::io::Result::ok).any(|line| line.contains("half")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let store = ImageStore::open(&path).unwrap();
    assert_eq!(store.sweep(&mut here()).unwrap(), 1);
    assert!(hidden(&path).is_empty());
}

#[test]
fn eight_processes_get_one_and_the_same_tree() {
    let world = World::new();
    let path = world.root().join("store");
    sample(&world);
    let children: Vec<_> = (0..8).map(|_| child(&path, &world.image()).spawn().unwrap()).collect();
    let inode = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .find(|line| line.contains("inode"))
            .map(|line| line[line.find("inode").unwrap()..].to_owned())
            .unwrap()
    };
    let inodes: std::collections::BTreeSet<String> = children.into_iter().map(inode).collect();
    assert_eq!(inodes.len(), 1, "{inodes:?}");
}

#[test]
fn beyond_the_limit_what_was_not_used_for_longest_goes_and_what_is_used_stays() {
    let world = World::new();
    let store = ImageStore::open(&world.base.path().join("root/store")).unwrap();
    let keys: Vec<ImageKey> = (0..3)
        .map(|n| {
            let layer = Tar::new().file("f", vec![n; 10_000]).build();
            let (image, key) = image(&Layout::of(&world.image().join(n.to_string()), vec![layer]).source());
            store.ensure(&key, &image, &mut here()).unwrap();
            let lock = world.base.path().join("root/store").join(format!(".lock-{}", key.as_str()));
            let used = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(n));
            fs::File::open(lock).unwrap().set_modified(used).unwrap();
            key
        })
        .collect();
    let listed = || store.list().unwrap().len();
    let total: u64 = store.list().unwrap().iter().map(|kept| kept.bytes).sum();
    let other = ImageKey::new(&Digest::of(b""), Ownership::Mapped, 7);
    assert_eq!((store.shrink(0, &other, &mut here()).unwrap(), listed()), (0, 3), "others' files stay");
    drop(store.get(&keys[0]).unwrap());
    assert_eq!(store.shrink(total - 1, &keys[0], &mut here()).unwrap(), 1);
    assert!(store.get(&keys[1]).unwrap().is_none() && store.get(&keys[0]).unwrap().is_some());
    let held = store.get(&keys[2]).unwrap().unwrap();
    assert_eq!((store.shrink(0, &keys[0], &mut here()).unwrap(), listed()), (1, 1));
    drop(held);
}
