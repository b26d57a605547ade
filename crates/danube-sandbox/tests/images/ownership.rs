//! To whom the files belong: as root, as an ordinary user, and as root of a namespace with one id.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use danube_sandbox::images::Ownership;

use crate::builder::Tar;
use crate::world::World;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn mapped() -> World {
    let mut world = World::new();
    world.ownership = Ownership::Mapped;
    world
}

#[test]
fn mapped_files_get_the_owners_of_the_image_and_keep_set_user_id() {
    if !is_root() {
        eprintln!("not run: giving files away needs root");
        return;
    }
    let world = mapped();
    let tar = Tar::new().mode("su", 0o4755).owned_by(1000, 65535).file("f", "f").dir("d").symlink("l", "f");
    world.unpack(vec![tar.file("made/on/the/way", "").build()]).unwrap();
    for name in ["f", "d", "l"] {
        assert_eq!((world.stat(name).uid(), world.stat(name).gid()), (1000, 65535), "{name}");
    }
    assert_eq!(world.stat("su").mode() & 0o7777, 0o4755);
    assert_eq!((world.stat("made").uid(), world.stat("made/on/the/way").uid()), (0, 1000));
}

#[test]
fn single_files_belong_to_the_caller_and_lose_set_user_id() {
    let world = World::new();
    let tar = Tar::new().owned_by(4_000_000, 1000).mode("su", 0o6755).dir_mode("tmp", 0o1777);
    world.unpack(vec![tar.build()]).unwrap();
    assert_eq!(world.stat("su").uid(), rustix::process::geteuid().as_raw());
    assert_eq!(world.stat("su").mode() & 0o7777, 0o755);
    assert_eq!(world.stat("tmp").mode() & 0o7777, 0o1777);
}

#[test]
fn an_owner_that_no_container_has_is_refused_by_its_number() {
    if !is_root() {
        eprintln!("not run: giving files away needs root");
        return;
    }
    for (uid, gid) in [(65536, 0), (0, 100_000)] {
        let words = mapped().refusal(vec![Tar::new().owned_by(uid, gid).file("f", "").build()]);
        assert!(words.contains(&uid.max(gid).to_string()), "{words}");
    }
}

#[test]
#[ignore = "started in a namespace by the test below"]
fn child_of_one_id() {
    let world = mapped();
    world.unpack(vec![Tar::new().dir_mode("d", 0o500).file("d/f", "f").symlink("l", "d").build()]).unwrap();
    assert_eq!((world.stat("d/f").uid(), world.stat("d").mode() & 0o777), (0, 0o500));
    let words = mapped().refusal(vec![Tar::new().owned_by(33, 33).file("www", "").build()]);
    assert!(words.contains("33:33") && words.contains("not mapped"), "{words}");
}

/// This test program, where an ordinary user can run it too, and a folder where it may write.
fn prepared(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let program = folder.path().join("images");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    program
}

fn as_ordinary_user(command: &mut Command, folder: &tempfile::TempDir) -> std::process::Output {
    const NOBODY: u32 = 65534;
    command.env("TMPDIR", folder.path()).current_dir(folder.path());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().unwrap()
}

#[test]
fn root_of_a_namespace_with_one_id_unpacks_what_belongs_to_root() {
    let folder = tempfile::tempdir().unwrap();
    let program = prepared(&folder);
    if !as_ordinary_user(Command::new("unshare").args(["-Ur", "true"]), &folder).status.success() {
        eprintln!("not run: this machine allows no user namespace to an ordinary user");
        return;
    }
    let mut command = Command::new("unshare");
    command.arg("-Ur").arg(&program).args(["--exact", "ownership::child_of_one_id", "--ignored"]);
    let output = as_ordinary_user(&mut command, &folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn everything_holds_for_an_ordinary_user_too() {
    if !is_root() {
        return; // This is the ordinary user's run already.
    }
    let folder = tempfile::tempdir().unwrap();
    let program = prepared(&folder);
    // One that is slow, and the same for everyone.
    let output = as_ordinary_user(Command::new(&program).args(["--skip", "a_hundred_thousand"]), &folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
