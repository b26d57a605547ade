//! Two masters of one namespace: one works, the other waits. A master that cannot renew its lease knows so before anybody
//! else can have it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use danube_kube::Lease;
use k8s_openapi::api::coordination::v1::Lease as Record;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use support::Place;

const DURATION: Duration = Duration::from_secs(3);
/// A busy machine is slow, and no time is asserted but an order.
const LONG: Duration = Duration::from_secs(60);

fn lease(place: &Place, holder: &str) -> Lease {
    Lease::new(place.master.clone(), (&place.namespace, "test"), holder, DURATION)
}

async fn holder(place: &Place) -> String {
    let leases: Api<Record> = Api::namespaced(place.master.clone(), &place.namespace);
    leases.get("danube-test").await.unwrap().spec.unwrap().holder_identity.unwrap()
}

#[tokio::test]
async fn the_second_waits_until_the_first_gives_it_back() {
    let Some(place) = Place::find("lease").await else { return };
    let first = lease(&place, "first").take().await;
    let waiting = tokio::spawn(lease(&place, "second").take());
    tokio::time::sleep(DURATION * 2).await;
    assert!(!waiting.is_finished(), "the first one renews it");
    assert_eq!(holder(&place).await, "first");
    first.release().await;
    let second = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert_eq!(holder(&place).await, "second");
    // A master that starts anew under its own name need not wait for itself.
    drop(second);
    let again = tokio::time::timeout(LONG, lease(&place, "second").take()).await.unwrap();
    again.release().await;
    assert_eq!(holder(&place).await, "");
    place.leave().await;
}

#[tokio::test]
async fn a_master_that_died_is_followed_by_the_next_and_one_that_was_robbed_knows_it() {
    let Some(place) = Place::find("robbed").await else { return };
    // Dropped without a word, as by kill -9.
    drop(lease(&place, "dead").take().await);
    let mut next = tokio::time::timeout(LONG, lease(&place, "next").take()).await.unwrap();
    assert_eq!(holder(&place).await, "next");
    let still = tokio::time::timeout(DURATION * 2, next.lost()).await;
    assert!(still.is_err(), "it is renewed");
    let leases: Api<Record> = Api::namespaced(place.master.clone(), &place.namespace);
    loop {
        let mut record = leases.get("danube-test").await.unwrap();
        record.spec.as_mut().unwrap().holder_identity = Some("robber".to_owned());
        // The holder may write in between.
        if leases.replace("danube-test", &Default::default(), &record).await.is_ok() {
            break;
        }
    }
    tokio::time::timeout(LONG, next.lost()).await.unwrap();
    place.leave().await;
}

#[tokio::test]
async fn a_master_whose_rights_were_taken_stops_before_the_next_begins() {
    let Some(place) = Place::find("cut").await else { return };
    let mut first = lease(&place, "first").take().await;
    let bindings: Api<RoleBinding> = Api::namespaced(place.cluster.client.clone(), &place.namespace);
    // The first one is cut off; the second one asks with another account's rights.
    let other = Lease::new(place.cluster.client.clone(), (&place.namespace, "test"), "second", DURATION);
    let waiting = tokio::spawn(other.take());
    bindings.delete("danube-master", &Default::default()).await.unwrap();
    tokio::select! {
        biased;
        () = first.lost() => {}
        _ = async { while !waiting.is_finished() { tokio::time::sleep(Duration::from_millis(5)).await; } } => {
            panic!("the second one has the lease, and the first does not know that it lost it");
        }
    }
    let second = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert_eq!(holder_as_admin(&place).await, "second");
    second.release().await;
    let namespaces: Api<Namespace> = Api::all(place.cluster.client.clone());
    namespaces.delete(&place.namespace, &Default::default()).await.unwrap();
    namespaces.delete(&format!("{}-system", place.namespace), &Default::default()).await.unwrap();
}

async fn holder_as_admin(place: &Place) -> String {
    let leases: Api<Record> = Api::namespaced(place.cluster.client.clone(), &place.namespace);
    leases.get("danube-test").await.unwrap().spec.unwrap().holder_identity.unwrap()
}
