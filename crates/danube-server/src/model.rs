//! The things of the API as JSON, made from rows.

use danube_core::job::FailureKind;
use danube_core::report::Counts;
use danube_engine::master::Waiting as InQueue;
use danube_store::artifacts::ArtifactRow;
use danube_store::attempts::AttemptRow;
use danube_store::containers::ContainerRow;
use danube_store::jobs::JobRow;
use danube_store::reports::ReportRow;
use danube_store::steps::StepRow;
use serde::Serialize;
use utoipa::ToSchema;

/// A job. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    /// Sorts by time of creation.
    pub id: String,
    pub pipeline: String,
    /// Within the pipeline, from 1.
    pub number: i64,
    /// `pending`, `scheduling`, `running`, `success`, `failure`, `timeout` or `cancelled`.
    pub status: String,
    /// Why it did not succeed.
    pub reason: Option<Reason>,
    /// The branch, tag or commit that was asked for.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// It runs on changes that are in no commit.
    pub dirty: bool,
    /// What made it start.
    pub trigger: String,
    /// Who made it start.
    pub actor: Option<String>,
    /// Every parameter with its value.
    #[schema(value_type = Object)]
    pub params: serde_json::Value,
    pub created_ms: i64,
    pub started_ms: Option<i64>,
    pub finished_ms: Option<i64>,
    /// The job whose inputs it has again.
    pub rerun_of: Option<String>,
    /// Somebody asked for its end.
    pub cancel_requested: bool,
    /// The newest attempt; 0 before there is one.
    pub attempt: u32,
    /// How many attempts there may be.
    pub tries: u32,
    /// Why the attempt before the newest one failed, or, before there is a next one, the newest.
    pub again: Option<Reason>,
    /// Of the jobs with the same one, one runs at a time.
    pub concurrency: Option<String>,
    /// Why it does not run yet.
    pub waiting: Option<Waiting>,
}

/// A job with its steps and its attempts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JobDetail {
    #[serde(flatten)]
    pub job: Job,
    /// Those of the newest attempt, or of the one that was asked for, in order of start.
    pub steps: Vec<Step>,
    /// In order.
    pub attempts: Vec<Attempt>,
    /// What that attempt's tests said, where there are reports.
    pub tests: Option<TestCounts>,
    /// What that attempt ran in.
    pub containers: Vec<Container>,
}

/// A container of an attempt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Container {
    /// Within its attempt.
    pub name: String,
    /// `coordinator`, `worker` or `service`.
    pub role: String,
    /// Its image as it was found: by digest where it is pulled by digest, `host` for this machine's own programs. One that the
    /// danubefile named only while it ran is as it was named.
    pub image: String,
}

impl From<ContainerRow> for Container {
    fn from(row: ContainerRow) -> Self {
        Self { image: row.image_name(), name: row.name, role: row.role }
    }
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct TestCounts {
    /// At once.
    pub passed: u64,
    pub failed: u64,
    /// They could not be carried out.
    pub errors: u64,
    pub skipped: u64,
    /// They passed when tried again.
    pub flaky: u64,
    /// What they took together.
    pub duration_ms: u64,
}

/// Why a job did not succeed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Reason {
    /// For programs.
    pub kind: String,
    /// What happened, and where.
    pub message: String,
    /// What to do; may be empty.
    pub advice: String,
}

/// Where a job stands in the queue.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Waiting {
    /// From 1.
    pub position: usize,
    /// For what it waits.
    pub reason: String,
}

/// A step. The number 0 is the danubefile itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Step {
    /// In order of start.
    pub number: u32,
    /// `step`, or `service` for a program that runs beside them.
    pub kind: String,
    pub name: String,
    /// The enclosing groups, outermost first.
    pub group: Vec<String>,
    pub image: String,
    /// Which try, from 1.
    #[serde(rename = "try")]
    pub nth_try: u32,
    /// Of how many.
    pub tries: u32,
    /// `running`, `success`, `failure`, `timeout`, `cancelled` or `infra`.
    pub status: String,
    /// What ended it.
    pub cause: Option<String>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// What happened and what to do, for what is not a plain exit.
    pub message: Option<String>,
    /// Where in the danubefile it was called.
    pub location: Option<String>,
    /// A failure raises in the danubefile.
    pub checked: bool,
    pub started_ms: i64,
    pub finished_ms: Option<i64>,
    /// On the monotonic clock.
    pub duration_ms: Option<i64>,
    /// Of its output before masking.
    pub bytes: Option<i64>,
    /// Of its output before masking.
    pub sha256: Option<String>,
}

