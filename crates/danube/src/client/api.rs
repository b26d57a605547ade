//! The objects of the API, as far as people are told of them. Further fields and new texts are no error: a server may be
//! newer than this client.

use danube_core::job::{ExitClass, FailureKind, FailureReason, JobStatus, Verdict};
use danube_core::step::StepKind;
use danube_engine::job::progress::{StepEnded, StepStarted, cause_of};
use danube_store::artifacts::ArtifactRow;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A job.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    pub id: String,
    pub pipeline: String,
    pub number: i64,
    pub status: String,
    pub reason: Option<Reason>,
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub sha: Option<String>,
    #[serde(default)]
    pub dirty: bool,
    #[serde(default)]
    pub trigger: String,
    pub actor: Option<String>,
    #[serde(default)]
    pub params: Map<String, Value>,
    pub created_ms: i64,
    pub started_ms: Option<i64>,
    pub finished_ms: Option<i64>,
    pub rerun_of: Option<String>,
    #[serde(default)]
    pub cancel_requested: bool,
    #[serde(default)]
    pub attempt: u32,
    #[serde(default = "one")]
    pub tries: u32,
    pub again: Option<Reason>,
    pub concurrency: Option<String>,
    pub waiting: Option<Waiting>,
}

/// Why a job did not succeed.
#[derive(Clone, Debug, Deserialize)]
pub struct Reason {
    pub kind: String,
    pub message: String,
    #[serde(default)]
    pub advice: String,
}

/// Why a job does not run yet.
#[derive(Clone, Debug, Deserialize)]
pub struct Waiting {
    pub position: u64,
    pub reason: String,
}

/// A job with its steps and attempts.
#[derive(Debug, Deserialize)]
pub struct JobDetail {
    #[serde(flatten)]
    pub job: Job,
    #[serde(default)]
    pub steps: Vec<Step>,
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    pub tests: Option<TestCounts>,
}

/// How many tests ended how.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TestCounts {
    pub passed: u64,
    pub failed: u64,
    pub errors: u64,
    pub skipped: u64,
    pub flaky: u64,
}

/// A test.
#[derive(Debug, Deserialize)]
pub struct Case {
    pub id: String,
    #[serde(default)]
    pub suite: String,
    #[serde(default)]
    pub class: String,
    pub name: String,
    pub status: String,
    pub duration_ms: Option<u64>,
    pub message: Option<String>,
    pub details: Option<String>,
}

/// A step; number 0 is the danubefile itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    pub number: u32,
    #[serde(default)]
    pub kind: StepKind,
    pub name: String,
    #[serde(default)]
    pub group: Vec<String>,
    #[serde(default)]
    pub image: String,
    #[serde(rename = "try", default = "one")]
    pub nth_try: u32,
    #[serde(default = "one")]
    pub tries: u32,
    pub cause: Option<String>,
    pub exit_code: Option<i32>,
    pub message: Option<String>,
    #[serde(default = "yes")]
    pub checked: bool,
    pub finished_ms: Option<i64>,
    pub duration_ms: Option<i64>,
    pub bytes: Option<i64>,
    pub sha256: Option<String>,
}

/// One try at a job.
#[derive(Debug, Deserialize)]
pub struct Attempt {
    pub number: u32,
    pub status: String,
    pub reason: Option<Reason>,
    pub started_ms: i64,
    pub finished_ms: Option<i64>,
}

/// A pipeline.
#[derive(Debug, Deserialize)]
pub struct Pipeline {
    pub name: String,
    pub dir: Option<String>,
    pub last_job: Option<Job>,
    pub counts: Counts,
}

/// Jobs of a pipeline that have not ended.
#[derive(Debug, Deserialize)]
pub struct Counts {
    pub waiting: u64,
    pub running: u64,
}

/// What a job uploaded.
#[derive(Clone, Debug, Deserialize)]
pub struct Artifact {
    pub name: String,
    pub size: u64,
    pub sha256: String,
    pub created_ms: i64,
}

/// A piece of a step's output.
#[derive(Debug, Deserialize)]
pub struct Output {
    pub step: u32,
    pub text: Option<String>,
    pub base64: Option<String>,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

impl Job {
    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.status.parse().is_ok_and(JobStatus::is_final)
    }

    /// How it ended.
    pub fn verdict(&self) -> Verdict {
        let status = self.status.parse().unwrap_or(JobStatus::Failure);
        Verdict { status, reason: self.reason.as_ref().map(Reason::known) }
    }

