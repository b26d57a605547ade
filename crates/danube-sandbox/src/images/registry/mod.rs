//! Images in registries: a reference is resolved to a digest, and what the digest names is brought here.
//!
//! `reference` reads what the user wrote, `credentials` what `docker login` left; `transport` is one request and where
//! it may go, `challenge` what a registry asks for, `client` a request with the registry's permission and again when
//! that may help. `cache` keeps what was downloaded, `pull` is the way from a reference to an image. A registry is taken
//! for an attacker: every byte is checked against its digest before it is kept.

mod cache;
mod challenge;
mod client;
mod credentials;
mod error;
mod patience;
mod pull;
mod reference;
mod transport;

pub use cache::{CACHE_SETTING, Cache, Held, cache_limit};
pub use credentials::Credentials;
pub use error::RegistryError;
pub use patience::Patience;
pub use pull::{Found, Pull, Pulled, Watch};
pub use reference::Reference;
