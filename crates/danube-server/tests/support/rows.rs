//! The rows and files that an engine would write.

use std::sync::atomic::{AtomicU64, Ordering};

use danube_core::artifact::ArtifactName;
use danube_core::id::{AttemptId, ContainerName, JobId, StepId};
use danube_core::job::{FailureKind, FailureReason, JobStatus};
use danube_core::mask::MaskSet;
use danube_core::report::{CaseStatus, Counts};
use danube_core::step::StepKind;
use danube_engine::logs::StepLog;
use danube_store::artifacts::{self, ArtifactRow, Caps, NewArtifact};
use danube_store::attempts::{self, NewAttempt};
use danube_store::jobs::{self, NewJob, Source};
use danube_store::reports::{self, NewCase};
use danube_store::steps::{self, NewStep, StepEnd, StepKey};
use danube_store::summaries::{self, NewSummary};
use sha2::{Digest, Sha256};

use super::{House, PIPELINE};

/// A call's id that no other call has.
fn fresh() -> StepId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    StepId::from_bytes(bytes)
}

impl House {
    /// A job that waits.
    pub async fn job(&self, id: &str) -> JobId {
        let job = NewJob {
            id: id.parse().unwrap(),
            pipeline: PIPELINE.into(),
            source: Source { reference: Some("main".into()), ..Source::default() },
            trigger: "manual".into(),
            actor: Some("somebody".into()),
            params: r#"{"n":"1"}"#.into(),
            spec: "{}".into(),
            created_ms: 1_700_000_000_000,
            rerun_of: None,
            concurrency: None,
            supersedes: false,
        };
        let id = job.id.clone();
        self.store.write(|tx| Box::pin(async move { jobs::insert(tx, &job).await })).await.unwrap();
        self.touch(&id);
        id
    }

    /// A job that runs its first attempt.
    pub async fn running(&self, id: &str) -> JobId {
        let job = self.job(id).await;
        self.attempt(&job, 1).await;
        job
    }

    pub async fn attempt(&self, job: &JobId, number: u32) {
        let id = attempt(job, number);
        let write = self.store.write(|tx| {
            Box::pin(async move {
                let new = NewAttempt { id: id.clone(), nonce: "n".into(), budget_ms: 1, started_ms: 5, tries: 1 };
                attempts::insert(tx, &new).await?;
                attempts::set_status(tx, &id, JobStatus::Running).await?;
                jobs::advance(tx, &id.job, JobStatus::Running, 6).await
            })
        });
        write.await.unwrap();
        self.touch(job);
    }

    /// Ends an attempt badly.
    pub async fn fail_attempt(&self, job: &JobId, number: u32, kind: FailureKind, message: &str) {
        let (id, reason) = (attempt(job, number), FailureReason { kind, message: message.into() });
        let write = self.store.write(|tx| {
            Box::pin(async move { attempts::finish(tx, &id, JobStatus::Failure, Some(&reason), 25).await })
        });
        write.await.unwrap();
        self.touch(job);
    }

    pub fn touch(&self, job: &JobId) {
        self.master.live().touch(job);
    }

    /// Begins a step of the first attempt.
    pub async fn step(&self, job: &JobId, number: u32) -> StepLog {
        self.row_of_step(job, 1, number).await;
        self.log_of_step(job, 1, number).await
    }

    pub async fn row_of_step(&self, job: &JobId, nth: u32, number: u32) {
        let row = NewStep {
            kind: StepKind::Step,
            key: StepKey { attempt: attempt(job, nth), number },
            id: fresh(),
            spec_hash: Vec::new(),
            name: format!("step {number}"),
            group_path: r#"["outer"]"#.into(),
            container: ContainerName::worker(1),
            image: "host".into(),
            checked: true,
            r#try: 1,
            tries: 1,
            location: Some("danubefile.py:3".into()),
            started_ms: 10,
        };
        self.store.write(|tx| Box::pin(async move { steps::insert(tx, &row).await })).await.unwrap();
        self.touch(job);
    }

    pub async fn log_of_step(&self, job: &JobId, nth: u32, number: u32) -> StepLog {
        let (key, masks) = (StepKey { attempt: attempt(job, nth), number }, MaskSet::new(&[]).unwrap());
        self.logs.open(&self.store, &key, &masks).await.unwrap()
    }

    /// Writes output, and says so.
    pub fn says(&self, job: &JobId, log: &mut StepLog, bytes: &[u8]) {
        log.append(1, 1_700_000_000_123, bytes).unwrap();
        self.touch(job);
    }

