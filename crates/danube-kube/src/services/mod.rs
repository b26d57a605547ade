//! What a cluster holds beside jobs: namespaces, the master's rights, the policies that stand before any pod, and where
//! they are wished for a registry and a Dex. Made purely ([`objects`]), so that it can be printed and kept in Git; brought
//! into a cluster, and back into shape, by [`apply`](apply::apply).

pub mod apply;
mod deployment;
mod dex;
mod namespaces;
mod network;
mod object;
mod registry;
pub mod rights;

pub use namespaces::ENFORCE;
pub use object::Object;

use crate::error::KubeError;

/// Who wrote what is applied.
pub const MANAGER: &str = "danube";

/// What an operator decides about a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    /// The namespace of jobs, and of nothing else.
    pub jobs: String,
    /// The namespace of the master's account, the registry and Dex.
    pub system: String,
    /// Names this Danube among those that share the namespaces.
    pub instance: String,
    /// Whether the cluster knows Cilium's policies.
    pub cilium: bool,
    /// A registry for images that jobs build.
    pub registry: Option<Registry>,
    /// The image of a Dex for log-ins, by digest.
    pub dex: Option<String>,
}

/// A registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Its image, by digest.
    pub image: String,
    /// The size of its volume (`20Gi`). Without one, images are gone with the pod.
    pub storage: Option<String>,
}

/// Which of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Namespaces, accounts, rights: made by whoever administrates the cluster.
    Foundation,
    /// What the account `danube-services` can make and mend: policies, registry, Dex.
    Services,
}

/// All objects, each after what it needs.
///
/// # Errors
/// When an image has no digest.
pub fn objects(wanted: &Services) -> Result<Vec<(Part, Object)>, KubeError> {
    let foundation = namespaces::objects(wanted).into_iter().chain(rights::objects(wanted));
    let mut services = network::objects(wanted);
    if let Some(registry) = &wanted.registry {
        services.extend(registry::objects(wanted, registry)?);
    }
    if let Some(image) = &wanted.dex {
        services.extend(dex::objects(wanted, image)?);
    }
    let part = |part| move |object| (part, object);
    Ok(foundation.map(part(Part::Foundation)).chain(services.into_iter().map(part(Part::Services))).collect())
}

#[cfg(test)]
pub(crate) mod tests;
