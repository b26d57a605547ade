//! The stories, in the order in which they are run.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use danube_core::runtime::Runtime;

use crate::world::{Traces, World, group};

type Story = (&'static str, fn(&tokio::runtime::Runtime));

const STORIES: &[Story] = &[("a_group_comes_and_goes_without_a_trace", a_group_comes_and_goes_without_a_trace)];

/// Runs the stories whose names contain an argument, or all. The number of those that failed.
pub fn run() -> usize {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let user = rustix::process::geteuid().as_raw();
    let mut failed = 0;
    for (name, story) in STORIES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| name.contains(w))) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let start = Instant::now();
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| story(&runtime)));
        failed += usize::from(done.is_err());
        let word = if done.is_ok() { "ok" } else { "FAILED" };
        println!("user {user}: {name} … {word} ({} ms)", start.elapsed().as_millis());
    }
    failed
}

fn a_group_comes_and_goes_without_a_trace(runtime: &tokio::runtime::Runtime) {
    let before = Traces::now();
    let world = World::new();
    runtime.block_on(async {
        let spec = group("story-comes", &["worker"]);
        world.create(&spec).await;
        let said = world.step(&spec, "id; pwd; ls -la / /dev /workspace; cat /proc/self/status | grep -i -E 'cap|secc|nonew'; cat /proc/mounts | wc -l; env; ps ax | head; head -3 /etc/passwd; touch /workspace/x $HOME/y /tmp/z").await;
        println!("{}", said.text);
        world.delete(&spec).await;
        assert!(world.sandbox.list().await.unwrap().is_empty());
        assert!(std::fs::read_dir(world.data().join("groups")).unwrap().next().is_none());
    });
    assert_eq!(Traces::now(), before);
}
