//! Images made on the spot from this machine's own programs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A root file system under construction.
pub struct Image {
    dir: tempfile::TempDir,
}

impl Image {
    /// These programs with the libraries they need.
    pub fn with(programs: &[&str]) -> Self {
        let image = Self { dir: tempfile::tempdir().expect("temporary folder") };
        for folder in ["root/bin", "root/etc", "root/tmp"] {
            fs::create_dir_all(image.dir.path().join(folder)).expect("folders");
        }
        image.write("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1234:1234::/:/bin/sh\n");
        image.write("etc/group", "root:x:0:\napp:x:1234:\n");
        for program in programs {
            let from = find(program);
            fs::copy(&from, image.root().join("bin").join(program)).expect("copied");
            libraries(&from).iter().for_each(|library| image.take(library));
        }
        image
    }

    /// A shell and some programs.
    pub fn usual() -> Self {
        Self::with(&["sh", "cat", "ls", "mkdir", "touch", "id", "env", "pwd"])
    }

    /// Its files.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, content).expect("written");
    }

    /// A file of this machine, at its own place.
    fn take(&self, file: &Path) {
        let to = self.root().join(file.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(to.parent().expect("a parent")).expect("folders");
        if !to.exists() {
            fs::copy(file, to).expect("copied");
        }
    }

    /// Packs it as a bare root file system.
    pub fn tar(&self, to: &Path) {
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--owner=0", "--group=0", "--sort=name", "--mtime=@0"]);
        let status = tar.arg("-C").arg(self.root()).arg("-cf").arg(to).arg(".").status().expect("tar is there");
        assert!(status.success());
    }

    /// Writes it as an OCI image layout with this configuration; gives the layer's digest.
    pub fn oci(&self, to: &Path, config: &Value) -> String {
        let blobs = to.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("folders");
        let packed = to.join("layer");
        self.tar(&packed);
        let layer = blob(&blobs, &fs::read(&packed).expect("the layer"));
        fs::remove_file(packed).expect("removed");
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({ "architecture": architecture, "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] } });
        let config = described(&blobs, &config, "application/vnd.oci.image.config.v1+json");
        let mut described_layer = layer.clone();
        described_layer["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [described_layer] });
        let manifest = described(&blobs, &manifest, "application/vnd.oci.image.manifest.v1+json");
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(to.join("index.json"), index.to_string()).expect("written");
        fs::write(to.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
        layer["digest"].as_str().expect("a digest").to_owned()
    }
}

/// Where a blob of a layout is.
pub fn blob_path(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn blob(blobs: &Path, content: &[u8]) -> Value {
    let digest = hex::encode(Sha256::digest(content));
    fs::write(blobs.join(&digest), content).expect("written");
    json!({ "digest": format!("sha256:{digest}"), "size": content.len() })
}

fn described(blobs: &Path, content: &Value, media_type: &str) -> Value {
    let mut described = blob(blobs, content.to_string().as_bytes());
    described["mediaType"] = json!(media_type);
    described
}

fn find(program: &str) -> PathBuf {
    let found = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"]
        .map(|folder| Path::new(folder).join(program))
        .into_iter()
        .find(|path| path.exists());
    found.unwrap_or_else(|| panic!("this machine has no {program}")).canonicalize().expect("resolved")
}

/// What the dynamic linker would load, the linker included.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let listed = Command::new("ldd").arg(program).output().expect("ldd is there");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}