/// One try at a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Attempt {
    /// From 1.
    pub number: u32,
    /// As a job's.
    pub status: String,
    /// Why it did not succeed.
    pub reason: Option<Reason>,
    pub started_ms: i64,
    pub finished_ms: Option<i64>,
}

/// An artifact.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Artifact {
    /// With `/` between its parts.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Of its bytes, made by the master.
    pub sha256: String,
    pub created_ms: i64,
}

impl Job {
    /// From its row, and its place if it waits.
    pub(crate) fn new(row: JobRow, waiting: Option<InQueue>) -> Self {
        Self {
            reason: row.reason_kind.zip(row.reason_message).map(|(kind, message)| Reason::new(kind, message)),
            params: serde_json::from_str(&row.params).unwrap_or_default(),
            waiting: waiting.map(|InQueue { position, reason }| Waiting { position, reason }),
            cancel_requested: row.cancel_ms.is_some(),
            attempt: row.attempt,
            tries: row.tries,
            again: row.again_kind.zip(row.again_message).map(|(kind, message)| Reason::new(kind, message)),
            concurrency: row.concurrency,
            id: row.id,
            pipeline: row.pipeline,
            number: row.number,
            status: row.status,
            reference: row.source_ref,
            sha: row.source_sha,
            dirty: row.source_dirty,
            trigger: row.trigger,
            actor: row.actor,
            created_ms: row.created_ms,
            started_ms: row.started_ms,
            finished_ms: row.finished_ms,
            rerun_of: row.rerun_of,
        }
    }
}

impl Reason {
    fn new(kind: String, message: String) -> Self {
        // A kind that only a newer Danube knows has no advice here.
        let known = serde_json::from_value::<FailureKind>(kind.clone().into());
        Self { advice: known.map_or("", FailureKind::advice).to_owned(), kind, message }
    }
}

impl From<StepRow> for Step {
    fn from(row: StepRow) -> Self {
        Self {
            number: row.number,
            kind: row.kind,
            name: row.name,
            group: serde_json::from_str(&row.group_path).unwrap_or_default(),
            image: row.image,
            nth_try: row.r#try,
            tries: row.tries,
            status: row.status,
            cause: row.cause,
            exit_code: row.exit_code,
            signal: row.signal,
            message: row.message,
            location: row.location,
            checked: row.checked,
            started_ms: row.started_ms,
            finished_ms: row.finished_ms,
            duration_ms: row.duration_ms,
            bytes: row.bytes,
            // A lost step has none.
            sha256: row.sha256.filter(|hash| !hash.is_empty()).map(hex::encode),
        }
    }
}

impl Step {
    /// The step as it was when it began.
    pub(crate) fn begun(self) -> Self {
        Self {
            status: "running".to_owned(),
            cause: None,
            exit_code: None,
            signal: None,
            message: None,
            finished_ms: None,
            duration_ms: None,
            bytes: None,
            sha256: None,
            ..self
        }
    }
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        let AttemptRow { number, status, started_ms, finished_ms, .. } = row;
        let reason = row.reason_kind.zip(row.reason_message).map(|(kind, message)| Reason::new(kind, message));
        Self { number, status, reason, started_ms, finished_ms }
    }
}

impl From<Counts> for TestCounts {
    fn from(counts: Counts) -> Self {
        let Counts { passed, failed, errors, skipped, flaky, duration_ms } = counts;
        Self { passed, failed, errors, skipped, flaky, duration_ms }
    }
}

impl TestCounts {
    /// Those of several reports together.
    pub(crate) fn of(reports: &[ReportRow]) -> Self {
        let sum = |mut sum: Counts, report: &ReportRow| {
            sum.add(&report.counts());
            sum
        };
        reports.iter().fold(Counts::default(), sum).into()
    }
}

impl From<ArtifactRow> for Artifact {
    fn from(row: ArtifactRow) -> Self {
        Self { name: row.name, size: row.size, sha256: hex::encode(row.sha256), created_ms: row.created_ms }
    }
}
