//! A job's live stream on the screen, as `danube run` shows a job.

use std::collections::HashSet;
use std::io;

use danube_core::egress::{EgressMode, EgressPolicy};
use serde::Deserialize;

use super::api::{Artifact, Job, Output, Step};
use super::http::{Http, part};
use super::text::{now_ms, source, why};
use crate::view::{Paint, StepSummary, Summary, Terminal, harmless};

/// What of a job is waited for, while it waits.
const QUEUE: &str = "queue";

/// What was shown so far.
pub struct Screen {
    terminal: Terminal,
    summary: Summary,
    /// Steps whose end was shown.
    ended: HashSet<u32>,
    /// 0 before the first.
    attempt: u32,
    titled: bool,
}

#[derive(Deserialize)]
struct Lines {
    lines: Vec<Line>,
    total: u64,
}

#[derive(Deserialize)]
struct Line {
    text: String,
}

impl Screen {
    /// Nothing was shown yet.
    pub fn new(paint: Paint) -> Self {
        // A server does not tell what a job reached.
        let policy = EgressPolicy { mode: EgressMode::Record, rules: Vec::new() };
        let terminal = Terminal::new(paint.colors, policy);
        Self { terminal, summary: Summary::default(), ended: HashSet::new(), attempt: 0, titled: false }
    }

    /// The job as it stands.
    pub fn job(&mut self, job: &Job) -> io::Result<()> {
        if !std::mem::replace(&mut self.titled, true) {
            self.terminal.heading(&title(job))?;
        }
        match &job.waiting {
            Some(_) => self.terminal.waits(QUEUE, &why(job)),
            None => self.terminal.waits_no_more(QUEUE),
        }
        if job.attempt > self.attempt.max(1) {
            self.another_attempt(job)?;
        }
        self.attempt = self.attempt.max(job.attempt);
        Ok(())
    }

    /// Steps begin anew; what the attempt before had not ended is not told any more.
    fn another_attempt(&mut self, job: &Job) -> io::Result<()> {
        for step in std::mem::take(&mut self.summary).steps {
            self.terminal.closed(step.number)?;
        }
        self.terminal.closed(0)?;
        self.ended.clear();
        self.terminal.heading(&attempt(job))
    }

    /// A step's beginning or end.
    pub fn step(&mut self, step: &Step) -> io::Result<()> {
        let started = step.started();
        if step.number > 0 && !self.summary.knows(step.number) {
            self.summary.started(&started);
            self.terminal.step_started(&started)?;
        }
        let Some(end) = step.ended() else { return Ok(()) };
        if !self.ended.insert(step.number) {
            return Ok(());
        }
        self.terminal.closed(step.number)?;
        match self.summary.ended(end) {
            Some(step) => self.terminal.step_ended(step),
            None => Ok(()),
        }
    }

    /// A piece of output.
    pub fn output(&mut self, output: Output) -> io::Result<()> {
        let step = output.step;
        output.into_bytes().map_or(Ok(()), |bytes| self.terminal.output(step, &bytes))
    }

    /// A file is kept.
    pub fn artifact(&mut self, artifact: &Artifact) -> io::Result<()> {
        self.summary.artifacts.push(artifact.row());
        Ok(())
    }

    /// The last words.
    pub fn end(&mut self, http: &Http, job: &Job) -> io::Result<()> {
        self.terminal.waits_no_more(QUEUE);
        self.terminal.closed(0)?;
        self.summary.verdict = Some(job.verdict());
        if let Some(step) = self.summary.culprit() {
            // The job's end is told even if these cannot be had.
            self.summary.last_lines = last_lines(http, &job.id, step).unwrap_or_default();
        }
        if !self.summary.artifacts.is_empty() {
            self.summary.artifacts_place = Some(format!("to download them: danube artifacts {} -o DIR", job.handle()));
        }
        let took = job.took_ms(now_ms()).unwrap_or(0);
        self.terminal.finished(&self.summary, &job.verdict(), took)
    }

    /// Shows what takes long.
    pub fn tick(&mut self) -> io::Result<()> {
        self.terminal.tick()
    }
}

/// `tests #12 · main 1a2b3c4d5e · manual`.
fn title(job: &Job) -> String {
    let parts = [format!("{} #{}", job.pipeline, job.number), source(job), job.trigger.clone()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// `attempt 2 of 3, because the container `worker` ended before its steps did`.
fn attempt(job: &Job) -> String {
    let because = job.again.as_ref().map_or(String::new(), |reason| format!(", because {}", harmless(&reason.message)));
    format!("attempt {} of {}{because}", job.attempt, job.tries.max(job.attempt))
}

fn last_lines(http: &Http, job: &str, step: &StepSummary) -> Option<Vec<Vec<u8>>> {
    let (step, most) = (step.number, step.last_lines());
    let lines = |from: u64, count: usize| {
        http.get::<Lines>(&format!("jobs/{}/steps/{step}/lines?from={from}&count={count}", part(job))).ok()
    };
    let first = lines(0, 1)?;
    let last = lines(first.total.saturating_sub(most as u64), most)?;
    Some(last.lines.into_iter().map(|line| line.text.into_bytes()).collect())
}
