//! A registry that gives something else than it was asked for.

use serde_json::json;

use crate::server::{Answer, Server};
use crate::world::{CONFIG, LAYER, MANIFEST, Shelf, World, digest};

/// Gives this content under the digest of another.
fn forged(which: &str, content: Vec<u8>) -> Server {
    let (mut shelf, which) = (Shelf::usual(), which.to_owned());
    shelf.blobs.insert(which, content);
    Server::start(move |asked| shelf.answer(asked))
}

#[test]
fn nothing_is_kept_under_a_name_that_is_not_its_own() {
    let shelf = Shelf::usual();
    for which in shelf.blobs.keys() {
        let mut content = shelf.blobs[which].clone();
        let last = content.len() - 1;
        content[last] ^= 1;
        let (world, server) = (World::new(), forged(which, content));
        let refusal = world.refusal(&server.host, "tool:1");
        assert!(refusal.contains("damaged or forged") && refusal.contains(which), "{refusal}");
        assert!(!world.kept().contains(which));
        let left = std::fs::read_dir(world.cache().dir().join("partial")).unwrap().count();
        assert_eq!(left, 0, "nothing is left to go on with");
    }
}

#[test]
fn more_than_was_announced_is_not_read() {
    let shelf = Shelf::usual();
    let layer = shelf.layers()[0].clone();
    let mut content = shelf.blobs[&layer].clone();
    content.extend(vec![0; 1 << 20]);
    let refusal = World::new().refusal(&forged(&layer, content).host, "tool:1");
    assert!(refusal.contains("where its descriptor says 300000"), "{refusal}");
}

#[test]
fn a_document_that_could_be_read_in_two_ways_is_refused() {
    let mut shelf = Shelf::usual();
    let config = shelf.put(CONFIG, b"{}".to_vec());
    let both = json!({"mediaType": MANIFEST, "manifests": [], "config": config, "layers": []});
    let both = shelf.put(MANIFEST, both.to_string().into_bytes());
    shelf.tags.insert("both".to_owned(), digest(&both));
    let server = Server::start(move |asked| shelf.answer(asked));
    let refusal = World::new().refusal(&server.host, "tool:both");
    assert!(refusal.contains("neither an index nor a manifest"), "{refusal}");
}

#[test]
fn an_image_larger_than_allowed_is_refused_before_anything_is_downloaded() {
    let mut shelf = Shelf::usual();
    let mut layer = shelf.put(LAYER, vec![1]);
    layer["size"] = json!(u64::MAX);
    let bomb = shelf.image(crate::world::machine(), &[layer.clone(), layer.clone()]);
    shelf.tags.insert("bomb".to_owned(), digest(&bomb));
    let server = Server::start(move |asked| shelf.answer(asked));
    let refusal = World::new().refusal(&server.host, "tool:bomb");
    assert!(refusal.contains("DANUBE_IMAGE_MAX_BYTES"), "{refusal}");
    assert_eq!(server.times("blobs"), 0);
}

#[test]
fn an_endless_manifest_and_endless_redirects_end() {
    let server = Server::start(|_| Answer::of(200, vec![b' '; 9 << 20]));
    let refusal = World::new().refusal(&server.host, "tool:1");
    assert!(refusal.contains("endless manifest"), "{refusal}");
    let server = Server::start(|asked| Answer::of(307, "").header("Location", asked.path.clone()));
    let refusal = World::new().refusal(&server.host, "tool:1");
    assert!(refusal.contains("redirects"), "{refusal}");
    let server = Server::start(|_| Answer::of(302, "").header("Location", "http://r.example/x"));
    let refusal = World::new().refusal(&server.host, "tool:1");
    assert!(refusal.contains("without TLS"), "{refusal}");
}
