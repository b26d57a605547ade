//! What there is to sum up at the end.

use danube_core::egress::EgressEvent;
use danube_core::job::Verdict;
use danube_engine::job::progress::{StepEnded, StepStarted};
use danube_engine::logs::{Line, LogTail};

/// Everything a run's last words are made of.
#[derive(Default)]
pub struct Summary {
    /// Steps in order of start; the danubefile's own output is number 0 and not among them.
    pub steps: Vec<StepSummary>,
    /// The danubefile's own output.
    pub own_log: Option<LogTail>,
    /// What was tried to reach, in order.
    pub egress: Vec<EgressEvent>,
    /// How the job ended.
    pub verdict: Option<Verdict>,
}

/// One step.
pub struct StepSummary {
    /// In order of start, from 1.
    pub number: u32,
    /// Its name with its groups.
    pub name: String,
    /// How it ended.
    pub end: Option<StepEnded>,
    /// Its output.
    pub log: LogTail,
}

impl Summary {
    /// Notes a step's start.
    pub fn started(&mut self, step: &StepStarted) {
        if step.number == 0 {
            self.own_log = Some(step.log.clone());
        } else if !self.steps.iter().any(|known| known.number == step.number) {
            let (number, name, log) = (step.number, full_name(step), step.log.clone());
            self.steps.push(StepSummary { number, name, end: None, log });
        }
    }

    /// Notes a step's end; gives its name.
    pub fn ended(&mut self, end: &StepEnded) -> String {
        match self.steps.iter_mut().find(|step| step.number == end.number) {
            Some(step) => {
                step.end = Some(end.clone());
                step.name.clone()
            }
            None => String::new(),
        }
    }

    /// The step whose failure ended the job: the last one that failed and whose failure counts.
    pub fn culprit(&self) -> Option<&StepSummary> {
        let failed = |step: &&StepSummary| step.end.as_ref().is_some_and(|end| end.check && !end.is_success());
        self.steps.iter().rev().find(failed)
    }

    /// Steps that failed although the job may have succeeded.
    pub fn failed(&self) -> usize {
        self.steps.iter().filter(|step| step.end.as_ref().is_some_and(|end| !end.is_success())).count()
    }
}

impl StepSummary {
    /// The last lines of its output.
    pub fn last_lines(&self, count: usize) -> Vec<Line> {
        self.log.reader().and_then(|reader| reader.last_lines(count)).unwrap_or_default()
    }
}

/// `build > test`, and which try it is.
pub fn full_name(step: &StepStarted) -> String {
    let mut parts = step.group.clone();
    parts.push(step.name.clone());
    let name = parts.join(" › ");
    match step.attempt {
        (1, 1) => name,
        (attempt, attempts) => format!("{name} (try {attempt} of {attempts})"),
    }
}
