//! Who may start, and who gives way to a newer job: decided from who runs and who waits, and nothing else.

use std::collections::BTreeMap;
use std::fmt;

/// How many jobs may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub overall: usize,
    /// Of one pipeline.
    pub per_pipeline: usize,
}

/// A job as the queue sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its pipeline.
    pub pipeline: &'a str,
    /// Of the jobs with the same one, one runs at a time.
    pub group: Option<&'a str>,
}

/// Why a job waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// So many run in all, which is the limit.
    Overall(usize),
    /// So many of its pipeline run, which is the limit.
    Pipeline(usize),
    /// One of its group runs.
    Group(String),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overall(limit) => write!(f, "{} already, which is the limit of this instance", run(*limit)),
            Self::Pipeline(limit) => write!(f, "{} of its pipeline already, which is the limit", run(*limit)),
            Self::Group(group) => write!(f, "another job of the concurrency group `{group}` runs"),
        }
    }
}

fn run(count: usize) -> String {
    if count == 1 { "1 job runs".to_owned() } else { format!("{count} jobs run") }
}

/// For each job that waits, oldest first: why it goes on waiting, or nothing when it may start. Whoever is held up by
/// its own pipeline or group lets those behind it pass.
#[must_use]
pub fn decide<'a>(
    running: impl IntoIterator<Item = Entry<'a>>,
    waiting: &[Entry<'a>],
    limits: Limits,
) -> Vec<Option<Wait>> {
    let mut taken = Taken::default();
    running.into_iter().for_each(|entry| taken.add(entry));
    let decision = |entry: &Entry<'a>| {
        let wait = taken.hinders(entry, limits);
        if wait.is_none() {
            taken.add(*entry);
        }
        wait
    };
    waiting.iter().map(decision).collect()
}

/// A job that is not over, as far as giving way is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// Its pipeline, and of the jobs with the same group one runs at a time.
    pub entry: Entry<'a>,
    /// Within the pipeline: the newer, the higher.
    pub number: i64,
    /// It has not begun.
    pub waits: bool,
    /// Older ones give way to it also when they run.
    pub supersedes: bool,
    /// Its end was asked for.
    pub ends: bool,
}

/// To what a job gives way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The newer job of its pipeline.
    pub by: i64,
    /// Their group.
    pub group: String,
}

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "superseded by job #{} of the concurrency group `{}`", self.by, self.group)
    }
}

/// For each job: to what it gives way, if it does. Who waits gives way to the newest job of the same pipeline and group,
/// who runs only to one that asks for it. Jobs of other pipelines wait for each other, but none takes another's place.
#[must_use]
pub fn superseded(open: &[Open<'_>]) -> Vec<Option<Superseded>> {
    open.iter().map(|job| newer(job, open)).collect()
}

fn newer(job: &Open<'_>, open: &[Open<'_>]) -> Option<Superseded> {
    let group = job.entry.group.filter(|_| !job.ends)?;
    let takes = |other: &&Open<'_>| {
        other.entry == job.entry && other.number > job.number && !other.ends && (job.waits || other.supersedes)
    };
    let by = open.iter().filter(takes).map(|other| other.number).max()?;
    Some(Superseded { by, group: group.to_owned() })
}

#[derive(Default)]
struct Taken<'a> {
    overall: usize,
    pipelines: BTreeMap<&'a str, usize>,
    groups: BTreeMap<&'a str, usize>,
}

impl<'a> Taken<'a> {
    fn add(&mut self, entry: Entry<'a>) {
        self.overall += 1;
        *self.pipelines.entry(entry.pipeline).or_default() += 1;
        if let Some(group) = entry.group {
            *self.groups.entry(group).or_default() += 1;
        }
    }

    fn hinders(&self, entry: &Entry<'a>, limits: Limits) -> Option<Wait> {
        let of_pipeline = self.pipelines.get(entry.pipeline).copied().unwrap_or(0);
        let group = entry.group.filter(|group| self.groups.contains_key(group));
        match group {
            _ if self.overall >= limits.overall => Some(Wait::Overall(self.overall)),
            _ if of_pipeline >= limits.per_pipeline => Some(Wait::Pipeline(of_pipeline)),
            Some(group) => Some(Wait::Group(group.to_owned())),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { overall: 3, per_pipeline: 2 };

    fn of<'a>(pipeline: &'a str, group: &'a str) -> Entry<'a> {
        Entry { pipeline, group: Some(group).filter(|group| !group.is_empty()) }
    }

    fn words(decided: &[Option<Wait>]) -> Vec<String> {
        decided.iter().map(|wait| wait.as_ref().map_or("starts".to_owned(), ToString::to_string)).collect()
    }

    #[test]
    fn who_is_held_up_by_its_own_lets_others_pass() {
        let waiting = [of("site", ""), of("site", ""), of("app", "deploy"), of("docs", "deploy"), of("docs", "")];
        assert_eq!(
            words(&decide([of("site", "")], &waiting, LIMITS)),
            [
                "starts",
                "2 jobs run of its pipeline already, which is the limit",
                "starts",
                "3 jobs run already, which is the limit of this instance",
                "3 jobs run already, which is the limit of this instance",
            ]
        );
        assert_eq!(
            words(&decide([of("app", "deploy")], &[of("docs", "deploy"), of("docs", "")], LIMITS)),
            ["another job of the concurrency group `deploy` runs", "starts"]
        );
    }

    fn open<'a>(number: i64, entry: Entry<'a>) -> Open<'a> {
        Open { entry, number, waits: true, supersedes: false, ends: false }
    }

