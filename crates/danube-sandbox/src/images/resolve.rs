//! From what the user wrote to an image: its identity, its layers, its configuration. Nothing is unpacked here.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use danube_core::runtime::ImageSource;
use serde::{Deserialize, Serialize};

use super::archive::{Archive, Holds};
use super::blob::{Blob, Compression, Covers, Layer, open_regular};
use super::config::ImageConfig;
use super::digest::{Digest, HashingReader};
use super::docker;
use super::error::{ImageError, Result};
use super::limits::Limits;
use super::oci::Layout;
use super::tarball::TarReader;

/// An image that was found. It can travel to another process as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// Its identity: of the manifest (OCI), the configuration (`docker save`) or the file (a bare tar).
    pub digest: Digest,
    /// From the lowest to the uppermost.
    pub layers: Vec<Layer>,
    /// How its programs are run.
    pub config: ImageConfig,
}

/// Finds the image that the user named. Documents are checked against their digests now, layers when they are read.
pub fn resolve(source: &ImageSource, limits: &Limits) -> Result<ResolvedImage> {
    let unsupported = |name: &str, why: &str| ImageError::NotAnImage { path: name.into(), why: why.to_owned() };
    match source {
        ImageSource::OciLayout { dir, tag } => Layout::Folder(absolute(dir)?).resolve(tag.as_deref(), limits),
        ImageSource::Tar(file) => tar(&absolute(file)?, limits),
        ImageSource::Host => Err(unsupported("host", "the machine's own programs are not unpacked")),
        ImageSource::Reference(name) => Err(unsupported(name, "it is in a registry, and must be pulled")),
    }
}

/// The image may be opened by a process with another working directory.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| ImageError::Read { path: path.to_owned(), source })
}

fn tar(path: &Path, limits: &Limits) -> Result<ResolvedImage> {
    let compression = compression(path)?;
    if whole_file(path, compression, Digest::of(b""))?.blob.size == 0 {
        return Err(not_a_tar(path, &ImageError::BadTar("it is empty".to_owned())));
    }
    if compression != Compression::None {
        refuse_compressed_archive(path, compression, limits)?;
        return root_file_system(path, compression);
    }
    let Some(archive) = Archive::read(path, limits).map_err(|error| not_a_tar(path, &error))? else {
        return root_file_system(path, compression);
    };
    match archive.holds() {
        Holds::OciLayout => Layout::Archive(archive).resolve(None, limits),
        Holds::DockerSave => docker::resolve(&archive, limits),
        Holds::RootFs => root_file_system(path, compression),
    }
}

fn compression(path: &Path) -> Result<Compression> {
    let mut head = Vec::new();
    let failed = |source: io::Error| ImageError::Read { path: path.to_owned(), source };
    open_regular(path)?.take(4).read_to_end(&mut head).map_err(failed)?;
    Ok(Compression::of(&head))
}

/// A compressed archive of an image would unpack as a root file system with blobs in it. Its first name tells.
fn refuse_compressed_archive(path: &Path, compression: Compression, limits: &Limits) -> Result<()> {
    let layer = whole_file(path, compression, Digest::of(b""))?;
    let reader = super::blob::LayerReader::new(&layer, open_regular(path)?, limits, 0)?;
    let first = TarReader::new(reader, limits).next_entry().map_err(|error| not_a_tar(path, &error))?;
    let Some(first) = first else { return Ok(()) };
    let name = String::from_utf8_lossy(&first.path).into_owned();
    let name = name.trim_start_matches("./");
    let top = name.split('/').next().unwrap_or_default();
    let hex = top.strip_prefix("sha256:").unwrap_or(top);
    let is_archive = matches!(top, "blobs" | "oci-layout" | "index.json" | "manifest.json")
        || Digest::from_hex(hex.split('.').next().unwrap_or_default()).is_some();
    if !is_archive {
        return Ok(());
    }
    let why = "it is a compressed archive of an image; decompress it first (gunzip or unzstd)".to_owned();
    Err(ImageError::NotAnImage { path: path.to_owned(), why })
}

fn root_file_system(path: &Path, compression: Compression) -> Result<ResolvedImage> {
    let mut reader = HashingReader::new(open_regular(path)?);
    let mut buffer = vec![0; 256 << 10];
    while reader.read(&mut buffer).map_err(|source| ImageError::Read { path: path.to_owned(), source })? > 0 {}
    let digest = reader.digest();
    let layer = whole_file(path, compression, digest.clone())?;
    super::blob::check_size(&digest, layer.blob.size, reader.total())?;
    Ok(ResolvedImage { digest, layers: vec![layer], config: ImageConfig::default() })
}

fn whole_file(path: &Path, compression: Compression, digest: Digest) -> Result<Layer> {
    let failed = |source| ImageError::Read { path: path.to_owned(), source };
    let size = open_regular(path)?.metadata().map_err(failed)?.len();
    let blob = Blob { file: path.to_owned(), offset: 0, size };
    Ok(Layer { digest, covers: Covers::Blob, compression, blob })
}

fn not_a_tar(path: &Path, error: &ImageError) -> ImageError {
    let why = format!(
        "{error} (expected: a root file system as .tar, .tar.gz or .tar.zst, an OCI layout as a tar, or what docker save writes)"
    );
    ImageError::NotAnImage { path: path.to_owned(), why }
}

pub(super) fn check_layers(count: usize, limits: &Limits) -> Result<()> {
    if count <= limits.layers {
        return Ok(());
    }
    let document = "the manifest".to_owned();
    Err(ImageError::BadDocument { document, why: format!("it has {count} layers, at most {} are read", limits.layers) })
}
