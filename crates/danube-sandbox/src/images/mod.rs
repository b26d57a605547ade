//! Images: found (`resolve`), unpacked safely (`unpack`), kept (`store`). See `docs/images.md`.
//!
//! The order of reading: [`resolve`] turns `oci:DIR` or `tar:FILE` into layers (`oci`, `docker`, `archive`), [`registry`]
//! does so for a reference, whose blobs it brings here first; `blob`
//! reads a layer's bytes and checks them, `tarball` (`pax`, `sparse`) turns them into entries, `path` judges the
//! names, `write` and `directories` put them into a `tree`. An image's author is taken for an attacker throughout.

mod archive;
mod blob;
mod config;
mod digest;
mod directories;
mod docker;
mod error;
mod limits;
mod oci;
mod path;
mod pax;
pub mod registry;
mod resolve;
mod sparse;
mod store;
mod tarball;
mod tree;
mod unpack;
mod user;
mod write;

pub use blob::{Blob, Compression, Covers, Layer};
pub use config::ImageConfig;
pub use digest::Digest;
pub use error::{ImageError, Result};
pub use limits::{BYTES_SETTING, ENTRIES_SETTING, Limits, RATIO_SETTING};
pub use resolve::{ResolvedImage, resolve};
pub use store::{Hands, Here, ImageKey, ImageStore, Kept, StoredImage, clear};
pub use unpack::{OpenImage, Ownership, Unpacked, unpack};
pub use user::{User, find as find_user};
