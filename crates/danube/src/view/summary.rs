//! What there is to sum up at the end.

use std::path::PathBuf;

use danube_core::job::{FailureKind, Verdict};
use danube_core::step::StepKind;
use danube_engine::job::progress::{StepEnded, StepStarted, SummaryWritten, TestsReported};
use danube_proto::mailbox::StepCause;
use danube_store::artifacts::ArtifactRow;

use super::paint::Tone;
use super::reached::Reached;

/// Everything a run's last words are made of.
#[derive(Default)]
pub struct Summary {
    /// Steps in order of start; the danubefile's own output is number 0 and not among them.
    pub steps: Vec<StepSummary>,
    /// The last lines of the step whose failure ended the job.
    pub last_lines: Vec<Vec<u8>>,
    /// What was tried to reach.
    pub egress: Reached,
    /// What was uploaded.
    pub artifacts: Vec<ArtifactRow>,
    /// Reports of tests, in order of the calls.
    pub tests: Vec<TestsReported>,
    /// What the danubefile wrote for people: Markdown.
    pub markdown: String,
    /// Where the artifacts stand under their names.
    pub artifacts_dir: Option<PathBuf>,
    /// How to get them, where they stand elsewhere.
    pub artifacts_place: Option<String>,
    /// The workspace that stays (`--keep`).
    pub workspace: Option<PathBuf>,
    /// How the job ended.
    pub verdict: Option<Verdict>,
}

/// One step.
pub struct StepSummary {
    /// In order of start, from 1.
    pub number: u32,
    /// A step, or a service beside them.
    pub kind: StepKind,
    /// Its name with its groups.
    pub name: String,
    /// Which try of how many.
    pub attempt: (u32, u32),
    /// How it ended.
    pub end: Option<StepEnded>,
}

impl Summary {
    /// Notes a step's start.
    pub fn started(&mut self, step: &StepStarted) {
        if step.number > 0 && !self.knows(step.number) {
            self.steps.push(StepSummary {
                number: step.number,
                kind: step.kind,
                name: full_name(step),
                attempt: step.attempt,
                end: None,
            });
            // Of parallel steps the later may be told first.
            self.steps.sort_by_key(|step| step.number);
        }
    }

    /// Notes what the danubefile wrote: each text begins on a line of its own.
    pub fn wrote(&mut self, written: &SummaryWritten) {
        if !written.append {
            self.markdown.clear();
        }
        if !self.markdown.is_empty() && !self.markdown.ends_with('\n') {
            self.markdown.push('\n');
        }
        self.markdown.push_str(&written.text);
    }

    /// Whether a step's start was noted.
    pub fn knows(&self, step: u32) -> bool {
        self.steps.iter().any(|known| known.number == step)
    }

    /// Notes a step's end; gives the step.
    pub fn ended(&mut self, end: StepEnded) -> Option<&StepSummary> {
        let step = self.steps.iter_mut().find(|step| step.number == end.number)?;
        step.end = Some(end);
        Some(step)
    }

    /// The step whose failure ended the job: the last one that failed and whose failure counts; a service that died before
    /// all others.
    pub fn culprit(&self) -> Option<&StepSummary> {
        let failed = |step: &&StepSummary| step.outcome() == Outcome::Failed;
        let by_service = self.verdict.as_ref().and_then(|verdict| verdict.reason.as_ref());
        if by_service.is_some_and(|reason| reason.kind == FailureKind::Service) {
            return self.steps.iter().filter(failed).find(|step| step.kind == StepKind::Service);
        }
        self.steps.iter().rev().find(failed)
    }

    /// Steps that failed although the job may have succeeded.
    pub fn failed(&self) -> usize {
        let failed = |step: &&StepSummary| matches!(step.outcome(), Outcome::Failed | Outcome::Tolerated);
        self.steps.iter().filter(failed).count()
    }
}

/// What became of a step, as far as people care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went well.
    Succeeded,
    /// It failed, and that counts.
    Failed,
    /// It failed, and the danubefile does not mind (`check=False`).
    Tolerated,
    /// It failed, and is tried again.
    TriedAgain,
    /// It was ended for another step's failure, or with the job.
    Stopped,
    /// Nobody saw its end.
    Unknown,
}

impl Outcome {
    /// How it is shown.
    pub const fn mark(self) -> (&'static str, Tone) {
        match self {
            Self::Succeeded => ("✔", Tone::Good),
            Self::Failed => ("✘", Tone::Bad),
            Self::Tolerated => ("!", Tone::Note),
            Self::TriedAgain => ("↻", Tone::Note),
            Self::Stopped => ("■", Tone::Note),
            Self::Unknown => ("?", Tone::Note),
        }
    }
}

/// Lines of a failed step that are shown again at the end.
const LAST_LINES: usize = 20;
/// Of a service, which nobody watches while the steps run.
const LAST_LINES_OF_A_SERVICE: usize = 50;

impl StepSummary {
    /// How many of its last lines are shown again when its failure ended the job.
    pub const fn last_lines(&self) -> usize {
        match self.kind {
            StepKind::Step => LAST_LINES,
            StepKind::Service => LAST_LINES_OF_A_SERVICE,
        }
    }

    /// What became of it.
    pub fn outcome(&self) -> Outcome {
        let Some(end) = &self.end else { return Outcome::Unknown };
        let (attempt, attempts) = self.attempt;
        match end.cause {
            // A service is there to be stopped; one that ends by itself has failed, whatever its exit code.
            StepCause::Stopped if self.kind == StepKind::Service => Outcome::Succeeded,
            _ if self.kind == StepKind::Service => Outcome::Failed,
            _ if end.is_success() => Outcome::Succeeded,
            StepCause::Stopped => Outcome::Stopped,
            _ if attempt < attempts => Outcome::TriedAgain,
            // A timeout and a loss are raised even so.
            StepCause::Exited | StepCause::NotStarted if !end.check => Outcome::Tolerated,
            _ => Outcome::Failed,
        }
    }
}

/// `build › test`, and which try it is from the second on.
pub fn full_name(step: &StepStarted) -> String {
    let mut parts = step.group.clone();
    parts.push(step.name.clone());
    let name = parts.join(" › ");
    match step.attempt {
        (1, _) => name,
        (attempt, attempts) => format!("{name} (try {attempt} of {attempts})"),
    }
}
