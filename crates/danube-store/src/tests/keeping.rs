//! Artifacts: a name is taken once, and an attempt keeps so much and no more.

use danube_core::artifact::ArtifactName;

use super::artifacts::{Caps, Inserted, NewArtifact};
use super::*;

const CAPS: Caps = Caps { count: 3, bytes: 100 };

async fn keep(store: &Store, call: u8, name: &str, size: u64) -> Inserted {
    let name: ArtifactName = name.parse().unwrap();
    let new = NewArtifact { name, call: StepId::from_bytes([call; 16]), size, sha256: [call; 32], created_ms: 1 };
    let write = store.write(move |tx| Box::pin(async move { artifacts::insert(tx, &attempt(1), &new, CAPS).await }));
    write.await.unwrap()
}

#[tokio::test]
async fn an_attempt_keeps_so_many_files_and_bytes_each_under_a_name_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    insert_job(&store, 1).await.unwrap();
    insert_attempt(&store, 1).await;
    assert_eq!(keep(&store, 1, "dist/a", 60).await, Inserted::Kept);
    for (call, name) in [(2, "dist/a"), (3, "dist"), (4, "dist/a/b")] {
        assert_eq!(keep(&store, call, name, 1).await, Inserted::Taken("dist/a".into()), "{name}");
    }
    assert_eq!(keep(&store, 5, "dist/ab", 41).await, Inserted::Full, "101 bytes");
    assert_eq!(keep(&store, 6, "dist/ab", 40).await, Inserted::Kept, "a name that only begins like another");
    assert_eq!(keep(&store, 7, "empty", 0).await, Inserted::Kept);
    assert_eq!(keep(&store, 8, "fourth", 0).await, Inserted::Full, "four files");
    let names = artifacts::list(store.read(), &attempt(1)).await.unwrap();
    assert_eq!(names.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["dist/a", "dist/ab", "empty"]);
    let name = |text: &str| text.parse::<ArtifactName>().unwrap();
    let one = artifacts::get(store.read(), &attempt(1), &name("dist/ab")).await.unwrap().unwrap();
    assert_eq!((one.size, one.sha256), (40, vec![6; 32]));
    assert_eq!(artifacts::get(store.read(), &attempt(1), &name("dist")).await.unwrap(), None);
    let other = AttemptId { number: 2, ..attempt(1) };
    assert_eq!(artifacts::get(store.read(), &other, &name("dist/ab")).await.unwrap(), None, "each attempt has its own");
}
