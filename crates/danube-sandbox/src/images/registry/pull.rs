//! From a reference to an image whose every blob is here.

use super::cache::{Cache, Held, Partial};
use super::client::Client;
use super::credentials::Credentials;
use super::patience::Patience;
use super::reference::{Reference, Target};
use crate::images::config::ImageConfig;
use crate::images::digest::Digest;
use crate::images::error::{ImageError, Result};
use crate::images::limits::{BYTES_SETTING, Limits};
use crate::images::oci::{self, Descriptor, Document, Layout, MOST_NESTED, Manifest};
use crate::images::resolve::{ResolvedImage, check_layers};

/// Bytes of an image's configuration at most.
const LARGEST_CONFIG: u64 = 8 << 20;

/// Who looks on while an image is pulled.
pub trait Watch: Sync {
    /// What is being done, in words.
    fn tell(&self, words: String);
    /// Whether nobody wants the image any more.
    fn stopped(&self) -> bool;
}

/// Everything that pulling needs.
pub struct Pull<'a> {
    /// Where blobs are kept.
    pub cache: &'a Cache,
    /// Who the caller is to registries.
    pub credentials: &'a Credentials,
    /// How often is tried.
    pub patience: Patience,
    /// What an image may ask for.
    pub limits: &'a Limits,
    /// Who looks on.
    pub watch: &'a dyn Watch,
}

/// An image that was found: its documents are here, its layers may not be.
#[derive(Debug)]
pub struct Found {
    /// Where it was found.
    pub reference: Reference,
    /// The digest that the reference names: of an index for several machines, or of the manifest itself.
    pub named: Digest,
    /// The digest of the manifest for this machine: the image's identity.
    pub digest: Digest,
    size: u64,
    manifest: Manifest,
    held: Vec<Held>,
}

/// An image whose every blob is here and stays here as long as this is held.
#[derive(Debug)]
pub struct Pulled {
    /// The image.
    pub image: ResolvedImage,
    _held: Vec<Held>,
}

impl Pull<'_> {
    /// Resolves a reference for this machine. One by digest needs no network when it is here.
    ///
    /// # Errors
    /// When the registry does not give it, or it is no image for this machine.
    pub fn find(&self, reference: &Reference) -> Result<Found> {
        let mut client = self.client(reference);
        let named = self.named(reference, &mut client)?;
        let (mut digest, mut held) = (named.clone(), Vec::new());
        for _ in 0..MOST_NESTED {
            held.push(self.document(&digest, &mut |partial| partial.write(&client.manifest(&digest.to_string())?))?);
            let bytes = self.cache.read(&digest)?;
            match oci::document(&bytes, &digest.to_string())? {
                Document::Manifest(manifest) => {
                    let size = bytes.len() as u64;
                    return Ok(Found { reference: reference.clone(), named, digest, size, manifest, held });
                }
                Document::Index(manifests) => digest = oci::choose_by_platform(manifests)?.digest()?,
            }
        }
        let why = format!("its indexes are nested more than {MOST_NESTED} deep");
        Err(ImageError::NotAnImage { path: reference.to_string().into(), why })
    }

    /// The same image by its digest, whatever its tag names later.
    ///
    /// # Errors
    /// When the registry does not tell.
    pub fn pinned(&self, reference: &Reference) -> Result<Reference> {
        let named = self.named(reference, &mut self.client(reference))?;
        Ok(reference.at(named))
    }

    /// How an image's programs are run. None of its layers is fetched for that.
    ///
    /// # Errors
    /// When the registry does not give its configuration, or that is none for this machine.
    pub fn config(&self, found: &Found) -> Result<ImageConfig> {
        let config = &found.manifest.config;
        if config.size > LARGEST_CONFIG {
            let why = format!("it has more than {LARGEST_CONFIG} bytes");
            return Err(ImageError::BadDocument { document: "the configuration".to_owned(), why });
        }
        let _held = self.blob(config, &mut self.client(&found.reference), &Progress::new(self.watch, config.size))?;
        found.manifest.configuration(&self.cache.read(&config.digest()?)?)
    }

    /// Brings here what is missing of an image.
    ///
    /// # Errors
    /// When the registry does not give it, or gives something else.
    pub fn fetch(&self, mut found: Found) -> Result<Pulled> {
        check_layers(found.manifest.layers.len(), self.limits)?;
        let blobs: Vec<&Descriptor> = found.manifest.layers.iter().chain([&found.manifest.config]).collect();
        let total = blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
        if total > self.limits.bytes {
            let (what, setting) = ("bytes to download", BYTES_SETTING);
            return Err(ImageError::Limit { what, limit: self.limits.bytes, setting });
        }
        let (mut client, progress) = (self.client(&found.reference), Progress::new(self.watch, total));
        for blob in blobs {
            found.held.push(self.blob(blob, &mut client, &progress)?);
            progress.add(blob.size);
        }
        let layout = Layout::Folder(self.cache.dir().to_owned());
        let image = layout.image(&Descriptor::of(&found.digest, found.size), self.limits)?;
        Ok(Pulled { image, _held: found.held })
    }

    fn client<'c>(&'c self, reference: &'c Reference) -> Client<'c> {
        Client::new(reference, self.credentials, self.patience, self.watch)
    }

    /// The digest that a reference names now. Fetches its document when the registry does not tell without.
    fn named(&self, reference: &Reference, client: &mut Client<'_>) -> Result<Digest> {
        let tag = match reference.target() {
            Target::Digest(digest) => return Ok(digest.clone()),
            Target::Tag(tag) => tag,
        };
        self.watch.tell("asking the registry".to_owned());
        if let Some(digest) = client.digest_of(tag)? {
            return Ok(digest);
        }
        let bytes = client.manifest(tag)?;
        let digest = Digest::of(&bytes);
        self.document(&digest, &mut |partial| partial.write(&bytes))?;
        Ok(digest)
    }

    fn document(&self, digest: &Digest, download: &mut dyn FnMut(&mut Partial) -> Result<()>) -> Result<Held> {
        self.cache.ensure(digest, &|| self.tell_waiting(), &mut |partial| {
            partial.restart()?;
            download(partial)
        })
    }

    fn blob(&self, blob: &Descriptor, client: &mut Client<'_>, progress: &Progress<'_>) -> Result<Held> {
        let digest = blob.digest()?;
        self.cache.ensure(&digest, &|| self.tell_waiting(), &mut |partial| {
            client.download(&digest, blob.size, partial, &|done| progress.at(done))
        })
    }

    fn tell_waiting(&self) {
        self.watch.tell("another job pulls a part of it".to_owned());
    }
}

/// Tells each percent once.
struct Progress<'a> {
    watch: &'a dyn Watch,
    total: u64,
    before: std::cell::Cell<u64>,
    told: std::cell::Cell<Option<u64>>,
}

impl<'a> Progress<'a> {
    fn new(watch: &'a dyn Watch, total: u64) -> Self {
        Self { watch, total, before: 0.into(), told: None.into() }
    }

    fn add(&self, bytes: u64) {
        self.before.set(self.before.get() + bytes);
    }

    fn at(&self, of_this: u64) {
        const MEGABYTE: u64 = 1_000_000;
        let percent = (self.before.get() + of_this).saturating_mul(100).checked_div(self.total).unwrap_or(100);
        if self.told.replace(Some(percent)) != Some(percent) {
            self.watch.tell(format!("{percent} % of {} MB", self.total.div_ceil(MEGABYTE)));
        }
    }
}
