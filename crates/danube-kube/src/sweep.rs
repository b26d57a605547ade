//! What a master that died has left: policies of profiles that no pod has. Pods themselves are found by `Runtime::list`, and
//! there are no Secrets to sweep: what a job must not tell travels in its streams.

use std::collections::BTreeSet;

use kube::api::{DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::{Api, ResourceExt};

use danube_core::runtime::RuntimeError;

use crate::cluster::Kubernetes;
use crate::error::said;
use crate::{names, policy};

/// What the names of profiles' policies begin with.
const PREFIX: &str = "egress-";

impl Kubernetes {
    /// Removes this instance's policies of profiles that no pod has, and says which. For a start, before the first job: a
    /// policy is applied before its pod is made, and would be taken for an orphan in between.
    ///
    /// # Errors
    /// When the API server cannot be asked, or refuses.
    pub async fn sweep_policies(&self) -> Result<Vec<String>, RuntimeError> {
        let (client, settings) = self.parts();
        let used: BTreeSet<String> = self
            .pods()
            .list(&ListParams::default())
            .await
            .map_err(|error| said("list the pods of jobs", &error))?
            .iter()
            .filter_map(|pod| pod.labels().get(names::PROFILE).cloned())
            .collect();
        let policies: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &settings.namespace, &policy::resource());
        let ours = ListParams::default().labels(&format!("{}={}", names::INSTANCE, names::label(&settings.instance)));
        let found = match policies.list(&ours).await {
            Ok(found) => found.items,
            // No such kind, so none of them.
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(said("list network policies", &error)),
        };
        let mut swept = Vec::new();
        for policy in found.iter().filter(|policy| is_orphan(&policy.name_any(), &used)) {
            // One that was written anew since is somebody's.
            let as_seen = Preconditions { uid: policy.uid(), resource_version: policy.resource_version() };
            let how = DeleteParams { preconditions: Some(as_seen), ..DeleteParams::default() };
            match policies.delete(&policy.name_any(), &how).await {
                Ok(_) => swept.push(policy.name_any()),
                Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
                Err(error) => return Err(said("remove a network policy", &error)),
            }
        }
        Ok(swept)
    }
}

fn is_orphan(name: &str, used: &BTreeSet<String>) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|profile| !used.contains(profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_profiles_that_no_pod_has_are_orphans() {
        let used = BTreeSet::from(["names-1234".to_owned()]);
        assert!(is_orphan("egress-names-5678", &used) && is_orphan("egress-closed", &used));
        assert!(!is_orphan("egress-names-1234", &used));
        assert!(!is_orphan("default-deny", &used), "it stands whether there are pods or not");
    }
}
