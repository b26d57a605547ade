//! A real registry.

use danube_testutils::Registry;
use serde_json::json;

use crate::world::{MANIFEST, Shelf, World};

#[test]
fn a_pushed_image_is_pulled_by_tag_and_by_digest() {
    let Some(registry) = Registry::start() else { return };
    let (world, shelf) = (World::new(), Shelf::usual());
    let layout = world.dir.path().join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    for (digest, content) in &shelf.blobs {
        std::fs::write(layout.join("blobs").join(digest.replace(':', "/")), content).unwrap();
    }
    let index = json!({"manifests": [{"mediaType": MANIFEST, "digest": shelf.tags["1"]}]});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    assert_eq!(registry.push(&layout, "team/tool", "1"), shelf.tags["1"]);
    let layer = shelf.layers()[1].clone();
    let partial = world.cache().dir().join("partial").join(layer.trim_start_matches("sha256:"));
    std::fs::write(&partial, &shelf.blobs[&layer][..123_456]).unwrap();
    let pulled = world.pull(&registry.host, "tool:1").unwrap();
    assert_eq!(pulled.image.digest.to_string(), shelf.tags["1"]);
    let refusal = world.refusal(&registry.host, "tool:2");
    assert!(refusal.contains("does not have it"), "{refusal}");
    let refusal = world.refusal(&registry.host, "nothing:1");
    assert!(refusal.contains("does not have it"), "{refusal}");
    let host = registry.host.clone();
    drop(registry);
    world.pull(&host, &format!("tool@{}", shelf.tags["1"])).unwrap();
}
