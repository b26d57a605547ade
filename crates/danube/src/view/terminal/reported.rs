//! What the danubefile had to say at the end: how tests ended, and its summary.

use std::io;

use danube_core::report::Counts;
use danube_store::reports::CaseRow;

use super::super::escapes;
use super::super::paint::Tone;
use super::super::summary::Summary;
use super::super::words::{count, duration, harmless, shortened};
use super::Terminal;

/// Tests that failed are listed one by one.
const MOST_FAILURES: usize = 10;
/// Characters of a test's name, and of why it failed.
const LONGEST_NAME: usize = 200;
const LONGEST_MESSAGE: usize = 500;
/// Lines of the summary.
const MOST_LINES: usize = 40;

impl Terminal {
    /// Failures first, then how many there were.
    pub(super) fn tests(&mut self, summary: &Summary) -> io::Result<()> {
        if summary.tests.is_empty() {
            return Ok(());
        }
        self.bold("Tests")?;
        for case in summary.tests.iter().flat_map(|told| &told.failures).take(MOST_FAILURES) {
            let mark = self.paint.text(Tone::Bad, "✘");
            self.line(&format!("  {mark} {}", failure(case)))?;
        }
        let failed: u64 = summary.tests.iter().map(|told| failed(&told.report.counts())).sum();
        if let more @ 1.. = failed.saturating_sub(MOST_FAILURES as u64) {
            self.line(&format!("  and {more} more that failed"))?;
        }
        for told in &summary.tests {
            let (counts, name) = (told.report.counts(), shortened(&harmless(&told.report.name), LONGEST_NAME));
            let took = self.paint.text(Tone::Dim, &duration(counts.duration_ms));
            self.line(&format!("  {name}: {}  {took}", in_words(&counts)))?;
        }
        Ok(())
    }

    /// The summary as it was written, but for what would not stay in its lines.
    pub(super) fn markdown(&mut self, summary: &Summary) -> io::Result<()> {
        if summary.markdown.trim().is_empty() {
            return Ok(());
        }
        self.bold("Summary")?;
        let mark = self.mark(0);
        for line in summary.markdown.lines().take(MOST_LINES) {
            let shown = escapes::shown(line.as_bytes(), false);
            self.line(&format!("{mark}{}", String::from_utf8_lossy(&shown)))?;
        }
        match summary.markdown.lines().count().saturating_sub(MOST_LINES) {
            0 => Ok(()),
            more => self.line(&format!("  and {} more: danube run --json has all", count(more, "line"))),
        }
    }
}

/// `Class › test: why`.
fn failure(case: &CaseRow) -> String {
    let within = if case.class.is_empty() { &case.suite } else { &case.class };
    let name = if within.is_empty() { case.name.clone() } else { format!("{within} › {}", case.name) };
    let name = shortened(&harmless(&name), LONGEST_NAME);
    let why = case.message.as_deref().and_then(|message| message.lines().find(|line| !line.trim().is_empty()));
    match why {
        Some(why) => format!("{name}: {}", shortened(&harmless(why.trim()), LONGEST_MESSAGE)),
        None => name,
    }
}

const fn failed(counts: &Counts) -> u64 {
    counts.failed + counts.errors
}

/// `12 tests, 1 failed, 2 skipped`.
fn in_words(counts: &Counts) -> String {
    let mut words = count(usize::try_from(counts.tests()).unwrap_or(usize::MAX), "test");
    for (number, what) in [(failed(counts), "failed"), (counts.flaky, "flaky"), (counts.skipped, "skipped")] {
        if number > 0 {
            words += &format!(", {number} {what}");
        }
    }
    words
}
