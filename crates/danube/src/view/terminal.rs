//! The run as people see it: each line of output behind its step's number, step ends with durations, a summary.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};

use danube_core::egress::{EgressEvent, EgressMode, allow_list_file};
use danube_core::id::ContainerName;
use danube_core::job::{JobStatus, Verdict};
use danube_core::runtime::ContainerState;
use danube_engine::job::progress::{StepEnded, StepStarted};

use super::summary::{StepSummary, Summary, full_name};
use super::words::{duration, harmless, outcome};

/// Lines of a failed step that are shown again at the end.
const LAST_LINES: usize = 20;
/// Bytes of an unfinished line that are kept; a longer one is shown in parts.
const LONGEST_PART: usize = 64 * 1024;

/// Prints a run on stdout.
pub struct Terminal {
    colors: bool,
    interactive: bool,
    mode: EgressMode,
    /// What of each step's output has no line end yet.
    unfinished: HashMap<u32, Vec<u8>>,
    out: io::BufWriter<io::Stdout>,
}

/// What a piece of text is.
#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Dim,
    Bold,
    Good,
    Bad,
    Note,
}

impl Terminal {
    /// `mode` decides what is said about names at the end.
    pub fn new(colors: bool, mode: EgressMode) -> Self {
        let interactive = io::stderr().is_terminal();
        Self { colors, interactive, mode, unfinished: HashMap::new(), out: io::BufWriter::new(io::stdout()) }
    }

