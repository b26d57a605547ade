//! The run as people see it: each line of output behind its step's number, step ends with durations, a summary.

mod reported;

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use danube_core::egress::{EgressEvent, EgressMode, EgressPolicy};
use danube_core::id::ContainerName;
use danube_core::job::{FailureKind, FailureReason, JobStatus, Verdict, headline};
use danube_core::runtime::ContainerState;
use danube_core::step::StepKind;
use danube_engine::job::progress::StepStarted;

use super::escapes;
use super::paint::{Paint, Tone, columns};
use super::status_line::StatusLine;
use super::summary::{StepSummary, Summary, full_name};
use super::words::{advice, bytes, count, duration, harmless, outcome, refusal, shortened};

/// Bytes of an unfinished line that are kept; a longer one is shown in parts.
const LONGEST_PART: usize = 64 * 1024;
/// Names in the summary are padded to the longest, but not further than this.
const WIDEST_NAME: usize = 60;
/// Artifacts listed one by one.
const MOST_ARTIFACTS: usize = 40;
/// What of a line is not the name: mark, number, duration, exit code.
const BESIDE_NAME: usize = 32;
/// Takes the status line away.
const ERASE: &str = "\r\x1b[2K";

/// Prints a run on stdout.
pub struct Terminal {
    paint: Paint,
    policy: EgressPolicy,
    /// What of each step's output has no line end yet.
    unfinished: HashMap<u32, Vec<u8>>,
    status: StatusLine,
    /// The status line stands on the screen.
    status_stands: bool,
    out: io::BufWriter<io::Stdout>,
}

impl Terminal {
    /// `policy` decides what is said about names at the end.
    pub fn new(colors: bool, policy: EgressPolicy) -> Self {
        let (unfinished, status) = (HashMap::new(), StatusLine::default());
        let out = io::BufWriter::new(io::stdout());
        Self { paint: Paint { colors }, policy, unfinished, status, status_stands: false, out }
    }

