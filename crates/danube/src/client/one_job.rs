//! `danube job`: all about one job.

use std::fmt::Write;
use std::process::ExitCode;

use danube_core::step::StepKind;
use danube_engine::job::progress::StepEnded;
use serde_json::Value;

use super::api::{Attempt, JobDetail, Step};
use super::find::Instance;
use super::http::{Http, part};
use super::table::{Cell, table};
use super::test_reports::in_words;
use super::text::{ago, now_ms, paint, source, status, took, why};
use super::{print, print_json, reference};
use crate::cli::client::JobArgs;
use crate::error::CliError;
use crate::view::{Outcome, Paint, StepSummary, Tone, duration, full_name, harmless, outcome, printable};

/// Runs the command.
pub fn show(arguments: &JobArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let job = reference::job(&http, &arguments.job)?;
    let document: Value = http.get(&format!("jobs/{}", part(&job.id)))?;
    if arguments.server.json {
        return print_json(&document);
    }
    let detail: JobDetail = serde_json::from_value(document).map_err(|error| http.strange(error))?;
    let summary = http.text(&format!("jobs/{}/summaries", part(&job.id)))?;
    print((page(&detail, paint(), now_ms()) + &markdown(&summary, paint())).as_bytes())
}

fn page(detail: &JobDetail, paint: Paint, now: i64) -> String {
    let job = &detail.job;
    let (words, tone) = status(job);
    let title = format!("{} of {} #{}", words, harmless(&job.pipeline), job.number);
    let mut text = paint.text(tone, &title) + "\n";
    for (name, value) in facts(detail, now).into_iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "  {}  {}", paint.text(Tone::Dim, &format!("{name:<9}")), harmless(&value));
    }
    if detail.attempts.len() > 1 {
        let rows = detail.attempts.iter().map(|attempt| attempt_row(attempt, now)).collect();
        let _ = write!(text, "\n{}", table(&["attempt", "status", "took", "why"], rows, paint));
    }
    let rows: Vec<_> = detail.steps.iter().filter(|step| step.number > 0).map(step_row).collect();
    if !rows.is_empty() {
        let _ = write!(text, "\n{}", table(&["", "step", "name", "took", "how it ended"], rows, paint));
    }
    text
}

/// What the danubefile wrote for people, but for what would not stay in its lines.
fn markdown(text: &str, paint: Paint) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let mut shown = format!("\n{}\n", paint.text(Tone::Bold, "Summary"));
    for line in text.lines() {
        let _ = writeln!(shown, "  {}", String::from_utf8_lossy(&printable(line.as_bytes(), false)));
    }
    shown
}

/// Lines above the steps.
fn facts(detail: &JobDetail, now: i64) -> Vec<(&'static str, String)> {
    let job = &detail.job;
    let params: Vec<String> = job.params.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    let by = job.actor.as_ref().map_or(String::new(), |actor| format!(" by {actor}"));
    vec![
        ("why", why(job)),
        ("advice", job.reason.as_ref().map_or(String::new(), |reason| reason.advice.clone())),
        ("source", source(job)),
        ("group", job.concurrency.clone().unwrap_or_default()),
        ("started", format!("{}{by}, {}", job.trigger, ago(job.created_ms, now))),
        ("params", params.join(" ")),
        ("took", took(job, now)),
        ("tests", detail.tests.as_ref().map_or(String::new(), in_words)),
        ("again", job.rerun_of.as_ref().map_or(String::new(), |id| format!("with the inputs of {id}"))),
        ("id", job.id.clone()),
    ]
}

/// A text without its quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn attempt_row(attempt: &Attempt, now: i64) -> Vec<Cell> {
    let took = u64::try_from(attempt.finished_ms.unwrap_or(now) - attempt.started_ms).unwrap_or(0);
    let why = attempt.reason.as_ref().map_or("", |reason| &reason.message);
    vec![Cell::figure(attempt.number), Cell::text(&attempt.status), Cell::figure(duration(took)), Cell::text(why)]
}

fn step_row(step: &Step) -> Vec<Cell> {
    let started = step.started();
    let (name, attempt, end) = (full_name(&started), started.attempt, step.ended());
    let summary = StepSummary { number: step.number, kind: step.kind, name, attempt, end };
    let running = (summary.outcome() == Outcome::Unknown).then_some(("▶", Tone::Bold));
    let (mark, tone) = running.unwrap_or_else(|| summary.outcome().mark());
    let end = summary.end.as_ref();
    let told = |end: &&StepEnded| !end.is_success() || step.kind == StepKind::Service;
    let how = end.filter(told).map_or(String::new(), outcome);
    vec![
        Cell::text(mark).toned(tone),
        Cell::figure(step.number),
        Cell::text(&summary.name),
        Cell::figure(end.map_or(String::new(), |end| duration(end.duration_ms))),
        Cell::text(if running.is_some() { "runs".to_owned() } else { how }),
    ]
}
