//! What can go wrong with an image, in words that say where and what to do.

use std::io;
use std::path::PathBuf;

use super::registry::RegistryError;

/// Why an image cannot be read, unpacked, kept or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file of the image cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the user named is no image of a kind that is understood.
    #[error("{} is not an image that can be used: {why}", path.display())]
    NotAnImage {
        /// What the user named.
        path: PathBuf,
        /// What was expected, and what to do.
        why: String,
    },
    /// A manifest names a blob that is not there.
    #[error("{blob} is missing: {place} does not have it; the image is incomplete, make it again")]
    MissingBlob {
        /// The digest, or the name within an archive.
        blob: String,
        /// Where it was looked for.
        place: String,
    },
    /// A blob is shorter or longer than its descriptor says.
    #[error("{blob} has {found} bytes where its descriptor says {expected}; the image is damaged, make it again")]
    WrongSize {
        /// The blob's digest.
        blob: String,
        /// What the descriptor says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A blob's content is not what its digest promises.
    #[error("{blob} is damaged or forged: its content is {found}; make the image again")]
    WrongDigest {
        /// The promised digest.
        blob: String,
        /// The digest of what is there.
        found: String,
    },
    /// An index, manifest or configuration does not read as one.
    #[error("{document} of the image is not valid: {why}")]
    BadDocument {
        /// Which document.
        document: String,
        /// What is wrong with it.
        why: String,
    },
    /// A descriptor has a media type that is not understood.
    #[error("{blob} has the media type {media_type:?}, which is not supported here ({supported})")]
    UnknownMediaType {
        /// The blob's digest.
        blob: String,
        /// What the descriptor says.
        media_type: String,
        /// What would be understood.
        supported: &'static str,
    },
    /// The image has nothing for this machine.
    #[error("the image has nothing for {wanted}, only for {found}; build it for this machine's architecture")]
    Platform {
        /// This machine.
        wanted: String,
        /// What the image is for.
        found: String,
    },
    /// The layout has several images, or none of that tag.
    #[error("{}: {why}; name one of its tags as oci:DIR:TAG (there is: {tags})", place.display())]
    Tag {
        /// The layout.
        place: PathBuf,
        /// None, or several.
        why: String,
        /// The tags there are.
        tags: String,
    },
    /// Something within one layer.
    #[error("layer {layer}: {source}")]
    InLayer {
        /// The layer's digest.
        layer: String,
        /// What is wrong in it.
        source: Box<ImageError>,
    },
    /// A layer is no readable tar.
    #[error("the tar cannot be read: {0}; make the image again")]
    BadTar(String),
    /// An entry asks for something that is never done.
    #[error("entry {entry:?} is refused: {why}")]
    Refused {
        /// The entry's path as the tar has it.
        entry: String,
        /// Why.
        why: String,
    },
    /// The image is larger than it may be.
    #[error("the image is refused: more than {limit} {what}; if you trust it, raise the limit with {setting}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The limit that was passed.
        limit: u64,
        /// How to raise it.
        setting: &'static str,
    },
    /// An entry cannot be written.
    #[error("cannot write {entry:?} of the image: {source}")]
    Write {
        /// The entry's path as the tar has it.
        entry: String,
        /// Why.
        source: io::Error,
    },
    /// The store of unpacked images cannot be used.
    #[error("the image store cannot {action} {}: {source}", path.display())]
    Store {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An image is to be removed while somebody uses it.
    #[error("image {0} is in use by a running job; try again when the job has ended")]
    InUse(String),
    /// The user that the image asks for cannot be found.
    #[error("the image runs as user {user:?}, but {why}")]
    User {
        /// `User` of the image's configuration.
        user: String,
        /// What is missing.
        why: String,
    },
    /// A setting of the limits is not a number.
    #[error("{name}={value:?} is not a whole number greater than 0")]
    Setting {
        /// The environment variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// A registry does not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The process that unpacked on our behalf reported this.
    #[error("{0}")]
    Hands(String),
}

/// The result of anything done with images.
pub type Result<T> = std::result::Result<T, ImageError>;

impl ImageError {
    /// Says in which layer it happened.
    pub(super) fn in_layer(self, layer: &str) -> Self {
        Self::InLayer { layer: layer.to_owned(), source: Box::new(self) }
    }

    /// An error met while reading a tar: one of ours that came through `io::Read`, or the stream's own.
    pub(super) fn from_stream(error: io::Error) -> Self {
        let text = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => error.to_string(),
        };
        error.downcast::<Self>().unwrap_or(Self::BadTar(text))
    }
}

/// A name from a tar, of bounded length; messages print it with `{:?}`, so that control characters are escaped.
pub(super) fn shown(name: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(&name[..name.len().min(LONGEST)]).into_owned();
    if name.len() > LONGEST { format!("{text}… ({} bytes)", name.len()) } else { text }
}

/// A text from an image's documents as it may stand in a message: no control characters, no endless length.
pub(super) fn harmless(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars().take(LONGEST).flat_map(char::escape_debug).collect()
}