    /// A line before the job begins.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        self.line(Tone::Dim, text)
    }

    fn tone(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colors => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Dim => "2",
            Tone::Bold => "1",
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Note => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn line(&mut self, tone: Tone, text: &str) -> io::Result<()> {
        let text = self.tone(tone, text);
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// What takes its time, only where somebody watches.
    pub(super) fn container(&mut self, name: &ContainerName, state: &ContainerState) -> io::Result<()> {
        if let ContainerState::Waiting { message } = state
            && self.interactive
        {
            eprintln!("{}", self.tone(Tone::Dim, &format!("{name}: {}", harmless(message))));
        }
        Ok(())
    }

    pub(super) fn step_started(&mut self, step: &StepStarted) -> io::Result<()> {
        if step.number == 0 {
            return Ok(());
        }
        let name = harmless(&full_name(step));
        let image = if step.image == "host" { String::new() } else { format!("  [{}]", harmless(&step.image)) };
        let image = self.tone(Tone::Dim, &image);
        let text = self.tone(Tone::Bold, &format!("▶ {} {name}", step.number));
        self.line(Tone::Plain, &format!("{text}{image}"))
    }

    pub(super) fn output(&mut self, step: u32, bytes: &[u8]) -> io::Result<()> {
        let mut rest = std::mem::take(self.unfinished.entry(step).or_default());
        rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(end) = rest[at..].iter().position(|byte| *byte == b'\n') {
            self.output_line(step, &rest[at..at + end])?;
            at += end + 1;
        }
        rest.drain(..at);
        if rest.len() > LONGEST_PART {
            self.output_line(step, &rest)?;
            rest.clear();
        }
        self.unfinished.insert(step, rest);
        self.out.flush()
    }

    /// The danubefile's own output has no number.
    fn output_line(&mut self, step: u32, line: &[u8]) -> io::Result<()> {
        let mark = if step == 0 { "  │ ".to_owned() } else { format!("{step:>2}│ ") };
        let mark = self.tone(Tone::Dim, &mark);
        self.out.write_all(mark.as_bytes())?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A progress bar's earlier states were overwritten; its last one is what stays.
        let from = line.iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
        self.out.write_all(&line[from..])?;
        self.out.write_all(if self.colors { b"\x1b[0m\n" } else { b"\n" })
    }

    pub(super) fn closed(&mut self, step: u32) -> io::Result<()> {
        match self.unfinished.remove(&step) {
            Some(rest) if !rest.is_empty() => self.output_line(step, &rest),
            _ => Ok(()),
        }
    }

    pub(super) fn step_ended(&mut self, name: &str, end: &StepEnded) -> io::Result<()> {
        let text = self.step_line(name, end);
        self.line(Tone::Plain, &text)
    }

    fn step_line(&self, name: &str, end: &StepEnded) -> String {
        let took = self.tone(Tone::Dim, &duration(end.duration_ms));
        let (number, name) = (end.number, harmless(name));
        if end.is_success() {
            return format!("{} {number} {name}  {took}", self.tone(Tone::Good, "✔"));
        }
        let (tone, mark) = if end.check { (Tone::Bad, "✘") } else { (Tone::Note, "!") };
        let how = self.tone(tone, &harmless(&outcome(end)));
        format!("{} {number} {name}  {how}  {took}", self.tone(tone, mark))
    }

    /// Names that were refused are shown as they come; the others at the end.
    pub(super) fn egress(&mut self, event: &EgressEvent) -> io::Result<()> {
        if !event.verdict.is_denied() {
            return Ok(());
        }
        let port = event.port.map_or(String::new(), |port| format!(":{port}"));
        let text = format!("✘ network: {}{port} was refused ({})", harmless(&event.name), verdict_words(event));
        self.line(Tone::Bad, &text)
    }

    pub(super) fn finished(&mut self, summary: &Summary, verdict: &Verdict, duration_ms: u64) -> io::Result<()> {
        writeln!(self.out)?;
        if verdict.status != JobStatus::Success {
            self.failing_lines(summary)?;
        }
        self.steps(summary)?;
        self.names(summary)?;
        self.last_words(summary, verdict, duration_ms)?;
        self.out.flush()
    }

    fn failing_lines(&mut self, summary: &Summary) -> io::Result<()> {
        let Some(step) = summary.culprit() else { return Ok(()) };
        let lines = step.last_lines(LAST_LINES);
        if lines.is_empty() {
            return Ok(());
        }
        let heading = format!("The last lines of step {} {}:", step.number, harmless(&step.name));
        self.line(Tone::Bold, &heading)?;
        for line in lines {
            self.output_line(step.number, &line.text)?;
        }
        writeln!(self.out)
    }

    fn steps(&mut self, summary: &Summary) -> io::Result<()> {
        if summary.steps.is_empty() {
            return Ok(());
        }
        self.line(Tone::Bold, "Steps")?;
        for StepSummary { name, end, number, .. } in &summary.steps {
            let text = match end {
                Some(end) => self.step_line(name, end),
                None => format!("? {number} {}  no end was seen", harmless(name)),
            };
            self.line(Tone::Plain, &format!("  {text}"))?;
        }
        Ok(())
    }

    /// The hosts that were reached, as a file to paste.
    fn names(&mut self, summary: &Summary) -> io::Result<()> {
        if summary.egress.is_empty() || self.mode != EgressMode::Record {
            return Ok(());
        }
        self.line(Tone::Bold, "Hosts reached")?;
        let list = allow_list_file(&summary.egress);
        for line in list.lines() {
            self.line(Tone::Plain, &format!("  {line}"))?;
        }
        self.line(Tone::Dim, "  To allow only these, save them as egress.txt: danube run --egress egress.txt")
    }

    fn last_words(&mut self, summary: &Summary, verdict: &Verdict, duration_ms: u64) -> io::Result<()> {
        let took = duration(duration_ms);
        let Some(reason) = &verdict.reason else {
            let failed = match summary.failed() {
                0 => String::new(),
                1 => ", 1 step failed".to_owned(),
                n => format!(", {n} steps failed"),
            };
            return self.line(Tone::Good, &format!("✔ success{failed} in {took}"));
        };
        let text = format!("✘ {} in {took}: {} ({})", verdict.status, reason.message, reason.kind.as_str());
        self.line(Tone::Bad, &text)?;
        match reason.kind.advice() {
            "" => Ok(()),
            advice => self.line(Tone::Plain, &format!("  {advice}")),
        }
    }
}

fn verdict_words(event: &EgressEvent) -> &'static str {
    use danube_core::egress::EgressVerdict;
    match event.verdict {
        EgressVerdict::Allowed => "allowed",
        EgressVerdict::DeniedName => "no rule allows it",
        EgressVerdict::DeniedPrivate => "it leads to a private address; a rule may allow that: NAME private",
        EgressVerdict::DeniedServerName => "the TLS client asked for another name than it looked up",
        EgressVerdict::Unreachable => "it does not exist, or nothing answers there",
    }
}
