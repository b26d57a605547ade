//! What is to be done so that the pods made ahead are those that are wished for. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::wishes::Wish;
use crate::names;

/// Seconds after which one is no longer used: its shims would soon end, and its node may have changed since.
const OLDEST_S: i64 = 45 * 60;

/// What is to be done.
#[derive(Debug, Default)]
pub struct Due<'a> {
    /// Of no use any more.
    pub remove: Vec<&'a Pod>,
    /// As they are wished for.
    pub keep: Vec<&'a Pod>,
    /// Missing.
    pub make: Vec<&'a Wish>,
}

/// Compares what there is with the wishes. One of a pipeline that nobody has spoken of yet is kept for its next job: a
/// master that has just started knows of none.
pub fn of<'a>(pods: &'a [Pod], wishes: &'a BTreeMap<String, Wish>, now: Timestamp) -> Due<'a> {
    let mut missing: BTreeMap<&String, usize> = wishes.iter().map(|(name, wish)| (name, wish.count)).collect();
    let mut due = Due::default();
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let pipeline = pod.labels().get(names::PIPELINE);
        let wish = pipeline.and_then(|pipeline| wishes.get_key_value(pipeline));
        let is_of_use = is_usable(pod, now)
            && wish.is_none_or(|(name, wish)| is_alike(pod, &wish.pod) && takes_one(missing.get_mut(name)));
        let list = if is_of_use { &mut due.keep } else { &mut due.remove };
        list.push(pod);
    }
    due.make = missing.into_iter().flat_map(|(name, count)| wishes.get(name).into_iter().cycle().take(count)).collect();
    due
}

/// Those that a job can take, the readiest first.
pub fn usable(pods: Vec<Pod>, now: Timestamp) -> Vec<Pod> {
    let mut usable: Vec<Pod> = pods.into_iter().filter(|pod| is_usable(pod, now)).collect();
    usable.sort_by_key(|pod| (phase(pod) != "Running", pod.creation_timestamp().map(|time| time.0)));
    usable
}

fn is_usable(pod: &Pod, now: Timestamp) -> bool {
    let age = pod.creation_timestamp().map_or(0, |made| now.as_second() - made.0.as_second());
    let is_going = pod.metadata.deletion_timestamp.is_some();
    age < OLDEST_S && !is_going && !matches!(phase(pod), "Succeeded" | "Failed")
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn is_alike(pod: &Pod, wished: &Pod) -> bool {
    pod.labels().get(names::WARM) == wished.labels().get(names::WARM)
}

fn takes_one(missing: Option<&mut usize>) -> bool {
    let Some(missing) = missing.filter(|missing| **missing > 0) else { return false };
    *missing -= 1;
    true
}

#[cfg(test)]
mod tests {
    use danube_core::runtime::{GroupSpec, ImageSource};
    use k8s_openapi::api::core::v1::PodStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::manifest::ahead;
    use crate::manifest::tests::{group, settings};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn wishes(spec: &GroupSpec, count: u32) -> BTreeMap<String, Wish> {
        let spec = GroupSpec { warm: count, ..spec.clone() };
        [(names::label(&spec.pipeline), Wish::of(&spec, &settings()).expect("a wish"))].into()
    }

    fn there(spec: &GroupSpec, age_s: i64, phase: &str) -> Pod {
        let mut pod = ahead(spec, &settings()).expect("a pod");
        pod.metadata.creation_timestamp =
            Some(Time(Timestamp::from_second(now().as_second() - age_s).expect("a time")));
        pod.status = Some(PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() });
        pod
    }

    fn counts(pods: &[Pod], wishes: &BTreeMap<String, Wish>) -> (usize, usize) {
        let due = of(pods, wishes, now());
        (due.remove.len(), due.make.len())
    }

    #[test]
    fn as_many_as_are_wished_for_are_made_and_what_is_too_much_is_removed() {
        let (spec, running) = (group(), there(&group(), 10, "Running"));
        assert_eq!(counts(&[], &wishes(&spec, 2)), (0, 2));
        assert_eq!(counts(std::slice::from_ref(&running), &wishes(&spec, 2)), (0, 1));
        assert_eq!(counts(&[running.clone(), running.clone(), running], &wishes(&spec, 2)), (1, 0));
    }

    #[test]
    fn what_is_of_no_use_is_replaced() {
        let mut changed = group();
        changed.containers[1].image = ImageSource::parse(&format!("{}@sha256:{}", "r.example/other", "0".repeat(64)));
        let gone = Pod { status: None, ..there(&group(), 10, "Failed") };
        assert_eq!(counts(&[gone], &wishes(&group(), 1)), (0, 0), "one without a phase is being made");
        for bad in [there(&group(), 3000, "Running"), there(&group(), 10, "Failed"), there(&changed, 10, "Running")] {
            assert_eq!(counts(&[bad], &wishes(&group(), 1)), (1, 1));
        }
    }

    #[test]
    fn a_pipeline_that_nobody_spoke_of_keeps_what_it_has_until_that_is_old() {
        assert_eq!(counts(&[there(&group(), 10, "Running")], &BTreeMap::new()), (0, 0));
        assert_eq!(counts(&[there(&group(), 3000, "Running")], &BTreeMap::new()), (1, 0));
        assert_eq!(counts(&[there(&group(), 10, "Running")], &wishes(&group(), 0)), (1, 0), "it wishes for none now");
    }

    #[test]
    fn a_job_takes_one_that_runs_before_one_that_is_being_made() {
        let (made, runs) = (there(&group(), 100, "Pending"), there(&group(), 10, "Running"));
        let usable = usable(vec![made.clone(), there(&group(), 3000, "Running"), runs.clone()], now());
        assert_eq!(usable, [runs, made]);
    }
}
