//! What a story needs: an image, a registry that has it, a cache of its own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use danube_sandbox::images::registry::{Cache, Credentials, Patience, Pull, Pulled, Reference, Watch};
use danube_sandbox::images::{Digest, Limits, Result};
use serde_json::{Value, json};

use crate::server::{Answer, Asked};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What a registry has, by digest and by tag. The honest answers.
#[derive(Clone, Default)]
pub struct Shelf {
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub tags: BTreeMap<String, String>,
}

impl Shelf {
    /// `team/tool:1` with two layers.
    pub fn usual() -> Self {
        let mut shelf = Self::default();
        let layers = [vec![7; 300_000], (0..200_000_u32).flat_map(u32::to_le_bytes).collect()];
        let layers: Vec<Value> = layers.into_iter().map(|bytes| shelf.put(LAYER, bytes)).collect();
        let manifest = shelf.image(machine(), &layers);
        shelf.tags.insert("1".to_owned(), digest(&manifest));
        shelf
    }

    pub fn put(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let described = json!({"mediaType": kind, "digest": Digest::of(&bytes).to_string(), "size": bytes.len()});
        self.blobs.insert(digest(&described), bytes);
        described
    }

    pub fn image(&mut self, architecture: &str, layers: &[Value]) -> Value {
        let config = json!({"architecture": architecture, "os": "linux", "config": {"Env": ["A=1"]}});
        let config = self.put(CONFIG, config.to_string().into_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.put(MANIFEST, manifest.to_string().into_bytes())
    }

    /// Layers of the usual image, by digest.
    pub fn layers(&self) -> Vec<String> {
        let manifest: Value = serde_json::from_slice(&self.blobs[&self.tags["1"]]).unwrap();
        manifest["layers"].as_array().unwrap().iter().map(digest).collect()
    }

    /// What an honest registry answers.
    pub fn answer(&self, asked: &Asked) -> Answer {
        let missing = || Answer::of(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
        let Some((_, name)) = asked.path.rsplit_once('/') else { return missing() };
        let digest = self.tags.get(name).map_or(name, String::as_str);
        match self.blobs.get(digest) {
            Some(bytes) => Answer::of(200, bytes.clone()).header("Docker-Content-Digest", digest).ranged(asked),
            None => missing(),
        }
    }
}

pub fn digest(described: &Value) -> String {
    described["digest"].as_str().unwrap().to_owned()
}

pub fn machine() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Notes what it is told.
#[derive(Default)]
pub struct Ear {
    pub told: Mutex<Vec<String>>,
    pub stopped: AtomicBool,
}

impl Watch for Ear {
    fn tell(&self, words: String) {
        self.told.lock().unwrap().push(words);
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// A cache in a folder of its own, and who pulls.
pub struct World {
    pub dir: tempfile::TempDir,
    pub credentials: Credentials,
    pub ear: Ear,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, credentials: Credentials::default(), ear: Ear::default() }
    }

    /// One that `docker login` gave a password for this registry.
    pub fn logged_in(host: &str, pair: &str) -> Self {
        let mut world = Self::new();
        let file = world.dir.path().join("config.json");
        std::fs::write(&file, json!({"auths": {host: {"auth": pair}}}).to_string()).unwrap();
        world.credentials = Credentials::read(&file).unwrap();
        world
    }

    pub fn cache(&self) -> Cache {
        Cache::open(self.dir.path()).unwrap()
    }

    pub fn pull(&self, host: &str, name: &str) -> Result<Pulled> {
        let (cache, limits) = (self.cache(), Limits::default());
        let patience =
            Patience { tries: 4, first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(5) };
        let pull = Pull { cache: &cache, credentials: &self.credentials, patience, limits: &limits, watch: &self.ear };
        let reference: Reference = format!("{host}/team/{name}").parse()?;
        pull.fetch(pull.find(&reference)?)
    }

    pub fn refusal(&self, host: &str, name: &str) -> String {
        self.pull(host, name).expect_err("it must be refused").to_string()
    }

    pub fn told(&self) -> String {
        self.ear.told.lock().unwrap().join("\n")
    }

    /// The digests of what is kept.
    pub fn kept(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.cache().dir().join("blobs/sha256")).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| format!("sha256:{}", e.unwrap().file_name().into_string().unwrap())).collect();
        names.sort();
        names
    }
}
