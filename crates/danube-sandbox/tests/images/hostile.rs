//! Images made to do harm. `World` checks after each that nothing outside was touched.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use danube_sandbox::images::{ImageError, Limits};

use crate::builder::{Head, Tar, gzip, zstd};
use crate::world::World;

#[test]
fn an_absolute_path_counts_from_the_images_root() {
    let world = World::new();
    let target = format!("{}/precious", world.outside());
    world.unpack(vec![Tar::new().file(&target, "inside").file("//twice", "2").build()]).unwrap();
    assert_eq!(world.text(target.trim_start_matches('/')), "inside");
    assert_eq!(world.text("twice"), "2");
}

#[test]
fn dots_in_a_path_are_refused_wherever_they_stand() {
    for path in ["../outside/precious", "a/../../outside/precious", "..", "/..", "a/..", "x/../y"] {
        for tar in [Tar::new().file(path, "x"), Tar::new().dir(path), Tar::new().symlink(path, "t")] {
            let words = World::new().refusal(vec![tar.build()]);
            assert!(words.contains("..") && words.contains("refused"), "{words}");
        }
    }
    let world = World::new();
    let words = world.refusal(vec![Tar::new().file("a", "a").build(), Tar::new().file("../.wh.outside", "").build()]);
    assert!(words.contains(".wh.outside"), "{words}");
    for whiteout in [".wh...", ".wh..", ".wh."] {
        let layers = vec![Tar::new().file("d/a", "a").build(), Tar::new().file(format!("d/{whiteout}"), "").build()];
        assert!(World::new().refusal(layers).contains("whiteout of no file"));
    }
}

#[test]
fn a_link_then_a_file_through_it_stays_inside() {
    let world = World::new();
    let outside = world.outside();
    let tar = Tar::new()
        .symlink("absolute", &outside)
        .file("absolute/precious", "inside")
        .symlink("relative", "../../../../../../../../outside")
        .file("relative/precious", "inside")
        .symlink("final", format!("{outside}/precious"))
        .file("final", "the link itself is replaced")
        .build();
    world.unpack(vec![tar]).unwrap();
    assert_eq!(world.text(&format!("{}/precious", outside.trim_start_matches('/'))), "inside");
    assert_eq!(world.text("outside/precious"), "inside");
    assert_eq!(world.text("final"), "the link itself is replaced");
}

#[test]
fn a_farm_of_links_does_not_lead_out() {
    let world = World::new();
    let mut tar = Tar::new().symlink("l0", "..").dir("d/d/d");
    for at in 1..30 {
        tar = tar.symlink(format!("l{at}"), format!("l{}/../..", at - 1));
    }
    let tar = tar.file("l29/outside/precious", "x").symlink("d/d/d/up", "../../../../../..").file("d/d/d/up/y", "y");
    world.unpack(vec![tar.build()]).unwrap();
    assert_eq!((world.text("outside/precious"), world.text("y")), ("x".into(), "y".into()));
}

#[test]
fn links_in_a_circle_and_links_that_multiply_end() {
    let circle = Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", "x").build();
    assert!(World::new().refusal(vec![circle]).contains("symbolic links"));
    let mut tar = Tar::new().dir("x0");
    for at in 1..12 {
        tar = tar.symlink(format!("x{at}"), format!("x{0}/../x{0}/../x{0}/../x{0}", at - 1));
    }
    let words = World::new().refusal(vec![tar.file("x11/f", "f").build()]);
    assert!(words.contains("links"), "{words}");
}

#[test]
fn links_cannot_make_a_tree_deeper_than_can_be_removed() {
    let deep = vec!["d"; 150].join("/");
    let tar = Tar::new().dir(&deep).symlink("short", &deep).dir(format!("short/{deep}")).build();
    assert!(World::new().refusal(vec![tar]).contains("too many directories"));
}

#[test]
fn a_directory_replaced_by_a_link_between_layers_leads_nowhere() {
    let world = World::new();
    let outside = world.outside();
    let first = Tar::new().dir("data").file("data/a", "a").build();
    let second = Tar::new().symlink("data", &outside).build();
    let third = Tar::new().file("data/precious", "inside").file("data/.wh.deep", "").build();
    let fourth = Tar::new().dir("data").file("data/.wh..wh..opq", "").build();
    world.unpack(vec![first, second, third, fourth]).unwrap();
    assert_eq!(world.text(&format!("{}/precious", outside.trim_start_matches('/'))), "inside");
}

