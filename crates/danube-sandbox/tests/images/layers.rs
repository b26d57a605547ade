//! Layers over one another: what each adds, hides and replaces.

use std::os::unix::fs::MetadataExt;

use crate::builder::Tar;
use crate::world::World;

fn base() -> Vec<u8> {
    Tar::new().dir("etc").file("etc/one", "1").file("etc/two", "2").dir("opt/app").file("opt/app/bin", "b").build()
}

#[test]
fn a_layer_adds_and_replaces() {
    let world = World::new();
    let unpacked = world.unpack(vec![base(), Tar::new().file("etc/two", "zwei").file("new/deep/three", "3").build()]);
    assert_eq!(unpacked.unwrap().entries, 7);
    assert_eq!((world.text("etc/one"), world.text("etc/two")), ("1".into(), "zwei".into()));
    assert_eq!(world.text("new/deep/three"), "3");
    assert_eq!(world.stat("new/deep").mode() & 0o7777, 0o755, "directories that no entry names get a usual mode");
}

#[test]
fn a_whiteout_hides_a_file_and_a_whole_directory() {
    let world = World::new();
    world.unpack(vec![base(), Tar::new().file("etc/.wh.one", "").file("opt/.wh.app", "").build()]).unwrap();
    assert_eq!(world.names(), ["etc", "etc/two", "opt"]);
}

#[test]
fn a_whiteout_of_what_is_not_there_does_nothing() {
    let world = World::new();
    let layer = Tar::new().file("etc/.wh.none", "").file("no/where/.wh.x", "").file("etc/one/.wh.x", "").build();
    world.unpack(vec![base(), layer]).unwrap();
    assert_eq!(world.names(), ["etc", "etc/one", "etc/two", "opt", "opt/app", "opt/app/bin"]);
}

#[test]
fn an_opaque_directory_keeps_only_its_own_layer_in_any_order() {
    let own_first = Tar::new().dir("etc").file("etc/mine", "m").file("etc/.wh..wh..opq", "").build();
    let own_last = Tar::new().dir("etc").file("etc/.wh..wh..opq", "").file("etc/mine", "m").build();
    for layer in [own_first, own_last] {
        let world = World::new();
        world.unpack(vec![base(), layer]).unwrap();
        assert_eq!(world.names(), ["etc", "etc/mine", "opt", "opt/app", "opt/app/bin"]);
    }
}

#[test]
fn a_whiteout_never_hides_a_file_of_its_own_layer_in_any_order() {
    let file_first = Tar::new().file("etc/one", "new").file("etc/.wh.one", "").build();
    let file_last = Tar::new().file("etc/.wh.one", "").file("etc/one", "new").build();
    for layer in [file_first, file_last] {
        let world = World::new();
        world.unpack(vec![base(), layer]).unwrap();
        assert_eq!(world.text("etc/one"), "new");
    }
}

#[test]
fn a_directory_hidden_and_made_anew_has_only_what_is_new() {
    let world = World::new();
    let layer = Tar::new().dir("opt").dir("opt/app").file("opt/app/new", "n").file("opt/.wh.app", "").build();
    world.unpack(vec![base(), layer]).unwrap();
    assert_eq!(world.names(), ["etc", "etc/one", "etc/two", "opt", "opt/app", "opt/app/new"]);
}

#[test]
fn an_opaque_root_hides_everything_below() {
    let world = World::new();
    world.unpack(vec![base(), Tar::new().file(".wh..wh..opq", "").file("only", "o").build()]).unwrap();
    assert_eq!(world.names(), ["only"]);
}

#[test]
fn a_directory_becomes_a_file_and_a_file_a_directory() {
    let world = World::new();
    let layer = Tar::new().file("opt/app", "now a file").dir("etc/one").file("etc/one/inside", "i").build();
    world.unpack(vec![base(), layer]).unwrap();
    assert_eq!(world.text("opt/app"), "now a file");
    assert_eq!(world.text("etc/one/inside"), "i");
}

#[test]
fn a_directory_over_a_link_takes_its_place_and_the_target_stays() {
    let world = World::new();
    let links = Tar::new().dir("real").file("real/kept", "k").symlink("link", "real").build();
    world.unpack(vec![links, Tar::new().dir("link").file("link/own", "o").build()]).unwrap();
    assert_eq!(world.names(), ["link", "link/own", "real", "real/kept"]);
    assert!(world.stat("link").is_dir());
}

#[test]
fn a_file_through_a_linked_directory_lands_where_the_link_leads() {
    let world = World::new();
    let merged = Tar::new().dir("usr/lib").symlink("lib", "usr/lib").symlink("var/run", "/run").build();
    world.unpack(vec![merged, Tar::new().file("lib/x.so", "x").file("var/run/pid", "1").build()]).unwrap();
    assert_eq!((world.text("usr/lib/x.so"), world.text("run/pid")), ("x".into(), "1".into()));
    assert!(world.stat("lib").is_symlink(), "the link itself stays");
}

#[test]
fn a_whiteout_is_not_carried_through_a_link() {
    let world = World::new();
    let links = Tar::new().dir("real").file("real/kept", "k").symlink("link", "real").build();
    let layer = Tar::new().file("link/.wh.kept", "").file("link/.wh..wh..opq", "").build();
    world.unpack(vec![links, layer]).unwrap();
    assert_eq!(world.text("real/kept"), "k");
}

#[test]
fn a_whiteout_of_a_link_removes_the_link_alone() {
    let world = World::new();
    let links = Tar::new().dir("real").file("real/kept", "k").symlink("link", "real").build();
    world.unpack(vec![links, Tar::new().file(".wh.link", "").build()]).unwrap();
    assert_eq!(world.names(), ["real", "real/kept"]);
}

#[test]
fn bookkeeping_of_old_union_file_systems_leaves_no_trace() {
    let world = World::new();
    let layer = Tar::new().dir(".wh..wh.plnk").file(".wh..wh.plnk/12.34", "").file(".wh..wh.aufs", "").build();
    world.unpack(vec![base(), layer.clone()]).unwrap();
    assert!(world.names().iter().all(|name| !name.contains(".wh.")), "{:?}", world.names());
}

#[test]
fn replacing_one_name_of_a_file_leaves_its_other_names_alone() {
    let world = World::new();
    let linked = Tar::new().file("a", "old").hard_link("b", "a").build();
    world.unpack(vec![linked, Tar::new().file("b", "new").build()]).unwrap();
    assert_eq!((world.text("a"), world.text("b")), ("old".into(), "new".into()));
}

#[test]
fn a_hard_link_reaches_a_file_of_a_lower_layer() {
    let world = World::new();
    world.unpack(vec![base(), Tar::new().hard_link("etc/again", "/etc/one").build()]).unwrap();
    assert_eq!(world.stat("etc/again").ino(), world.stat("etc/one").ino());
}

#[test]
fn modes_and_times_are_kept_also_of_directories_that_were_filled_later() {
    let world = World::new();
    let first = Tar::new().dir_mode("closed", 0o555).file("closed/a", "a").mode("run", 0o751).build();
    world.unpack(vec![first, Tar::new().file("closed/b", "b").build()]).unwrap();
    assert_eq!(world.stat("closed").mode() & 0o7777, 0o555);
    assert_eq!(world.stat("closed").mtime(), 1_000_000_000);
    assert_eq!(world.stat("run").mode() & 0o7777, 0o751);
    assert_eq!(world.stat("closed/b").mtime(), 1_000_000_000);
}
