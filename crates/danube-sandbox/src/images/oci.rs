//! The OCI image layout: index, manifest, configuration, layers. Docker's media types mean the same.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::archive::Archive;
use super::blob::{self, Blob, Compression, Covers, Layer};
use super::config::{ConfigDocument, ImageConfig, machine};
use super::digest::Digest;
use super::error::{ImageError, Result, harmless};
use super::limits::Limits;
use super::resolve::ResolvedImage;

const INDEX: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFEST: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const CONFIG: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const TAG: &str = "org.opencontainers.image.ref.name";

/// Where a layout's files are: in a folder, or in a tar of such a folder.
pub(super) enum Layout {
    Folder(PathBuf),
    Archive(Archive),
}

/// Every media type that a manifest is asked for with.
pub(super) const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// What one document says of another, or of a layer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    /// Its bytes.
    pub size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Descriptor {
    /// Of a manifest that was found by its digest.
    pub fn of(digest: &Digest, size: u64) -> Self {
        let media_type = MANIFEST[0].to_owned();
        Self { media_type, digest: digest.to_string(), size, platform: None, annotations: Default::default() }
    }

    /// The digest.
    pub fn digest(&self) -> Result<Digest> {
        let wrong = |why| ImageError::BadDocument { document: "a descriptor".to_owned(), why };
        self.digest.parse().map_err(wrong)
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    /// How its programs are run.
    pub config: Descriptor,
    /// From the lowest to the uppermost.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// The image's configuration, given what its descriptor leads to. One for another machine is refused.
    pub fn configuration(&self, bytes: &[u8]) -> Result<ImageConfig> {
        if !CONFIG.contains(&self.config.media_type.as_str()) {
            return Err(unknown(&self.config, "the configuration of an OCI or Docker image"));
        }
        let document = ConfigDocument::parse(bytes, &self.config.digest)?;
        document.check_platform()?;
        Ok(document.into_config())
    }
}

/// What a registry answers when it is asked for an image.
pub(super) enum Document {
    /// One for several machines.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Manifest),
}

/// Reads a document whose media type nobody vouches for. One that could be read as both is refused.
pub(super) fn document(bytes: &[u8], name: &str) -> Result<Document> {
    let keys: std::collections::BTreeMap<String, serde::de::IgnoredAny> = parse(bytes, name)?;
    match (keys.contains_key("manifests"), keys.contains_key("config") || keys.contains_key("layers")) {
        (true, false) => Ok(Document::Index(parse::<Index>(bytes, name)?.manifests)),
        (false, true) => parse(bytes, name).map(Document::Manifest),
        _ => {
            let why = "it is neither an index nor a manifest of OCI or of Docker's version 2".to_owned();
            Err(ImageError::BadDocument { document: name.to_owned(), why })
        }
    }
}

impl Layout {
    fn place(&self) -> &Path {
        match self {
            Self::Folder(dir) => dir,
            Self::Archive(archive) => archive.path(),
        }
    }

    /// A file of the layout by its name within it.
    fn file(&self, name: &str) -> Result<Option<Blob>> {
        match self {
            Self::Archive(archive) => archive.find(name),
            Self::Folder(dir) => {
                let file = dir.join(name);
                match file.metadata() {
                    Ok(found) => Ok(Some(Blob { size: found.len(), offset: 0, file })),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(ImageError::Read { path: file, source }),
                }
            }
        }
    }

    /// Where the described blob lies; its size is checked here, its digest when it is read.
    fn blob(&self, descriptor: &Descriptor) -> Result<(Blob, Digest)> {
        let digest = descriptor.digest()?;
        let missing =
            || ImageError::MissingBlob { blob: digest.to_string(), place: self.place().display().to_string() };
        let blob = self.file(&format!("blobs/sha256/{}", digest.hex()))?.ok_or_else(missing)?;
        blob::check_size(&digest, descriptor.size, blob.size)?;
        Ok((blob, digest))
    }

    fn document<T: for<'a> Deserialize<'a>>(&self, descriptor: &Descriptor) -> Result<T> {
        let (blob, digest) = self.blob(descriptor)?;
        parse(&blob::read_document(&blob, &digest)?, &digest.to_string())
    }

    /// Finds the image of this tag (or the only one) for this machine.
    pub fn resolve(&self, tag: Option<&str>, limits: &Limits) -> Result<ResolvedImage> {
        let mut chosen = self.choose_by_tag(self.index()?, tag)?;
        for _ in 0..MOST_NESTED {
            if MANIFEST.contains(&chosen.media_type.as_str()) {
                return self.image(&chosen, limits);
            }
            if !INDEX.contains(&chosen.media_type.as_str()) {
                let supported = "an OCI index or manifest, or Docker's of version 2";
                return Err(unknown(&chosen, supported));
            }
            chosen = choose_by_platform(self.document::<Index>(&chosen)?.manifests)?;
        }
        let why = format!("its indexes are nested more than {MOST_NESTED} deep");
        Err(ImageError::NotAnImage { path: self.place().to_owned(), why })
    }

    fn index(&self) -> Result<Vec<Descriptor>> {
        let not_a_layout = || ImageError::NotAnImage {
            path: self.place().to_owned(),
            why: "there is no index.json, so it is no OCI image layout".to_owned(),
        };
        let blob = self.file("index.json")?.ok_or_else(not_a_layout)?;
        Ok(parse::<Index>(&blob::read_small(&blob, "index.json")?, "index.json")?.manifests)
    }

    fn choose_by_tag(&self, manifests: Vec<Descriptor>, tag: Option<&str>) -> Result<Descriptor> {
        let name = |descriptor: &Descriptor| descriptor.annotations.get(TAG).cloned();
        let tags: Vec<String> = manifests.iter().filter_map(name).collect();
        let tags = if tags.is_empty() { "none with a tag".to_owned() } else { harmless(&tags.join(", ")) };
        let refuse = |why: String| ImageError::Tag { place: self.place().to_owned(), why, tags };
        let wanted = |descriptor: &Descriptor| tag.is_none_or(|tag| name(descriptor).is_some_and(|n| n == tag));
        let fitting: Vec<Descriptor> = manifests.into_iter().filter(wanted).collect();
        match (fitting.first().map(name), tag) {
            (None, Some(tag)) => Err(refuse(format!("it has no image tagged {tag:?}"))),
            (None, None) => Err(refuse("it has no image".to_owned())),
            (Some(first), _) if fitting.iter().any(|other| name(other) != first) => {
                Err(refuse("it has several images".to_owned()))
            }
            _ => choose_by_platform(fitting),
        }
    }

    /// The image of a manifest.
    pub fn image(&self, descriptor: &Descriptor, limits: &Limits) -> Result<ResolvedImage> {
        let manifest: Manifest = self.document(descriptor)?;
        let (blob, digest) = self.blob(&manifest.config)?;
        let config = manifest.configuration(&blob::read_document(&blob, &digest)?)?;
        super::resolve::check_layers(manifest.layers.len(), limits)?;
        let layers = manifest.layers.iter().map(|layer| self.layer(layer)).collect::<Result<_>>()?;
        let (_, digest) = self.blob(descriptor)?;
        Ok(ResolvedImage { digest, layers, config })
    }

    fn layer(&self, descriptor: &Descriptor) -> Result<Layer> {
        let compression = compression(&descriptor.media_type)
            .ok_or_else(|| unknown(descriptor, "layers are tar, tar+gzip or tar+zstd"))?;
        let (blob, digest) = self.blob(descriptor)?;
        Ok(Layer { digest, covers: Covers::Blob, compression, blob })
    }
}

/// An index may stand in an index.
pub(super) const MOST_NESTED: usize = 4;

/// The first descriptor that says it is for this machine, else the first that does not say.
pub(super) fn choose_by_platform(mut manifests: Vec<Descriptor>) -> Result<Descriptor> {
    let exact = |platform: &Platform| platform.os == "linux" && platform.architecture == machine();
    let at = manifests
        .iter()
        .position(|manifest| manifest.platform.as_ref().is_some_and(exact))
        .or_else(|| manifests.iter().position(|manifest| manifest.platform.is_none()));
    if let Some(at) = at {
        return Ok(manifests.swap_remove(at));
    }
    let name = |platform: &Platform| format!("{}/{}", platform.os, platform.architecture);
    let found: Vec<String> = manifests.iter().filter_map(|manifest| manifest.platform.as_ref().map(name)).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { harmless(&found.join(", ")) };
    Err(ImageError::Platform { wanted: format!("linux/{}", machine()), found })
}

fn compression(media_type: &str) -> Option<Compression> {
    let kind = media_type
        .strip_prefix("application/vnd.oci.image.layer.")
        .map(|kind| kind.strip_prefix("nondistributable.").unwrap_or(kind))
        .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.diff."))?;
    match kind {
        "v1.tar" | "tar" => Some(Compression::None),
        "v1.tar+gzip" | "tar.gzip" => Some(Compression::Gzip),
        "v1.tar+zstd" | "tar.zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

fn unknown(descriptor: &Descriptor, supported: &'static str) -> ImageError {
    ImageError::UnknownMediaType {
        blob: harmless(&descriptor.digest),
        media_type: descriptor.media_type.clone(),
        supported,
    }
}

fn parse<T: for<'a> Deserialize<'a>>(bytes: &[u8], name: &str) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImageError::BadDocument { document: name.to_owned(), why: error.to_string() })
}