#[test]
fn a_cached_directory_is_forgotten_when_it_is_replaced_within_a_layer() {
    let world = World::new();
    let outside = world.outside();
    let tar = Tar::new().dir("d").file("d/a", "a").symlink("d", &outside).file("d/precious", "inside").build();
    world.unpack(vec![tar]).unwrap();
    assert!(world.stat("d").is_symlink());
    assert_eq!(world.text(&format!("{}/precious", outside.trim_start_matches('/'))), "inside");
}

#[test]
fn a_link_that_replaces_itself_leads_to_its_new_target_from_then_on() {
    let world = World::new();
    let tar = Tar::new().dir("new").symlink("s", "/").symlink("s/s", "new").file("s/f", "f").build();
    world.unpack(vec![tar]).unwrap();
    assert_eq!(world.names(), ["new", "new/f", "s"]);
}

#[test]
fn a_hard_link_reaches_no_file_outside() {
    let world = World::new();
    let target = format!("{}/precious", world.outside());
    assert!(world.refusal(vec![Tar::new().hard_link("h", &target).build()]).contains("does not exist"));
    assert!(World::new().refusal(vec![Tar::new().hard_link("h", "../outside/precious").build()]).contains(".."));
    let world = World::new();
    let through = Tar::new().symlink("s", world.outside()).hard_link("h", "s/precious").build();
    assert!(world.refusal(vec![through]).contains("symbolic link"));
}

#[test]
fn a_hard_link_to_a_link_is_the_link_and_writing_to_it_replaces_it() {
    let world = World::new();
    let target = format!("{}/precious", world.outside());
    let tar = Tar::new().symlink("s", &target).hard_link("h", "s").file("h", "new").build();
    world.unpack(vec![tar]).unwrap();
    assert!(world.stat("s").is_symlink());
    assert_eq!(world.text("h"), "new");
}

#[test]
fn hard_links_need_a_file_that_is_there() {
    for (tar, why) in [
        (Tar::new().hard_link("a", "none"), "no such file"),
        (Tar::new().dir("d").hard_link("a", "d"), "a directory"),
        (Tar::new().hard_link("a", "/"), "the root"),
        (Tar::new().hard_link("a", "a"), "no such file"),
        (Tar::new().hard_link("a", ""), "the root"),
    ] {
        let words = World::new().refusal(vec![tar.build()]);
        assert!(words.contains(why), "{words}");
    }
    let world = World::new();
    world.unpack(vec![Tar::new().file("a", "a").hard_link("a", "a").build()]).unwrap();
    assert_eq!(world.text("a"), "a", "a link of a file to itself changes nothing");
}

#[test]
fn devices_pipes_and_sockets_are_counted_and_not_made() {
    let world = World::new();
    let tar = Tar::new().dir("dev").special(b'3', "dev/null").special(b'4', "dev/sda").special(b'6', "dev/fifo");
    let unpacked = world.unpack(vec![tar.file("dev/file", "f").build()]).unwrap();
    assert_eq!(unpacked.skipped, 3);
    assert_eq!(world.names(), ["dev", "dev/file"]);
}

#[test]
fn unknown_kinds_of_entries_are_refused() {
    assert!(World::new().refusal(vec![Tar::new().special(b'M', "more").build()]).contains("'M'"));
}

#[test]
fn a_bomb_is_refused_with_the_number_before_it_fills_the_disk() {
    let mut world = World::new();
    let zeros = Tar::new().file("zeros", vec![0; 40 << 20]).build();
    let (gz, zst) = (gzip(&zeros), zstd(&zeros));
    for limits in [
        Limits { bytes: 4 << 20, ..Limits::default() },
        Limits { ratio: 100, ratio_from: 1 << 20, ..Limits::default() },
    ] {
        world.limits = limits;
        for bomb in [&gz, &zst] {
            let file = world.image().join("bomb.tar");
            fs::write(&file, bomb).unwrap();
            let error = world.unpack_from(&danube_core::runtime::ImageSource::Tar(file)).unwrap_err().to_string();
            let number = if limits.ratio == 100 { "100 times" } else { "4194304 bytes" };
            assert!(error.contains(number) && error.contains("DANUBE_IMAGE_MAX_"), "{error}");
            let written = world.stat("zeros").blocks() * 512;
            // The ratio is counted against what was read ahead, 128 KiB.
            assert!(written <= 14 << 20, "{written} bytes were written");
        }
    }
}

