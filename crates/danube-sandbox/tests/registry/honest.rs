//! A registry that does what it should.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::server::{Answer, Server};
use crate::world::{INDEX, Shelf, World, digest, machine};

#[test]
fn an_image_is_pulled_once_and_by_digest_without_network() {
    let (world, shelf) = (World::new(), Shelf::usual());
    let (open, honest) = (Arc::new(AtomicBool::new(true)), shelf.clone());
    let is_open = open.clone();
    let server = Server::start(move |asked| match is_open.load(Ordering::Relaxed) {
        true => honest.answer(asked),
        false => Answer::of(500, ""),
    });
    let pulled = world.pull(&server.host, "tool:1").unwrap();
    assert_eq!(pulled.image.digest.to_string(), shelf.tags["1"]);
    assert_eq!(pulled.image.layers.iter().map(|l| l.digest.to_string()).collect::<Vec<_>>(), shelf.layers());
    assert!(pulled.image.config.env.contains(&"A=1".to_owned()));
    assert!(world.told().contains("100 % of 2 MB"), "{}", world.told());
    world.pull(&server.host, "tool:1").unwrap();
    assert_eq!(shelf.blobs.keys().map(|digest| server.times(digest)).collect::<Vec<_>>(), vec![1; 4]);
    open.store(false, Ordering::Relaxed);
    world.pull(&server.host, &format!("tool@{}", shelf.tags["1"])).unwrap();
}

#[test]
fn of_many_machines_images_this_machines_is_taken() {
    let mut shelf = Shelf::usual();
    let [own, other] = [machine(), "s390x"].map(|architecture| {
        let mut described = shelf.image(architecture, &[]);
        described["platform"] = json!({"os": "linux", "architecture": architecture});
        described
    });
    let both = shelf.put(INDEX, json!({"manifests": [other.clone(), own.clone()]}).to_string().into_bytes());
    let foreign = shelf.put(INDEX, json!({"manifests": [other]}).to_string().into_bytes());
    shelf.tags.extend([("both".to_owned(), digest(&both)), ("foreign".to_owned(), digest(&foreign))]);
    let server = Server::start(move |asked| shelf.answer(asked));
    let world = World::new();
    let pulled = world.pull(&server.host, "tool:both").unwrap();
    assert_eq!(pulled.image.digest.to_string(), digest(&own));
    world.pull(&server.host, &format!("tool@{}", digest(&both))).unwrap();
    let refusal = world.refusal(&server.host, "tool:foreign");
    assert!(refusal.contains("only for linux/s390x"), "{refusal}");
}

#[test]
fn many_who_want_the_same_download_it_once() {
    let (world, shelf) = (World::new(), Shelf::usual());
    let honest = shelf.clone();
    let server = Server::start(move |asked| honest.answer(asked));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| world.pull(&server.host, "tool:1").unwrap());
        }
    });
    assert_eq!(shelf.blobs.keys().map(|digest| server.times(digest)).collect::<Vec<_>>(), vec![1; 4]);
}

#[test]
fn what_was_not_used_for_longest_goes_first_and_what_is_held_stays() {
    let (world, shelf) = (World::new(), Shelf::usual());
    let honest = shelf.clone();
    let server = Server::start(move |asked| honest.answer(asked));
    let held = world.pull(&server.host, "tool:1").unwrap();
    assert_eq!(world.cache().shrink(0).unwrap(), 0, "everything is held");
    drop(held);
    let layers = shelf.layers();
    for (hours, layer) in [1, 2].into_iter().zip(&layers) {
        let file = world.cache().dir().join("blobs").join(layer.replace(':', "/"));
        let used = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(3600 * hours);
        std::fs::File::open(file).unwrap().set_modified(used).unwrap();
    }
    drop(world.cache().hold(&layers[0].parse().unwrap()).unwrap());
    assert_eq!(world.cache().shrink(310_000).unwrap(), 800_000);
    assert!(world.kept().contains(&layers[0]) && !world.kept().contains(&layers[1]), "{:?}", world.kept());
    world.pull(&server.host, "tool:1").unwrap();
    assert_eq!((server.times(&layers[0]), server.times(&layers[1])), (1, 2));
}

#[test]
fn what_the_disk_damaged_is_downloaded_again() {
    let (world, shelf) = (World::new(), Shelf::usual());
    let honest = shelf.clone();
    let server = Server::start(move |asked| honest.answer(asked));
    drop(world.pull(&server.host, "tool:1").unwrap());
    let layer = shelf.layers()[0].clone();
    std::fs::write(world.cache().dir().join("blobs").join(layer.replace(':', "/")), "rotten").unwrap();
    let all: Vec<_> = shelf.layers().iter().map(|digest| digest.parse().unwrap()).collect();
    assert_eq!(world.cache().remove_damaged(&all).unwrap(), 1);
    world.pull(&server.host, "tool:1").unwrap();
    assert_eq!(server.times(&layer), 2);
}

#[test]
fn a_registry_that_does_not_know_head_is_asked_for_the_whole() {
    let (world, shelf) = (World::new(), Shelf::usual());
    let honest = shelf.clone();
    let server = Server::start(move |asked| match asked.method.as_str() {
        "HEAD" => Answer::of(405, ""),
        _ => honest.answer(asked),
    });
    let pulled = world.pull(&server.host, "tool:1").unwrap();
    assert_eq!(pulled.image.digest.to_string(), shelf.tags["1"]);
    assert_eq!(server.times("manifests"), 1);
}
