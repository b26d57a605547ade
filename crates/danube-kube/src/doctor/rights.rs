//! Whether this account may do what a master must: asked of the API server right by right.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{Fact, Place, words_of};
use crate::services::rights::{IN_CLUSTER, IN_JOBS, Right};

/// One line for the rights in the namespace, one for those of the cluster.
pub async fn all(client: &Client, place: &Place) -> Vec<Fact> {
    let within = lacking(client, Some(&place.namespace), &IN_JOBS).await;
    let beyond = lacking(client, None, &IN_CLUSTER).await;
    let count = |rights: &[Right]| rights.iter().map(|right| right.verbs.len()).sum::<usize>();
    vec![
        fact("rights", &format!("all {} in {}", count(&IN_JOBS), place.namespace), within),
        fact("rights to look", &format!("all {} of the cluster", count(&IN_CLUSTER)), beyond),
    ]
}

fn fact(name: &'static str, all: &str, lacking: Result<Vec<String>, String>) -> Fact {
    match lacking {
        Ok(lacking) if lacking.is_empty() => Fact::good(name, all),
        Ok(lacking) => {
            let words = "`danube cluster apply` makes the role, whose name is danube-master";
            Fact::bad(name, format!("this account may not {}; {words}", lacking.join(", ")))
        }
        Err(words) => Fact::bad(name, format!("cannot be asked: {words}")),
    }
}

async fn lacking(client: &Client, namespace: Option<&str>, rights: &[Right]) -> Result<Vec<String>, String> {
    let mut lacking = Vec::new();
    for right in rights {
        for verb in right.verbs {
            if !may(client, namespace, right, verb).await? {
                lacking.push(format!("{verb} {}", right.resource));
            }
        }
    }
    Ok(lacking)
}

async fn may(client: &Client, namespace: Option<&str>, right: &Right, verb: &str) -> Result<bool, String> {
    let (resource, part) = match right.resource.split_once('/') {
        Some((resource, part)) => (resource, Some(part.to_owned())),
        None => (right.resource, None),
    };
    let asked = ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: part,
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(asked), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| words_of(&error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