    fn by(jobs: &[Open<'_>]) -> Vec<Option<i64>> {
        superseded(jobs).into_iter().map(|job| job.map(|job| job.by)).collect()
    }

    #[test]
    fn who_waits_gives_way_to_the_newest_of_its_pipeline_and_group() {
        let site = of("site", "deploy");
        let running = Open { waits: false, ..open(1, site) };
        let jobs = [running, open(2, site), open(3, site), open(9, of("docs", "deploy")), open(8, of("site", ""))];
        assert_eq!(by(&jobs), [None, Some(3), None, None, None]);
        let words = superseded(&jobs)[1].as_ref().map(ToString::to_string);
        assert_eq!(words.as_deref(), Some("superseded by job #3 of the concurrency group `deploy`"));
        assert_eq!(
            by(&[open(1, of("site", "")), open(2, of("site", ""))]),
            [None, None],
            "without a group nobody does"
        );
    }

    #[test]
    fn who_runs_gives_way_only_when_the_newer_job_asks_for_it() {
        let site = of("site", "deploy");
        let running = Open { waits: false, supersedes: true, ..open(1, site) };
        let asks = Open { supersedes: true, ..open(2, site) };
        assert_eq!(by(&[running, open(2, site)]), [None, None]);
        assert_eq!(by(&[running, asks]), [Some(2), None]);
        assert_eq!(by(&[running, asks, open(3, site)]), [Some(2), Some(3), None]);
        assert_eq!(by(&[running, Open { ends: true, ..asks }]), [None, None], "who was cancelled takes no place");
        assert_eq!(by(&[Open { ends: true, ..running }, asks]), [None, None], "once is enough");
    }

    proptest! {
        /// However often it is decided again, the newest job of a group goes on.
        #[test]
        fn somebody_of_each_group_goes_on(
            jobs in prop::collection::vec((0..2_usize, 0..3_usize, any::<bool>(), any::<bool>()), 1..12),
        ) {
            let jobs: Vec<_> = (1..).zip(&jobs).map(|(number, (pipeline, group, waits, supersedes))| {
                let entry = of(["a", "b"][*pipeline], ["", "g", "h"][*group]);
                Open { entry, number, waits: *waits, supersedes: *supersedes, ends: false }
            }).collect();
            let decided = superseded(&jobs);
            for job in &jobs {
                let goes_on = jobs.iter().zip(&decided).any(|(other, gives)| other.entry == job.entry && gives.is_none());
                prop_assert!(goes_on);
            }
            let left: Vec<_> = jobs.iter().zip(&decided).filter(|(_, gives)| gives.is_none()).map(|(job, _)| *job).collect();
            prop_assert!(superseded(&left).iter().all(Option::is_none), "it settles at once");
        }

        #[test]
        fn no_limit_is_ever_passed_and_nobody_waits_without_a_reason(
            jobs in prop::collection::vec((0..3_usize, 0..3_usize), 0..12),
            running in 0..4_usize,
            overall in 1..5_usize,
            per_pipeline in 1..3_usize,
        ) {
            let (pipelines, groups) = (["a", "b", "c"], ["", "g", "h"]);
            let entries: Vec<_> = jobs.iter().map(|(p, g)| of(pipelines[*p], groups[*g])).collect();
            let (running, waiting) = entries.split_at(running.min(entries.len()));
            let limits = Limits { overall, per_pipeline };
            let decided = decide(running.iter().copied(), waiting, limits);
            let started: Vec<_> = waiting.iter().zip(&decided).filter(|(_, wait)| wait.is_none()).collect();
            let all = |entry: &Entry<'_>| running.iter().chain(started.iter().map(|(e, _)| *e)).filter(|e| *e == entry).count();
            for (entry, _) in &started {
                let pipeline = running.iter().chain(started.iter().map(|(e, _)| *e)).filter(|e| e.pipeline == entry.pipeline);
                prop_assert!(pipeline.count() <= per_pipeline);
                prop_assert!(entry.group.is_none() || all(entry) == 1);
            }
            prop_assert!(started.is_empty() || running.len() + started.len() <= overall);
            // Whoever waits cannot start beside those that run and those that were let go.
            let now: Vec<_> = running.iter().copied().chain(started.iter().map(|(e, _)| **e)).collect();
            for (entry, wait) in waiting.iter().zip(&decided).filter(|(_, wait)| wait.is_some()) {
                prop_assert!(decide(now.iter().copied(), &[*entry], limits)[0].is_some(), "{wait:?}");
            }
        }
    }
}
