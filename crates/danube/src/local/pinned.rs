//! Images of registries by their digests: a cluster's nodes pull what the digest names, whatever the tag names by then.

use std::path::PathBuf;

use danube_core::runtime::{ContainerSpec, GroupFailure, ImageSource, Role, RuntimeError};
use danube_sandbox::images::registry::{Cache, Credentials, Patience, Pull, Reference, Watch, cache_limit};
use danube_sandbox::images::{ImageError, Limits};

/// Asks registries, and keeps what they answered.
#[derive(Clone, Debug)]
pub struct Registries {
    /// Manifests and configurations are kept in a folder of this one; layers never come here.
    pub dir: PathBuf,
}

/// Why a container cannot have its image, in words.
#[derive(Debug, thiserror::Error)]
#[error("the image `{image}` cannot be used: {source}")]
pub struct NotPinned {
    image: String,
    source: ImageError,
}

impl From<NotPinned> for RuntimeError {
    fn from(error: NotPinned) -> Self {
        Self::Refused { kind: GroupFailure::Image, message: error.to_string() }
    }
}

impl Registries {
    /// The container with its image by digest and, for a service, with what the image runs by itself. May block for as
    /// long as a registry takes.
    pub fn pinned(&self, spec: ContainerSpec) -> Result<ContainerSpec, NotPinned> {
        let ImageSource::Reference(image) = &spec.image else { return Ok(spec) };
        let pinned = self.ask(image, spec.role).map_err(|source| NotPinned { image: image.clone(), source })?;
        let image = ImageSource::Reference(pinned.0.to_string());
        Ok(ContainerSpec { image, program: pinned.1.or(spec.program), ..spec })
    }

    fn ask(
        &self,
        image: &str,
        role: Role,
    ) -> Result<(Reference, Option<danube_core::runtime::ImageProgram>), ImageError> {
        let (reference, limits) = (image.parse::<Reference>()?, Limits::from_env()?);
        let (cache, credentials) = (Cache::open(&self.dir)?, Credentials::of_caller()?);
        let patience = Patience::default();
        let pull = Pull { cache: &cache, credentials: &credentials, patience, limits: &limits, watch: &Unwatched };
        if role != Role::Service {
            return Ok((pull.pinned(&reference)?, None));
        }
        let found = pull.find(&reference)?;
        let program = pull.config(&found)?.program();
        let pinned = reference.at(found.named.clone());
        drop(found);
        if let Err(error) = cache_limit().and_then(|limit| cache.shrink(limit)) {
            tracing::warn!(%error, "what registries answered is not removed");
        }
        Ok((pinned, Some(program)))
    }
}

/// A job that is being made has nobody yet who looks on.
struct Unwatched;

impl Watch for Unwatched {
    fn tell(&self, words: String) {
        tracing::debug!(%words, "asking a registry");
    }

    fn stopped(&self) -> bool {
        false
    }
}
