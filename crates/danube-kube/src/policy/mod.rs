//! Which names a pod may reach, as policies of Cilium. One policy stands for all pods and allows nothing; one more for
//! each *profile* (a list of names) allows what it lists. Pods choose by a label, so that no job has a policy of its own.
//!
//! A policy is only ever handed out after [`lint`] found nothing and [`evaluate`] agrees with the list it was made from.

mod evaluate;
mod lint;
mod object;
mod render;

pub use evaluate::{Connection, allows};
pub use lint::lint;
pub use object::{CiliumNetworkPolicy, Dns, Egress, Metadata, Ports, Spec};
pub use render::{default_deny, default_deny_in, of_profile, of_profile_in};

/// Where such policies are in the API.
#[must_use]
pub fn resource() -> kube::api::ApiResource {
    let kind = kube::api::GroupVersionKind::gvk("cilium.io", "v2", "CiliumNetworkPolicy");
    kube::api::ApiResource::from_gvk_with_plural(&kind, "ciliumnetworkpolicies")
}

#[cfg(test)]
mod tests;