#[test]
fn a_bomb_of_many_layers_is_one_bomb() {
    let mut world = World::new();
    world.limits.bytes = 5 << 20;
    let layer = |at: u8| Tar::new().file(format!("f{at}"), vec![at; 2 << 20]).build();
    assert!(world.unpack((0..2).map(layer).collect()).is_ok());
    assert!(world.refusal((0..4).map(layer).collect()).contains("5242880 bytes"));
}

#[test]
fn a_bomb_behind_the_end_of_the_tar_is_met_too() {
    let mut world = World::new();
    world.limits.bytes = 4 << 20;
    let mut bytes = Tar::new().file("a", "a").build();
    bytes.resize(40 << 20, 0);
    let file = world.image().join("tail.tar.gz");
    fs::write(&file, gzip(&bytes)).unwrap();
    let error = world.unpack_from(&danube_core::runtime::ImageSource::Tar(file)).unwrap_err();
    assert!(error.to_string().contains("4194304"), "{error}");
}

#[test]
fn too_many_entries_are_refused_with_the_number() {
    let mut world = World::new();
    world.limits.entries = 10;
    let layer = |name: &str| (0..6).fold(Tar::new(), |tar, at| tar.file(format!("{name}{at}"), "")).build();
    let words = world.refusal(vec![layer("a"), layer("b")]);
    assert!(words.contains("10 files") && words.contains("DANUBE_IMAGE_MAX_ENTRIES"), "{words}");
}

#[test]
fn a_hundred_thousand_entries_are_no_trouble() {
    let world = World::new();
    let tar = (0..100_000).fold(Tar::new(), |tar, at| tar.file(format!("d{}/f{at}", at % 300), ""));
    assert_eq!(
        world.unpack(vec![tar.build(), Tar::new().file("d1/.wh..wh..opq", "").build()]).unwrap().entries,
        100_001
    );
    assert_eq!(fs::read_dir(world.root().join("d0")).unwrap().count(), 334);
    assert_eq!(fs::read_dir(world.root().join("d1")).unwrap().count(), 0);
}

#[test]
fn endless_headers_are_refused_before_they_are_read() {
    let huge = vec![b'a'; 2 << 20];
    let records: [(&str, &[u8]); 1] = [("path", &huge)];
    for tar in [
        Tar::new().pax(&records),
        Tar::new().raw(&Head::new(b'L', b"././@LongLink"), u64::MAX / 4, b""),
        Tar::new().raw(&Head::new(b'x', b"p"), 1 << 40, b""),
    ] {
        let words = World::new().refusal(vec![tar.file("a", "").build()]);
        assert!(words.contains("at most 1048576"), "{words}");
    }
    let long = Tar::new().file("x/".repeat(3000), "").build();
    assert!(World::new().refusal(vec![long]).contains("at most 4096"));
}

#[test]
fn sizes_that_overflow_are_refused() {
    let head = Head::new(b'0', b"big");
    for size in [u64::MAX, u64::MAX - 511, 1 << 62] {
        let error = World::new().unpack(vec![Tar::new().raw(&head, size, b"").build()]).unwrap_err();
        assert!(matches!(error, ImageError::InLayer { .. }), "{error}");
    }
}

#[test]
fn names_need_not_be_utf_8_but_they_need_to_be_names() {
    let world = World::new();
    world.unpack(vec![Tar::new().file(b"caf\xe9\xff\n\x1b[31m", "x").build()]).unwrap();
    let name = fs::read_dir(world.root()).unwrap().next().unwrap().unwrap().file_name();
    assert_eq!(name.as_bytes(), b"caf\xe9\xff\n\x1b[31m");
    let records: [(&str, &[u8]); 1] = [("path", b"a\0b")];
    assert!(World::new().refusal(vec![Tar::new().pax(&records).file("x", "").build()]).contains("NUL"));
    let words = World::new().refusal(vec![Tar::new().file("\x1b[31m/..", "").build()]);
    assert!(!words.contains('\x1b'), "an error must not carry the terminal's control characters: {words:?}");
}

#[test]
fn the_root_can_only_be_a_directory() {
    let world = World::new();
    let target = world.outside();
    for tar in [Tar::new().symlink("/", &target), Tar::new().file("./", "x"), Tar::new().symlink(".", &target)] {
        let result = world.unpack(vec![tar.build()]);
        assert!(result.is_err() || world.root().symlink_metadata().unwrap().is_dir());
    }
}

#[test]
fn a_file_cannot_be_written_into_a_file() {
    assert!(World::new().refusal(vec![Tar::new().file("a", "").file("a/b", "").build()]).contains("not a directory"));
}
