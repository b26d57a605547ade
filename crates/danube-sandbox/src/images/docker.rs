//! What `docker save` writes: `manifest.json` names a configuration and layers within the archive.

use serde::Deserialize;

use super::archive::Archive;
use super::blob::{self, Blob, Compression, Covers, Layer, open_regular};
use super::config::ConfigDocument;
use super::digest::Digest;
use super::error::{ImageError, Result, harmless};
use super::limits::Limits;
use super::resolve::ResolvedImage;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// The one image of the archive. The digest of its configuration is its identity, and promises every layer.
pub(super) fn resolve(archive: &Archive, limits: &Limits) -> Result<ResolvedImage> {
    let saved = only_image(archive)?;
    let (config, digest) = configuration(archive, &saved.config)?;
    config.check_platform()?;
    super::resolve::check_layers(saved.layers.len(), limits)?;
    if config.rootfs.diff_ids.len() != saved.layers.len() {
        let (layers, ids) = (saved.layers.len(), config.rootfs.diff_ids.len());
        return Err(wrong(format!("it lists {layers} layers, its configuration {ids}")));
    }
    let pairs = saved.layers.iter().zip(&config.rootfs.diff_ids);
    let layers = pairs.map(|(name, diff_id)| layer(archive, name, diff_id)).collect::<Result<_>>()?;
    Ok(ResolvedImage { digest, layers, config: config.into_config() })
}

fn only_image(archive: &Archive) -> Result<Saved> {
    let blob = find(archive, "manifest.json")?;
    let bytes = blob::read_small(&blob, "manifest.json")?;
    let mut images: Vec<Saved> = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if images.len() > 1 {
        let tags: Vec<String> = images.into_iter().flat_map(|image| image.repo_tags.unwrap_or_default()).collect();
        let why = format!("it has several images ({}); save the one that is wanted alone", harmless(&tags.join(", ")));
        return Err(ImageError::NotAnImage { path: archive.path().to_owned(), why });
    }
    images.pop().ok_or_else(|| wrong("it lists no image".to_owned()))
}

/// Files are named by their digest; where they are, the name is held to it.
fn configuration(archive: &Archive, name: &str) -> Result<(ConfigDocument, Digest)> {
    let bytes = blob::read_small(&find(archive, name)?, &harmless(name))?;
    let found = Digest::of(&bytes);
    let last = name.rsplit(['/', ':']).next().unwrap_or_default();
    let promised = Digest::from_hex(last.strip_suffix(".json").unwrap_or(last));
    match promised {
        Some(promised) if promised != found => {
            Err(ImageError::WrongDigest { blob: promised.to_string(), found: found.to_string() })
        }
        _ => Ok((ConfigDocument::parse(&bytes, &harmless(name))?, found)),
    }
}

fn layer(archive: &Archive, name: &str, diff_id: &str) -> Result<Layer> {
    use std::os::unix::fs::FileExt;
    let blob = find(archive, name)?;
    let digest = diff_id.parse().map_err(wrong)?;
    let mut head = [0; 4];
    let failed = |source| ImageError::Read { path: blob.file.clone(), source };
    let count = open_regular(&blob.file)?.read_at(&mut head, blob.offset).map_err(failed)?;
    let head = &head[..count.min(usize::try_from(blob.size).unwrap_or(usize::MAX))];
    Ok(Layer { digest, covers: Covers::Content, compression: Compression::of(head), blob })
}

fn find(archive: &Archive, name: &str) -> Result<Blob> {
    let place = archive.path().display().to_string();
    archive.find(name)?.ok_or_else(|| ImageError::MissingBlob { blob: harmless(name), place })
}

fn wrong(why: String) -> ImageError {
    ImageError::BadDocument { document: "manifest.json".to_owned(), why }
}
