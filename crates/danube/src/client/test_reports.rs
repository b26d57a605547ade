//! `danube tests`: what a job's tests said.

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::{Case, TestCounts};
use super::find::Instance;
use super::http::{Http, part};
use super::table::{Cell, table};
use super::text::paint;
use super::{print, print_json, reference};
use crate::cli::client::TestsArgs;
use crate::error::CliError;
use crate::view::{Paint, Tone, count, duration, harmless};

/// Tests asked for at once: the most that a server gives.
const PAGE: usize = 1000;

/// Runs the command.
pub fn main(arguments: &TestsArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let job = reference::job(&http, &arguments.job)?;
    let base = format!("jobs/{}/tests", part(&job.id));
    if let Some(id) = &arguments.test {
        return one(&http, &format!("{base}/{}{}", part(id), asked(&[attempt(arguments)])), arguments.server.json);
    }
    let document = collect(&http, &base, arguments)?;
    if arguments.server.json {
        return print_json(&document);
    }
    let counts: TestCounts = read(&http, &document["counts"])?;
    let cases: Vec<Case> = read(&http, &document["cases"])?;
    print(page(&counts, &cases, paint()).as_bytes())
}

fn read<T: serde::de::DeserializeOwned>(http: &Http, value: &Value) -> Result<T, CliError> {
    Ok(serde_json::from_value(value.clone()).map_err(|error| http.strange(error))?)
}

fn attempt(arguments: &TestsArgs) -> Option<String> {
    arguments.attempt.map(|number| format!("attempt={number}"))
}

/// A query of those of its parts that there are.
fn asked(parts: &[Option<String>]) -> String {
    let parts: Vec<&str> = parts.iter().filter_map(Option::as_deref).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// As many pages as are needed, as one document.
fn collect(http: &Http, base: &str, arguments: &TestsArgs) -> Result<Value, CliError> {
    let failures = arguments.failed.then(|| "failures=true".to_owned());
    let (mut cases, mut after): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let limit = (arguments.limit - cases.len()).min(PAGE);
        let after_part = after.as_deref().map(|after| format!("after={}", part(after)));
        let query = [failures.clone(), Some(format!("limit={limit}")), after_part, attempt(arguments)];
        let mut page: Value = http.get(&format!("{base}{}", asked(&query)))?;
        let more = page["cases"].as_array_mut().map(std::mem::take);
        cases.extend(more.ok_or_else(|| http.strange("a page without cases"))?);
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() || cases.len() >= arguments.limit {
            return Ok(json!({"counts": page["counts"], "reports": page["reports"], "cases": cases, "next": after}));
        }
    }
}

fn page(counts: &TestCounts, cases: &[Case], paint: Paint) -> String {
    if counts.tests() == 0 {
        return "the job has no reports of tests: reports.junit(\"report.xml\") in the danubefile keeps them\n"
            .to_owned();
    }
    let tone = if counts.failed + counts.errors > 0 { Tone::Bad } else { Tone::Good };
    let mut text = paint.text(tone, &in_words(counts)) + "\n";
    if !cases.is_empty() {
        let rows = cases.iter().map(row).collect();
        let _ = write!(text, "\n{}", table(&["", "id", "test", "took", "why"], rows, paint));
    }
    text
}

/// `12 tests, 1 failed, 2 skipped`.
pub fn in_words(counts: &TestCounts) -> String {
    let failed = counts.failed + counts.errors;
    let mut words = count(usize::try_from(counts.tests()).unwrap_or(usize::MAX), "test");
    for (number, what) in [(failed, "failed"), (counts.flaky, "flaky"), (counts.skipped, "skipped")] {
        if number > 0 {
            let _ = write!(words, ", {number} {what}");
        }
    }
    words
}

fn row(case: &Case) -> Vec<Cell> {
    let (mark, tone) = mark(&case.status);
    let why = case.message.as_deref().and_then(|message| message.lines().find(|line| !line.trim().is_empty()));
    vec![
        Cell::text(mark).toned(tone),
        Cell::text(&case.id),
        Cell::text(name(case)),
        Cell::figure(case.duration_ms.map_or(String::new(), duration)),
        Cell::text(why.unwrap_or_default().trim()),
    ]
}

fn mark(status: &str) -> (&'static str, Tone) {
    match status {
        "passed" => ("✔", Tone::Good),
        "failed" | "error" => ("✘", Tone::Bad),
        "flaky" => ("↻", Tone::Note),
        _ => ("·", Tone::Dim),
    }
}

/// `Class › test`.
fn name(case: &Case) -> String {
    let within = if case.class.is_empty() { &case.suite } else { &case.class };
    if within.is_empty() { case.name.clone() } else { format!("{within} › {}", case.name) }
}

fn one(http: &Http, path: &str, as_json: bool) -> Result<ExitCode, CliError> {
    let document: Value = http.get(path)?;
    if as_json {
        return print_json(&document);
    }
    let case: Case = read(http, &document)?;
    let (mark, tone) = mark(&case.status);
    let mut text = paint().text(tone, &format!("{mark} {}: {}", harmless(&name(&case)), harmless(&case.status))) + "\n";
    let words = case.message.iter().chain(&case.details).flat_map(|words| words.lines());
    for line in words {
        let _ = writeln!(text, "  {}", String::from_utf8_lossy(&crate::view::printable(line.as_bytes(), false)));
    }
    print(text.as_bytes())
}
