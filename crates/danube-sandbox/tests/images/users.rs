//! The user of an image, looked up in the image itself.

use std::fs::{self, File};
use std::os::fd::AsFd;

use danube_sandbox::images::{User, find_user};

use crate::world::World;

fn world() -> World {
    let world = World::new();
    fs::create_dir(world.root().join("etc")).unwrap();
    let passwd = "root:x:0:0::/root:/bin/sh\nbroken\napp:x:1000:1001:,,,:/home/app:/bin/sh\nbig:x:70000:1::/:\n";
    fs::write(world.root().join("etc/passwd"), passwd).unwrap();
    fs::write(world.root().join("etc/group"), "root:x:0:\nstaff:x:50:app,root\ndocker:x:99:app\n").unwrap();
    world
}

fn find(world: &World, user: Option<&str>) -> Result<User, String> {
    find_user(File::open(world.root()).unwrap().as_fd(), user).map_err(|error| error.to_string())
}

#[test]
fn names_and_numbers_are_found_with_their_groups_and_home() {
    let world = world();
    let ids = |user: &str| find(&world, Some(user)).map(|found| (found.uid, found.gid));
    assert_eq!(ids("app"), Ok((1000, 1001)));
    assert_eq!(ids("app:staff"), Ok((1000, 50)));
    assert_eq!(ids("1000"), Ok((1000, 1001)));
    assert_eq!(ids("1000:7"), Ok((1000, 7)));
    assert_eq!(ids("4242"), Ok((4242, 0)));
    let app = find(&world, Some("app")).unwrap();
    assert_eq!((app.groups, app.home.as_str(), app.name.as_deref()), (vec![50, 99], "/home/app", Some("app")));
    let root = find(&world, None).unwrap();
    assert_eq!((root.uid, root.home.as_str()), (0, "/root"));
}

#[test]
fn users_that_cannot_be_are_refused_with_words() {
    let world = world();
    for (user, why) in [("nobody", "no user"), ("app:none", "no group"), ("big", "70000"), ("0:99999", "99999")] {
        let words = find(&world, Some(user)).unwrap_err();
        assert!(words.contains(why), "{words}");
    }
}

#[test]
fn an_image_without_accounts_has_numbers_all_the_same() {
    let world = World::new();
    assert_eq!(find(&world, Some("12:34")).map(|user| (user.uid, user.gid, user.home)), Ok((12, 34, "/".to_owned())));
}

#[test]
fn a_linked_passwd_is_read_within_the_image_only() {
    let world = World::new();
    fs::create_dir_all(world.root().join("etc")).unwrap();
    let passwd = world.root().join("etc/passwd");
    fs::write(world.base.path().join("outside-passwd"), "app:x:6:6::/:\n").unwrap();
    for target in ["../../outside-passwd".to_owned(), format!("{}/../outside-passwd", world.outside())] {
        std::os::unix::fs::symlink(target, &passwd).unwrap();
        assert!(find(&world, Some("app")).unwrap_err().contains("no user"));
        fs::remove_file(&passwd).unwrap();
    }
    fs::write(world.root().join("real"), "app:x:5:5::/:\n").unwrap();
    std::os::unix::fs::symlink("/real", &passwd).unwrap();
    assert_eq!(find(&world, Some("app")).unwrap().uid, 5);
}

#[test]
fn an_endless_passwd_and_one_that_is_no_file_are_refused() {
    let world = World::new();
    fs::create_dir_all(world.root().join("etc")).unwrap();
    let passwd = world.root().join("etc/passwd");
    File::create(&passwd).unwrap().set_len(1 << 33).unwrap();
    assert!(find(&world, None).unwrap_err().contains("more than"));
    fs::remove_file(&passwd).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &passwd, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(find(&world, None).unwrap_err().contains("not a regular file"));
}
