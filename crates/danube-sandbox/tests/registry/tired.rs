//! A registry that fails now and then, or for good.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::server::{Answer, Server};
use crate::world::{Shelf, World};

/// Answers the first so many requests with this status, then honestly.
fn tired(times: usize, status: u16) -> Server {
    let (shelf, count) = (Shelf::usual(), AtomicUsize::new(0));
    Server::start(move |asked| match count.fetch_add(1, Ordering::Relaxed) < times {
        true => Answer::of(status, r#"{"errors":[{"message":"come again"}]}"#).header("Retry-After", "0"),
        false => shelf.answer(asked),
    })
}

#[test]
fn what_fails_for_a_moment_is_asked_again() {
    for status in [429, 500, 503] {
        let world = World::new();
        world.pull(&tired(2, status).host, "tool:1").unwrap();
        assert!(world.told().contains("trying again"), "{}", world.told());
    }
}

#[test]
fn what_fails_for_good_is_told_in_words() {
    for (status, words) in [
        (429, "limits how much may be pulled"),
        (500, "answers 500"),
        (404, "does not have it"),
        (403, "gives no access"),
        (401, "asked in a way that is not known"),
        (418, "what no registry answers: 418"),
    ] {
        let server = tired(usize::MAX, status);
        let refusal = World::new().refusal(&server.host, "tool:1");
        assert!(refusal.contains(words) && refusal.contains(&server.host), "{status}: {refusal}");
    }
}

#[test]
fn nobody_there_is_told_in_words() {
    let refusal = World::new().refusal("127.0.0.1:1", "tool:1");
    assert!(refusal.contains("127.0.0.1:1 cannot be reached") && refusal.contains("HTTPS_PROXY"), "{refusal}");
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let shelf = Shelf::usual();
    let (honest, layers) = (shelf.clone(), shelf.layers());
    let server = Server::start(move |asked| {
        let cut = layers.iter().any(|layer| asked.path.contains(layer.as_str())).then_some(150_000);
        Answer { cut, ..honest.answer(asked) }
    });
    World::new().pull(&server.host, "tool:1").unwrap();
    let layer = &shelf.layers()[1];
    let asked = server.asked();
    let begins: Vec<_> = asked.iter().filter(|asked| asked.path.contains(layer)).map(|asked| asked.from()).collect();
    assert_eq!(begins, [0, 150_000, 300_000, 450_000, 600_000, 750_000], "more often than it tries without progress");
}

#[test]
fn where_nothing_can_be_resumed_it_begins_anew_and_gives_up_in_words() {
    let shelf = Shelf::usual();
    let (layer, count) = (shelf.layers()[1].clone(), AtomicUsize::new(0));
    let server = Server::start(move |asked| {
        let whole = crate::server::Asked { headers: Vec::new(), ..asked.clone() };
        let is_layer = asked.path.contains(&layer);
        let cut = (is_layer && count.fetch_add(1, Ordering::Relaxed) < 2).then_some(100_000);
        Answer { cut, ..shelf.answer(&whole) }
    });
    World::new().pull(&server.host, "tool:1").unwrap();
    let shelf = Shelf::usual();
    let layer = shelf.layers()[1].clone();
    let server =
        Server::start(move |asked| Answer { cut: asked.path.contains(&layer).then_some(0), ..shelf.answer(asked) });
    let refusal = World::new().refusal(&server.host, "tool:1");
    assert!(refusal.contains("connection broke"), "{refusal}");
}

#[test]
fn what_a_killed_download_left_is_gone_on_with() {
    let (world, shelf) = (World::new(), Shelf::usual());
    let layer = shelf.layers()[1].clone();
    let partial = world.cache().dir().join("partial").join(layer.trim_start_matches("sha256:"));
    std::fs::write(&partial, &shelf.blobs[&layer][..5000]).unwrap();
    let honest = shelf.clone();
    let server = Server::start(move |asked| honest.answer(asked));
    world.pull(&server.host, "tool:1").unwrap();
    assert_eq!(server.asked().iter().find(|asked| asked.path.contains(&layer)).unwrap().from(), 5000);
    let other = World::new();
    let partial = other.cache().dir().join("partial").join(layer.trim_start_matches("sha256:"));
    std::fs::write(&partial, [9; 5000]).unwrap();
    other.pull(&server.host, "tool:1").unwrap();
    assert!(!partial.exists());
}

#[test]
fn a_stopped_job_pulls_no_more() {
    let world = World::new();
    world.ear.stopped.store(true, Ordering::Relaxed);
    let shelf = Shelf::usual();
    let server = Server::start(move |asked| shelf.answer(asked));
    assert!(world.refusal(&server.host, "tool:1").contains("stopped"));
}