    /// A line before the job begins.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint.text(Tone::Dim, &harmless(text));
        self.line(&text)
    }

    /// A whole line, at once.
    fn line(&mut self, text: &str) -> io::Result<()> {
        self.erase()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    fn erase(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.status_stands) { self.out.write_all(ERASE.as_bytes()) } else { Ok(()) }
    }

    /// Shows what takes long, only where somebody watches.
    pub fn tick(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let Some(columns) = columns() else {
            if io::stderr().is_terminal() {
                self.status.untold(now).iter().for_each(|line| tell(line));
            }
            return Ok(());
        };
        self.erase()?;
        if let Some(text) = self.status.text(now, columns.saturating_sub(1)) {
            let text = self.paint.text(Tone::Dim, &text);
            self.out.write_all(text.as_bytes())?;
            self.status_stands = true;
        }
        self.out.flush()
    }

    pub(super) fn container(&mut self, name: &ContainerName, state: &ContainerState) -> io::Result<()> {
        match state {
            ContainerState::Waiting { message } => self.waits(name.as_str(), message),
            _ => self.waits_no_more(name.as_str()),
        }
        Ok(())
    }

    /// Something is waited for.
    pub fn waits(&mut self, what: &str, message: &str) {
        self.status.waits(what, &harmless(message));
    }

    /// It is there, or not wanted any more.
    pub fn waits_no_more(&mut self, what: &str) {
        self.status.waits_no_more(what);
    }

    /// A step begins.
    pub fn step_started(&mut self, step: &StepStarted) -> io::Result<()> {
        if step.number == 0 {
            return Ok(());
        }
        let name = harmless(&full_name(step));
        self.status.step_started(step.number, &name);
        let image = if step.image == "host" { String::new() } else { format!("  [{}]", harmless(&step.image)) };
        let room = columns().map_or(usize::MAX, |columns| columns.saturating_sub(8 + image.chars().count()));
        let what = if step.kind == StepKind::Service { "service " } else { "" };
        let text = self.paint.text(Tone::Bold, &format!("▶ {} {what}{}", step.number, shortened(&name, room)));
        let image = self.paint.text(Tone::Dim, &image);
        self.line(&format!("{text}{image}"))
    }

    /// A piece of a step's output.
    pub fn output(&mut self, step: u32, bytes: &[u8]) -> io::Result<()> {
        let mut rest = std::mem::take(self.unfinished.entry(step).or_default());
        rest.extend_from_slice(bytes);
        let mark = self.mark(step);
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', &rest) {
            self.output_line(&mark, &rest[at..end])?;
            at = end + 1;
        }
        rest.drain(..at);
        if rest.len() > LONGEST_PART {
            self.output_line(&mark, &rest)?;
            rest.clear();
        }
        self.unfinished.insert(step, rest);
        self.out.flush()
    }

    /// What stands before a step's lines. The danubefile's own output has no number.
    fn mark(&self, step: u32) -> String {
        match step {
            0 => self.paint.text(Tone::Dim, "  │ "),
            step => self.paint.text(Tone::Step(step), &format!("{step:>2}│ ")),
        }
    }

    fn output_line(&mut self, mark: &str, line: &[u8]) -> io::Result<()> {
        self.erase()?;
        self.out.write_all(mark.as_bytes())?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A progress bar's earlier states were overwritten; its last one is what stays.
        let from = memchr::memrchr(b'\r', line).map_or(0, |at| at + 1);
        let shown = escapes::shown(&line[from..], self.paint.colors);
        self.out.write_all(&shown)?;
        let colored = self.paint.colors && shown.contains(&0x1b);
        self.out.write_all(if colored { b"\x1b[0m\n" } else { b"\n" })
    }

    /// A step's output is whole.
    pub fn closed(&mut self, step: u32) -> io::Result<()> {
        match self.unfinished.remove(&step) {
            Some(rest) if !rest.is_empty() => self.output_line(&self.mark(step), &rest),
            _ => Ok(()),
        }
    }

    /// A step ended.
    pub fn step_ended(&mut self, step: &StepSummary) -> io::Result<()> {
        self.status.step_ended(step.number);
        let longest = columns().map_or(usize::MAX, |columns| columns.saturating_sub(BESIDE_NAME).max(20));
        let name = shortened(&harmless(&step.name), longest);
        let (mark, how, took) = self.end_of(step);
        let text = [format!("{mark} {} {name}", step.number), how, took];
        self.line(&text.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "))
    }

    /// A step's mark, how it ended unless that went well, and how long it took.
    fn end_of(&self, step: &StepSummary) -> (String, String, String) {
        let (mark, tone) = step.outcome().mark();
        let how = match &step.end {
            Some(end) if end.is_success() && step.kind == StepKind::Step => String::new(),
            Some(end) => self.paint.text(tone, &harmless(&outcome(end))),
            None => self.paint.text(tone, "no end was seen"),
        };
        let took = step.end.as_ref().map_or(String::new(), |end| duration(end.duration_ms));
        (self.paint.text(tone, mark), how, self.paint.text(Tone::Dim, &took))
    }

    /// Names that were refused are shown as they come; the others at the end.
    pub(super) fn egress(&mut self, event: &EgressEvent) -> io::Result<()> {
        if !event.verdict.is_denied() {
            return Ok(());
        }
        let port = event.port.map_or(String::new(), |port| format!(":{port}"));
        let text = format!("✘ network: {}{port} was refused ({})", harmless(&event.name), refusal(event.verdict));
        let text = self.paint.text(Tone::Bad, &text);
        self.line(&text)
    }

    /// The job ended.
    pub fn finished(&mut self, summary: &Summary, verdict: &Verdict, duration_ms: u64) -> io::Result<()> {
        self.line("")?;
        if verdict.status != JobStatus::Success {
            self.failing_lines(summary)?;
        }
        self.steps(summary)?;
        self.tests(summary)?;
        self.markdown(summary)?;
        self.names(summary)?;
        self.artifacts(summary)?;
        self.last_words(summary, verdict, duration_ms)?;
        self.workspace(summary)
    }

    fn workspace(&mut self, summary: &Summary) -> io::Result<()> {
        let Some(path) = &summary.workspace else { return Ok(()) };
        let path = harmless(&path.to_string_lossy());
        self.line(&format!("  The workspace stays until you remove it: rm -rf {path}"))
    }

    fn failing_lines(&mut self, summary: &Summary) -> io::Result<()> {
        let Some(step) = summary.culprit() else { return Ok(()) };
        if summary.last_lines.is_empty() {
            return Ok(());
        }
        let heading = format!("The last lines of step {} {}:", step.number, harmless(&step.name));
        self.bold(&heading)?;
        let mark = self.mark(step.number);
        for line in &summary.last_lines {
            self.output_line(&mark, line)?;
        }
        self.line("")
    }

    /// A table: marks, numbers, names and durations stand below each other.
    fn steps(&mut self, summary: &Summary) -> io::Result<()> {
        if summary.steps.is_empty() {
            return Ok(());
        }
        self.bold("Steps")?;
        let most = columns().map_or(usize::MAX, |columns| columns.saturating_sub(BESIDE_NAME).max(20));
        let names: Vec<String> = summary.steps.iter().map(|step| shortened(&harmless(&step.name), most)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().min(WIDEST_NAME);
        let digits = summary.steps.len().to_string().len();
        for (step, name) in summary.steps.iter().zip(names) {
            let (mark, how, took) = self.end_of(step);
            let text = format!("  {mark} {:>digits$} {name:<width$}  {took}  {how}", step.number);
            self.line(text.trim_end())?;
        }
        Ok(())
    }

    fn bold(&mut self, text: &str) -> io::Result<()> {
        let text = self.paint.text(Tone::Bold, text);
        self.line(&text)
    }

    /// The hosts that were reached, as a file to paste.
    fn names(&mut self, summary: &Summary) -> io::Result<()> {
        if summary.egress.is_empty() || self.policy.mode != EgressMode::Record {
            return Ok(());
        }
        self.bold("Hosts reached")?;
        for line in summary.egress.lines(&self.policy) {
            self.line(&format!("  {line}"))?;
        }
        let how = "  To allow only these, save them as egress.txt: danube run --egress egress.txt";
        let how = self.paint.text(Tone::Dim, how);
        self.line(&how)
    }

    /// What was uploaded, and where it is.
    fn artifacts(&mut self, summary: &Summary) -> io::Result<()> {
        let there = summary.artifacts_dir.as_ref().map(|dir| format!("in {}", dir.to_string_lossy()));
        let Some(place) = there.or_else(|| summary.artifacts_place.clone()) else { return Ok(()) };
        self.bold("Artifacts")?;
        for artifact in summary.artifacts.iter().take(MOST_ARTIFACTS) {
            let size = bytes(u64::try_from(artifact.size).unwrap_or(0));
            let size = self.paint.text(Tone::Dim, &size);
            self.line(&format!("  {}  {size}", harmless(&artifact.name)))?;
        }
        match summary.artifacts.len().saturating_sub(MOST_ARTIFACTS) {
            0 => {}
            more => self.line(&format!("  and {more} more"))?,
        }
        let place = self.paint.text(Tone::Dim, &format!("  {}", harmless(&place)));
        self.line(&place)
    }

    fn last_words(&mut self, summary: &Summary, verdict: &Verdict, duration_ms: u64) -> io::Result<()> {
        let took = duration(duration_ms);
        let Some(FailureReason { kind, message }) = &verdict.reason else {
            let failed = match summary.failed() {
                0 => String::new(),
                failed => format!(", {} failed", count(failed, "step")),
            };
            let text = self.paint.text(Tone::Good, &format!("✔ success{failed} in {took}"));
            return self.line(&text);
        };
        let tone = if *kind == FailureKind::Cancelled { Tone::Note } else { Tone::Bad };
        let why = if message == kind.as_str() {
            String::new()
        } else {
            // Further lines are a log's, and were shown with it.
            format!(": {} ({})", harmless(headline(message)), kind.as_str())
        };
        let text = self.paint.text(tone, &format!("✘ {} in {took}{why}", verdict.status));
        self.line(&text)?;
        match advice(*kind, summary.culprit().is_some()) {
            "" => Ok(()),
            advice => self.line(&format!("  {advice}")),
        }
    }
}

/// On stderr, which may be gone.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
