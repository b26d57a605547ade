//! The dialects of tar: what real tools write is read, damaged ones are refused with words.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use danube_core::runtime::ImageSource;

use crate::builder::{Head, Tar, gzip};
use crate::world::World;

/// Packs a folder by the machine's own tar, with these options.
fn packed(world: &World, options: &[&str], make: &str) -> ImageSource {
    let from = world.image().join("from");
    fs::create_dir(&from).unwrap();
    let made = Command::new("sh").arg("-ec").arg(make).current_dir(&from).status().unwrap();
    assert!(made.success());
    let file = world.image().join("packed.tar");
    let tar = Command::new("tar").args(options).arg("-cf").arg(&file).arg(".").current_dir(&from).status().unwrap();
    assert!(tar.success());
    fs::remove_dir_all(from).unwrap();
    ImageSource::Tar(file)
}

const LONG: &str = "a=$(printf 'n%.0s' $(seq 200)); mkdir -p $a/$a; echo long > $a/$a/$a; ln -s $a/$a/$a link; \
    ln $a/$a/$a hard; touch -d @1234567.25 hard";

#[test]
fn long_names_and_links_are_read_in_every_format() {
    for format in ["--format=gnu", "--format=pax"] {
        let world = World::new();
        world.unpack_from(&packed(&world, &[format], LONG)).unwrap();
        assert_eq!(world.text("link"), "long\n");
        assert_eq!(world.stat("hard").nlink(), 2);
        assert_eq!(world.stat("hard").mtime(), 1_234_567);
        let nanos = if format == "--format=pax" { 250_000_000 } else { 0 };
        assert_eq!(world.stat("hard").mtime_nsec(), nanos);
    }
}

#[test]
fn sparse_files_keep_their_content_and_their_holes_in_every_format() {
    let make = "truncate -s 20M s; for at in 0 1 3 5 7 9 11 13 15 17; do \
        printf data$at | dd of=s bs=1M seek=$at conv=notrunc status=none; done; truncate -s 3M empty";
    let formats: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ];
    for format in formats {
        let world = World::new();
        let options: Vec<&str> = format.iter().copied().chain(["--sparse"]).collect();
        world.unpack_from(&packed(&world, &options, make)).unwrap();
        let bytes = fs::read(world.root().join("s")).unwrap();
        assert_eq!(bytes.len(), 20 << 20, "{format:?}");
        for at in [0, 1, 3, 5, 7, 9, 11, 13, 15, 17] {
            let text = format!("data{at}");
            assert_eq!(&bytes[at << 20..(at << 20) + text.len()], text.as_bytes(), "{format:?}");
        }
        assert!(world.stat("s").blocks() * 512 < 2 << 20, "{format:?} lost its holes");
        assert_eq!(world.stat("empty").len(), 3 << 20);
    }
}

#[test]
fn old_and_plain_formats_are_read() {
    for format in ["--format=v7", "--format=ustar", "--format=oldgnu"] {
        let world = World::new();
        world.unpack_from(&packed(&world, &[format], "mkdir -p a/b; echo hi > a/b/c; ln -s b a/l")).unwrap();
        assert_eq!(world.text("a/l/c"), "hi\n");
        assert!(world.stat("a/b").is_dir());
    }
}

#[test]
fn a_pax_size_larger_than_the_headers_counts() {
    let world = World::new();
    let records: [(&str, &[u8]); 2] = [("size", b"5"), ("mtime", b"-1.5")];
    let tar = Tar::new().pax(&records).raw(&Head::new(b'0', b"f"), 0, b"12345").file("after", "a");
    world.unpack(vec![tar.build()]).unwrap();
    assert_eq!((world.text("f"), world.text("after")), ("12345".into(), "a".into()));
    assert_eq!((world.stat("f").mtime(), world.stat("f").mtime_nsec()), (-2, 500_000_000));
}

#[test]
fn a_tar_without_its_last_blocks_is_whole_all_the_same() {
    let world = World::new();
    let mut bytes = Tar::new().file("a", "a").build();
    bytes.truncate(1024);
    world.unpack(vec![bytes]).unwrap();
    assert_eq!(world.text("a"), "a");
}

#[test]
fn a_tar_cut_anywhere_else_is_refused() {
    let whole = Tar::new().file("a", vec![7; 1000]).file("b", "b").build();
    for cut in [100, 512, 700, 1535, 1600, 2100] {
        let words = World::new().refusal(vec![whole[..cut].to_vec()]);
        assert!(words.contains("ends"), "cut at {cut}: {words}");
    }
}

#[test]
fn a_cut_gzip_is_refused() {
    let world = World::new();
    let whole = gzip(&Tar::new().file("a", vec![7; 100_000]).build());
    let file = world.image().join("cut.tar.gz");
    for cut in [whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        fs::write(&file, &whole[..cut]).unwrap();
        let error = world.unpack_from(&ImageSource::Tar(file.clone())).unwrap_err().to_string();
        assert!(error.contains("ends too early"), "{error}");
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut bytes = Tar::new().file("a", "a").build();
    bytes[0] = b'b';
    assert!(World::new().refusal(vec![bytes]).contains("checksum"));
}

#[test]
fn several_gzip_members_are_one_stream() {
    let world = World::new();
    let bytes = Tar::new().file("a", vec![1; 3000]).build();
    let file = world.image().join("members.tar.gz");
    let mut out = fs::File::create(&file).unwrap();
    for part in bytes.chunks(700) {
        out.write_all(&gzip(part)).unwrap();
    }
    world.unpack_from(&ImageSource::Tar(file)).unwrap();
    assert_eq!(world.stat("a").len(), 3000);
}

#[test]
fn what_the_zstd_and_gzip_programs_write_is_read() {
    for program in ["gzip", "zstd"] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("not run: this machine has no {program}");
            continue;
        }
        let world = World::new();
        let option = format!("--{program}");
        world.unpack_from(&packed(&world, &[&option], "mkdir etc; echo hi > etc/motd")).unwrap();
        assert_eq!(world.text("etc/motd"), "hi\n");
    }
}
