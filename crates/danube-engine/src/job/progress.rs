//! What a job tells whoever looks at it live. Output is not told but read from the log, so a slow reader never slows
//! a job and nothing piles up in memory.

use danube_core::egress::EgressEvent;
use danube_core::id::ContainerName;
use danube_core::job::{JobStatus, Verdict};
use danube_core::runtime::ContainerState;
use danube_core::step::StepKind;
use danube_proto::mailbox::StepCause;
use danube_store::artifacts::ArtifactRow;
use danube_store::reports::{CaseRow, ReportRow};
use danube_store::steps::StepRow;
use tokio::sync::mpsc;

use crate::logs::LogTail;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The job's status changed.
    Status(JobStatus),
    /// A container's state changed.
    Container(ContainerName, ContainerState),
    /// A step began, and this is its output; number 0 is the danubefile's own.
    StepStarted(StepStarted, LogTail),
    /// A step ended.
    StepEnded(StepEnded),
    /// A file is kept.
    Artifact(ArtifactRow),
    /// A report of tests is kept.
    Tests(TestsReported),
    /// The danubefile wrote something for people.
    Summary(SummaryWritten),
    /// A name was asked for.
    Egress(EgressEvent),
    /// The data directory's disk is full, so the job waits; or has room again, so it goes on.
    DiskFull(bool),
    /// The verdict stands and is durable.
    Finished(Verdict),
}

/// A step that began.
#[derive(Clone, Debug)]
pub struct StepStarted {
    /// Counts from 1 in order of start.
    pub number: u32,
    /// A step, or a service beside them.
    pub kind: StepKind,
    /// Masked.
    pub name: String,
    /// Enclosing groups, outermost first; masked.
    pub group: Vec<String>,
    /// As the danubefile names it.
    pub image: String,
    /// Which try of how many.
    pub attempt: (u32, u32),
}

/// A step that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEnded {
    /// Which.
    pub number: u32,
    /// How.
    pub cause: StepCause,
    /// Its exit code.
    pub exit_code: i32,
    /// In words, where the exit code does not say it; masked.
    pub message: Option<String>,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Whether the danubefile counts a failure (`check=True`).
    pub check: bool,
    /// SHA-256 of its unmasked output.
    pub sha256: [u8; 32],
    /// Bytes of its unmasked output.
    pub bytes: u64,
}

impl StepStarted {
    /// A step from before a restart.
    #[must_use]
    pub fn again(row: &StepRow) -> Self {
        Self {
            number: row.number,
            kind: row.kind(),
            name: row.name.clone(),
            group: serde_json::from_str(&row.group_path).unwrap_or_default(),
            image: row.image.clone(),
            attempt: (row.r#try, row.tries),
        }
    }
}

impl StepEnded {
    /// The end of a step from before a restart.
    #[must_use]
    pub fn again(row: &StepRow) -> Self {
        Self {
            number: row.number,
            cause: cause_of(row.cause.as_deref()),
            exit_code: row.exit_code.unwrap_or(-1),
            message: row.message.clone(),
            duration_ms: u64::try_from(row.duration_ms.unwrap_or(0)).unwrap_or(0),
            check: row.checked,
            sha256: row.sha256.as_deref().and_then(|hash| hash.try_into().ok()).unwrap_or_default(),
            bytes: u64::try_from(row.bytes.unwrap_or(0)).unwrap_or(0),
        }
    }

    /// Whether it went well.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.cause == StepCause::Exited && self.exit_code == 0
    }
}

/// What the word in a step's row, and in the API, says of its end. A word that nobody knows yet says nothing.
#[must_use]
pub fn cause_of(word: Option<&str>) -> StepCause {
    match word {
        Some("exited" | "oom") => StepCause::Exited,
        Some("timed_out") => StepCause::TimedOut,
        Some("stopped") => StepCause::Stopped,
        Some("not_started") => StepCause::NotStarted,
        _ => StepCause::Lost,
    }
}

/// Tests that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestsReported {
    /// Their report.
    pub report: ReportRow,
    /// The first of those that failed; masked.
    pub failures: Vec<CaseRow>,
}

/// Markdown for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryWritten {
    /// Masked.
    pub text: String,
    /// Whether what was written before stays.
    pub append: bool,
}

/// Where progress goes. A closed receiver is no error: nobody looks.
#[derive(Clone, Debug)]
pub struct Observer(Option<mpsc::UnboundedSender<Progress>>);

impl Observer {
    /// Nobody looks.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// An observer and what it sees.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Progress>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// Tells it.
    pub fn tell(&self, progress: Progress) {
        if let Some(sender) = &self.0 {
            let _ = sender.send(progress);
        }
    }
}

#[cfg(test)]
mod tests {
    use danube_proto::v1::EndCause;

    use super::*;

    #[test]
    fn every_word_that_a_row_can_have_is_known() {
        let known = |cause: EndCause| cause_of(Some(&cause.as_str_name().to_ascii_lowercase()));
        assert_eq!(known(EndCause::Exited), StepCause::Exited);
        assert_eq!(known(EndCause::TimedOut), StepCause::TimedOut);
        assert_eq!(known(EndCause::Stopped), StepCause::Stopped);
        assert_eq!(known(EndCause::NotStarted), StepCause::NotStarted);
        for lost in [EndCause::Orphaned, EndCause::MasterAway, EndCause::Evicted, EndCause::Unspecified] {
            assert_eq!(known(lost), StepCause::Lost, "{lost:?}");
        }
        assert_eq!(cause_of(Some("oom")), StepCause::Exited);
        assert_eq!(cause_of(None), StepCause::Lost);
    }
}