    /// The class of the exit code that `danube run` would have.
    pub fn exit_class(&self) -> ExitClass {
        let verdict = self.verdict();
        match (verdict.reason, verdict.status) {
            (Some(reason), _) => reason.kind.exit_class(),
            (None, JobStatus::Success) => ExitClass::Success,
            (None, JobStatus::Timeout) => ExitClass::Timeout,
            (None, JobStatus::Cancelled) => ExitClass::Cancelled,
            (None, _) => ExitClass::Failed,
        }
    }

    /// How people name it in a command: by its id where the pipeline's name would need quotes.
    pub fn handle(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        match self.pipeline.chars().all(plain) && !self.pipeline.is_empty() {
            true => format!("{}/{}", self.pipeline, self.number),
            false => self.id.clone(),
        }
    }

    /// How long it has run, or ran.
    pub fn took_ms(&self, now_ms: i64) -> Option<u64> {
        let end = self.finished_ms.unwrap_or(now_ms);
        self.started_ms.map(|start| u64::try_from(end - start).unwrap_or(0))
    }
}

impl TestCounts {
    /// All of them.
    pub const fn tests(&self) -> u64 {
        self.passed + self.failed + self.errors + self.skipped + self.flaky
    }
}

impl Reason {
    /// A kind that only a newer server knows is told in words.
    fn known(&self) -> FailureReason {
        match serde_json::from_value::<FailureKind>(Value::from(self.kind.clone())) {
            Ok(kind) => FailureReason { kind, message: self.message.clone() },
            Err(_) => {
                let message = format!("{} ({}, which this danube does not know)", self.message, self.kind);
                FailureReason { kind: FailureKind::Infra, message }
            }
        }
    }
}

impl Step {
    /// Its beginning.
    pub fn started(&self) -> StepStarted {
        StepStarted {
            number: self.number,
            kind: self.kind,
            name: self.name.clone(),
            group: self.group.clone(),
            image: self.image.clone(),
            attempt: (self.nth_try, self.tries),
        }
    }

    /// Its end, if it has ended.
    pub fn ended(&self) -> Option<StepEnded> {
        self.finished_ms?;
        let hash = self.sha256.as_deref().and_then(|text| hex::decode(text).ok());
        Some(StepEnded {
            number: self.number,
            cause: cause_of(self.cause.as_deref()),
            exit_code: self.exit_code.unwrap_or(-1),
            message: self.message.clone(),
            duration_ms: self.duration_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
            check: self.checked,
            sha256: hash.and_then(|hash| hash.try_into().ok()).unwrap_or_default(),
            bytes: self.bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        })
    }
}

impl Artifact {
    /// As the view knows it.
    pub fn row(&self) -> ArtifactRow {
        ArtifactRow {
            name: self.name.clone(),
            call: String::new(),
            size: i64::try_from(self.size).unwrap_or(i64::MAX),
            sha256: hex::decode(&self.sha256).unwrap_or_default(),
            created_ms: self.created_ms,
        }
    }
}

impl Output {
    /// The bytes that the step wrote.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        use base64::Engine as _;
        match (self.text, self.base64) {
            (Some(text), _) => Some(text.into_bytes()),
            (None, Some(base64)) => base64::engine::general_purpose::STANDARD.decode(base64).ok(),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(status: &str, kind: Option<&str>) -> Job {
        let reason = kind.map(|kind| serde_json::json!({"kind": kind, "message": "because"}));
        let job = serde_json::json!({"id": "a", "pipeline": "p", "number": 1, "status": status, "reason": reason, "created_ms": 0});
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn a_jobs_end_has_the_exit_code_that_run_would_have() {
        for (status, kind, code) in [
            ("success", None, 0),
            ("failure", Some("script"), 1),
            ("failure", Some("config"), 2),
            ("failure", Some("infra"), 3),
            ("timeout", Some("timeout"), 4),
            ("cancelled", Some("cancelled"), 130),
            ("cancelled", None, 130),
            ("failure", Some("moonquake"), 3),
            ("exploded", None, 1),
        ] {
            assert_eq!(job(status, kind).exit_class().code(), code, "{status} {kind:?}");
        }
        let words = job("failure", Some("moonquake")).verdict().reason.unwrap().message;
        assert_eq!(words, "because (moonquake, which this danube does not know)");
    }

    #[test]
    fn output_may_be_text_or_any_bytes() {
        let bytes = |json: &str| serde_json::from_str::<Output>(json).unwrap().into_bytes();
        assert_eq!(bytes(r#"{"step": 1, "text": "ä\n"}"#).as_deref(), Some("ä\n".as_bytes()));
        assert_eq!(bytes(r#"{"step": 1, "base64": "/wA="}"#).as_deref(), Some(&[0xff, 0][..]));
        assert_eq!(bytes(r#"{"step": 1, "base64": "?"}"#), None);
    }
}
