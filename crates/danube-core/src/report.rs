//! What tests said: how one ended, and how many ended how.

use std::fmt;

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaseStatus {
    /// As it should.
    Passed,
    /// It found what should not be.
    Failed,
    /// It could not be carried out to its end.
    Error,
    /// It was left out.
    Skipped,
    /// It failed first, and passed when it was tried again.
    Flaky,
}

/// Every status.
pub const CASE_STATUSES: [CaseStatus; 5] =
    [CaseStatus::Passed, CaseStatus::Failed, CaseStatus::Error, CaseStatus::Skipped, CaseStatus::Flaky];

impl CaseStatus {
    /// The name under which it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Flaky => "flaky",
        }
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }
}

impl fmt::Display for CaseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many tests ended how, and how long they took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that passed at once.
    pub passed: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that could not be carried out.
    pub errors: u64,
    /// Those that were left out.
    pub skipped: u64,
    /// Those that passed when tried again.
    pub flaky: u64,
    /// What they took together, in milliseconds.
    pub duration_ms: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub const fn tests(&self) -> u64 {
        self.passed + self.failed + self.errors + self.skipped + self.flaky
    }

    /// Those of another report too.
    pub const fn add(&mut self, more: &Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.errors += more.errors;
        self.skipped += more.skipped;
        self.flaky += more.flaky;
        self.duration_ms += more.duration_ms;
    }

    /// One more.
    pub const fn note(&mut self, status: CaseStatus) {
        match status {
            CaseStatus::Passed => self.passed += 1,
            CaseStatus::Failed => self.failed += 1,
            CaseStatus::Error => self.errors += 1,
            CaseStatus::Skipped => self.skipped += 1,
            CaseStatus::Flaky => self.flaky += 1,
        }
    }
}
