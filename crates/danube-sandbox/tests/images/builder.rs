//! Makes tars, layouts and archives as the tests need them, malicious ones byte by byte.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use danube_core::runtime::ImageSource;
use danube_sandbox::images::Digest;
use serde_json::{Value, json};

/// A tar under construction. Names go into the header as they are, whatever they are.
#[derive(Clone, Default)]
pub struct Tar {
    bytes: Vec<u8>,
    owner: (u32, u32),
}

/// The header fields of one entry.
pub struct Head<'a> {
    pub kind: u8,
    pub name: &'a [u8],
    pub link: &'a [u8],
    pub mode: u32,
    pub mtime: u64,
}

impl Head<'_> {
    pub const fn new(kind: u8, name: &[u8]) -> Head<'_> {
        Head { kind, name, link: b"", mode: 0o644, mtime: 1_000_000_000 }
    }
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    /// All further entries belong to these ids.
    pub fn owned_by(mut self, uid: u32, gid: u32) -> Self {
        self.owner = (uid, gid);
        self
    }

    pub fn entry(mut self, head: &Head, data: &[u8]) -> Self {
        let (name, link) = (head.name, head.link);
        if name.len() > 100 {
            self = self.long(b'L', name);
        }
        if link.len() > 100 {
            self = self.long(b'K', link);
        }
        self.raw(head, data.len() as u64, data)
    }

    /// An entry whose header claims any size at all.
    pub fn raw(mut self, head: &Head, size: u64, data: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_mode(head.mode);
        header.set_uid(self.owner.0.into());
        header.set_gid(self.owner.1.into());
        header.set_mtime(head.mtime);
        header.set_size(size);
        header.set_entry_type(tar::EntryType::new(head.kind));
        let old = header.as_old_mut();
        let put = |field: &mut [u8], text: &[u8]| {
            let count = text.len().min(field.len());
            field[..count].copy_from_slice(&text[..count]);
        };
        put(&mut old.name, head.name);
        put(&mut old.linkname, head.link);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.block_data(data)
    }

    fn block_data(mut self, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    fn long(self, kind: u8, text: &[u8]) -> Self {
        let mut data = text.to_vec();
        data.push(0);
        self.raw(&Head::new(kind, b"././@LongLink"), data.len() as u64, &data)
    }

    /// An extended header with these records for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n).unwrap();
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.raw(&Head::new(b'x', b"PaxHeader"), data.len() as u64, &data)
    }

    pub fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        self.entry(&Head::new(b'0', name.as_ref()), data.as_ref())
    }

    pub fn mode(self, name: &str, mode: u32) -> Self {
        self.entry(&Head { mode, ..Head::new(b'0', name.as_bytes()) }, b"")
    }

    pub fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.dir_mode(name, 0o755)
    }

    pub fn dir_mode(self, name: impl AsRef<[u8]>, mode: u32) -> Self {
        self.entry(&Head { mode, ..Head::new(b'5', name.as_ref()) }, b"")
    }

    pub fn symlink(self, name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        self.entry(&Head { link: to.as_ref(), mode: 0o777, ..Head::new(b'2', name.as_ref()) }, b"")
    }

    pub fn hard_link(self, name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        self.entry(&Head { link: to.as_ref(), ..Head::new(b'1', name.as_ref()) }, b"")
    }

    pub fn special(self, kind: u8, name: &str) -> Self {
        self.entry(&Head::new(kind, name.as_bytes()), b"")
    }

    /// The bytes with the two empty blocks at the end.
    pub fn build(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

pub fn machine() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// An OCI image layout in a folder.
pub struct Layout {
    pub dir: PathBuf,
}

impl Layout {
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { dir: dir.to_owned() }
    }

    /// A layout with one image of these uncompressed layers.
    pub fn of(dir: &Path, layers: Vec<Vec<u8>>) -> Self {
        let layout = Self::new(dir);
        let typed: Vec<_> = layers.into_iter().map(|bytes| (TAR.to_owned(), bytes)).collect();
        let manifest = layout.image(&typed, json!({}));
        layout.index(vec![manifest]);
        layout
    }

    pub fn path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }

    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes).to_string();
        fs::write(self.path(&digest), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    pub fn image(&self, layers: &[(String, Vec<u8>)], run: Value) -> Value {
        let config = json!({"architecture": machine(), "os": "linux", "config": run,
            "rootfs": {"type": "layers", "diff_ids": []}});
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let layers: Vec<Value> = layers.iter().map(|(kind, bytes)| self.blob(kind, bytes)).collect();
        self.manifest(config, layers)
    }

    pub fn manifest(&self, config: Value, layers: Vec<Value>) -> Value {
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    pub fn index(&self, manifests: Vec<Value>) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(self.dir.join("index.json"), index.to_string()).unwrap();
    }

    pub fn source(&self) -> ImageSource {
        ImageSource::OciLayout { dir: self.dir.clone(), tag: None }
    }

    /// The layout as a tar, in the order that tools write it.
    pub fn as_tar(&self) -> Vec<u8> {
        let mut tar = Tar::new().dir("blobs/").dir("blobs/sha256/");
        let mut blobs: Vec<_> =
            fs::read_dir(self.dir.join("blobs/sha256")).unwrap().map(|e| e.unwrap().path()).collect();
        blobs.sort();
        for blob in blobs {
            let name = format!("blobs/sha256/{}", blob.file_name().unwrap().to_str().unwrap());
            tar = tar.file(name, fs::read(blob).unwrap());
        }
        for name in ["index.json", "oci-layout"] {
            tar = tar.file(name, fs::read(self.dir.join(name)).unwrap());
        }
        tar.build()
    }
}

/// What `docker save` writes for one image; layer files under the names that `name` gives them.
pub fn docker_save(layers: &[Vec<u8>], diff_ids: &[String]) -> Tar {
    let config = json!({"architecture": machine(), "os": "linux", "config": {"User": "app", "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    .to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let names: Vec<String> = (0..layers.len()).map(|at| format!("{at:064x}/layer.tar")).collect();
    let manifest = json!([{"Config": config_name, "RepoTags": ["app:1"], "Layers": names}]);
    let tar = names.iter().zip(layers).fold(Tar::new(), |tar, (name, layer)| tar.file(name, layer));
    tar.file(&config_name, config).file("manifest.json", manifest.to_string())
}
