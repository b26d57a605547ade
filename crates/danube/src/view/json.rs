//! Events as JSON lines, one object each; the last one is the job (docs/json.md).

use std::io::{self, Write};

use danube_core::egress::{EgressEvent, EgressPolicy};
use danube_core::job::{JobStatus, Verdict};
use danube_engine::job::progress::{StepEnded, StepStarted, SummaryWritten, TestsReported};
use danube_engine::logs::Line;
use danube_store::artifacts::ArtifactRow;
use danube_store::reports::CaseRow;
use serde::Serialize;

use super::summary::{StepSummary, Summary, full_name};

/// Version of the objects; it grows when a field changes its meaning.
const VERSION: u32 = 1;

/// Prints JSON lines on stdout.
pub struct Json {
    policy: EgressPolicy,
}

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    Status {
        status: &'a str,
    },
    Step {
        step: u32,
        name: &'a str,
        state: &'a str,
        #[serde(flatten)]
        detail: StepDetail<'a>,
    },
    Log {
        step: u32,
        line: u64,
        at_ms: u64,
        stream: &'a str,
        text: String,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        cut: bool,
    },
    Artifact {
        name: &'a str,
        size: i64,
        sha256: String,
    },
    Tests {
        report: &'a str,
        tests: u64,
        passed: u64,
        failed: u64,
        errors: u64,
        skipped: u64,
        flaky: u64,
        duration_ms: u64,
        failures: Vec<Test<'a>>,
    },
    Summary {
        text: &'a str,
        append: bool,
    },
    Egress(&'a EgressEvent),
    Job(Job<'a>),
}

/// A test that failed.
#[derive(Serialize)]
struct Test<'a> {
    suite: &'a str,
    class: &'a str,
    name: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum StepDetail<'a> {
    Started { kind: &'static str, image: &'a str, attempt: u32, attempts: u32 },
    Ended(StepFields<'a>),
}

#[derive(Serialize)]
struct StepFields<'a> {
    cause: String,
    exit_code: i32,
    duration_ms: u64,
    bytes: u64,
    sha256: String,
    check: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct Job<'a> {
    v: u32,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason<'a>>,
    duration_ms: u64,
    steps: Vec<Step<'a>>,
    allow_list: Vec<String>,
    not_listed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<String>,
}

#[derive(Serialize)]
struct Reason<'a> {
    kind: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Step<'a> {
    step: u32,
    kind: &'static str,
    name: &'a str,
    #[serde(flatten)]
    end: Option<StepFields<'a>>,
}

impl Json {
    /// `policy` decides what the list of names allows.
    pub fn new(policy: EgressPolicy) -> Self {
        Self { policy }
    }

    fn print(event: &Event<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }

    pub(super) fn status(&mut self, status: JobStatus) -> io::Result<()> {
        Self::print(&Event::Status { status: status.as_str() })
    }

    pub(super) fn step_started(&mut self, step: &StepStarted) -> io::Result<()> {
        if step.number == 0 {
            return Ok(());
        }
        let (attempt, attempts) = step.attempt;
        let kind = step.kind.as_str();
        let detail = StepDetail::Started { kind, image: &step.image, attempt, attempts };
        Self::print(&Event::Step { step: step.number, name: &full_name(step), state: "started", detail })
    }

    pub(super) fn lines(&mut self, step: u32, lines: &[Line]) -> io::Result<()> {
        for line in lines {
            let text = String::from_utf8_lossy(&line.text).into_owned();
            let stream = stream(line.stream);
            Self::print(&Event::Log { step, line: line.number, at_ms: line.at_ms, stream, text, cut: line.cut })?;
        }
        Ok(())
    }

    pub(super) fn step_ended(&mut self, step: &StepSummary) -> io::Result<()> {
        let Some(end) = &step.end else { return Ok(()) };
        let detail = StepDetail::Ended(StepFields::of(end));
        Self::print(&Event::Step { step: step.number, name: &step.name, state: "ended", detail })
    }

    pub(super) fn artifact(&mut self, artifact: &ArtifactRow) -> io::Result<()> {
        let (name, sha256) = (&artifact.name, hex::encode(&artifact.sha256));
        Self::print(&Event::Artifact { name, size: artifact.size, sha256 })
    }

    pub(super) fn tests(&mut self, told: &TestsReported) -> io::Result<()> {
        let counts = told.report.counts();
        Self::print(&Event::Tests {
            report: &told.report.name,
            tests: counts.tests(),
            passed: counts.passed,
            failed: counts.failed,
            errors: counts.errors,
            skipped: counts.skipped,
            flaky: counts.flaky,
            duration_ms: counts.duration_ms,
            failures: told.failures.iter().map(Test::of).collect(),
        })
    }

    pub(super) fn written(&mut self, written: &SummaryWritten) -> io::Result<()> {
        Self::print(&Event::Summary { text: &written.text, append: written.append })
    }

    pub(super) fn egress(&mut self, event: &EgressEvent) -> io::Result<()> {
        Self::print(&Event::Egress(event))
    }

    pub(super) fn finished(&mut self, summary: &Summary, verdict: &Verdict, duration_ms: u64) -> io::Result<()> {
        let steps = summary.steps.iter().map(|step| {
            let end = step.end.as_ref().map(StepFields::of);
            Step { step: step.number, kind: step.kind.as_str(), name: &step.name, end }
        });
        let reason = verdict.reason.as_ref();
        Self::print(&Event::Job(Job {
            v: VERSION,
            status: verdict.status.as_str(),
            reason: reason.map(|reason| Reason { kind: reason.kind.as_str(), message: &reason.message }),
            duration_ms,
            steps: steps.collect(),
            allow_list: summary.egress.allow_list(&self.policy).into_iter().map(String::from).collect(),
            not_listed: summary.egress.more(),
            artifacts: summary.artifacts_dir.as_ref().map(|path| path.to_string_lossy().into_owned()),
            workspace: summary.workspace.as_ref().map(|path| path.to_string_lossy().into_owned()),
        }))
    }
}

impl<'a> Test<'a> {
    fn of(case: &'a CaseRow) -> Self {
        Self {
            suite: &case.suite,
            class: &case.class,
            name: &case.name,
            status: &case.status,
            duration_ms: case.duration_ms,
            message: case.message.as_deref(),
        }
    }
}

impl<'a> StepFields<'a> {
    fn of(end: &'a StepEnded) -> Self {
        Self {
            cause: serde_json::to_value(end.cause).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
            exit_code: end.exit_code,
            duration_ms: end.duration_ms,
            bytes: end.bytes,
            sha256: hex::encode(end.sha256),
            check: end.check,
            message: end.message.as_deref(),
        }
    }
}

const fn stream(stream: u8) -> &'static str {
    match stream {
        1 => "stdout",
        2 => "stderr",
        _ => "danube",
    }
}