    /// Ends a step well.
    pub async fn end_step(&self, job: &JobId, number: u32, log: StepLog) {
        self.exit_step(job, number, log, "success", 0).await;
    }

    /// Ends a step badly.
    pub async fn fail_step(&self, job: &JobId, number: u32, log: StepLog) {
        self.exit_step(job, number, log, "failure", 1).await;
    }

    async fn exit_step(&self, job: &JobId, number: u32, mut log: StepLog, status: &'static str, exit_code: i32) {
        let last = log.seal().await.unwrap();
        let key = StepKey { attempt: attempt(job, 1), number };
        let end = StepEnd {
            status,
            cause: "exited".into(),
            exit_code: Some(exit_code),
            signal: None,
            message: None,
            finished_ms: 20,
            duration_ms: 10,
            bytes: log.received(),
            sha256: log.sha256().to_vec(),
        };
        let write = self.store.write(|tx| Box::pin(async move { steps::end(tx, &key, &end, Some(&last)).await }));
        assert!(write.await.unwrap());
        self.touch(job);
    }

    /// A report with these tests, of the given attempt.
    pub async fn report(&self, job: &JobId, nth: u32, name: &'static str, cases: Vec<NewCase>) {
        let (id, call) = (attempt(job, nth), fresh());
        let mut counts = Counts::default();
        cases.iter().for_each(|case| counts.note(case.status));
        let caps = reports::Caps { reports: 100, cases: 100_000 };
        let write = self.store.write(move |tx| {
            Box::pin(async move {
                let key = reports::begin(tx, &id, call, name, caps).await?.unwrap();
                reports::append(tx, &key, 0, &cases).await?;
                reports::finish(tx, &key, (&counts, 1), 9, caps).await
            })
        });
        assert!(write.await.unwrap());
        self.touch(job);
    }

    /// What the danubefile wrote for people.
    pub async fn summary(&self, job: &JobId, nth: u32, text: &str) {
        let (id, new) = (attempt(job, nth), NewSummary { call: fresh(), text: text.into(), append: true });
        let caps = summaries::Caps { calls: 100, bytes: 1 << 20 };
        let write = self.store.write(move |tx| Box::pin(async move { summaries::write(tx, &id, &new, caps).await }));
        assert_eq!(write.await.unwrap(), summaries::Written::Kept);
    }

    pub async fn finish(&self, job: &JobId) {
        let id = job.clone();
        let write =
            self.store.write(|tx| Box::pin(async move { jobs::finish(tx, &id, JobStatus::Success, None, 30).await }));
        assert!(write.await.unwrap());
        self.touch(job);
    }

    /// A job that has ended, with one step that said this.
    pub async fn ended(&self, id: &str, output: &[u8]) -> JobId {
        let job = self.running(id).await;
        let mut log = self.step(&job, 1).await;
        self.says(&job, &mut log, output);
        self.end_step(&job, 1, log).await;
        self.finish(&job).await;
        job
    }

    pub async fn artifact(&self, job: &JobId, name: &str, bytes: &[u8]) {
        let new = NewArtifact {
            name: name.parse::<ArtifactName>().unwrap(),
            call: fresh(),
            size: bytes.len() as u64,
            sha256: Sha256::digest(bytes).into(),
            created_ms: 1_700_000_000_000,
        };
        let row = ArtifactRow {
            name: name.into(),
            call: new.call.to_string(),
            size: bytes.len() as i64,
            sha256: Vec::new(),
            created_ms: 0,
        };
        let (id, caps) = (attempt(job, 1), Caps { count: 1000, bytes: u64::MAX });
        let path = self.artifacts.path(&id, &row);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        let write = self.store.write(move |tx| Box::pin(async move { artifacts::insert(tx, &id, &new, caps).await }));
        assert_eq!(write.await.unwrap(), artifacts::Inserted::Kept);
        self.touch(job);
    }
}

pub fn attempt(job: &JobId, number: u32) -> AttemptId {
    AttemptId { job: job.clone(), number }
}

/// A test that ended like this.
pub fn case(name: &str, status: CaseStatus) -> NewCase {
    let details = status.is_failure().then(|| format!("{name} broke\n--- stdout\nwords\n"));
    NewCase {
        suite: "outer › inner".into(),
        class: "Class".into(),
        name: name.into(),
        status,
        duration_ms: Some(3),
        message: status.is_failure().then(|| "expected 1, got 2".into()),
        details,
    }
}
