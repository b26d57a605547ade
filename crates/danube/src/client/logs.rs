//! `danube logs`: what a job's steps wrote.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::{Job, JobDetail};
use super::error::CallError;
use super::find::Instance;
use super::follow::{self, Shown};
use super::http::{Http, Wanted, part};
use super::reference;
use super::shown::Screen;
use super::text::{Lines, paint};
use crate::cli::client::LogsArgs;
use crate::error::CliError;

/// Lines asked for at once: the most that a server gives.
const LINES: usize = 1000;
/// Bytes read at once.
const BLOCK: usize = 64 * 1024;

/// Runs the command.
pub fn main(arguments: &LogsArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let job = reference::job(&http, &arguments.job)?;
    if arguments.follow {
        follow::follow(&http, &job, shown(arguments))?;
    } else if arguments.server.json {
        quiet_if_gone(json_lines(&http, &job, arguments)?)?;
    } else {
        quiet_if_gone(text(&http, &job, arguments)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(arguments: &LogsArgs) -> Shown {
    match arguments.step {
        _ if arguments.server.json => Shown::Json,
        Some(step) if arguments.raw => Shown::Raw(step),
        Some(step) => Shown::Step(step, Lines::new(io::stdout(), paint().colors)),
        None => Shown::Screen(Box::new(Screen::new(paint()))),
    }
}

/// Whoever reads our output may leave; that is no failure.
fn quiet_if_gone(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::infra(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}

/// What is there now. The inner result is about our own output.
fn text(http: &Http, job: &Job, arguments: &LogsArgs) -> Result<io::Result<()>, CallError> {
    let id = part(&job.id);
    let path = arguments.step.map_or(format!("jobs/{id}/log.txt"), |step| format!("jobs/{id}/steps/{step}/raw"));
    let attempt = arguments.attempt.map_or(String::new(), |number| format!("?attempt={number}"));
    let mut body = http.open(&(path + &attempt), &Wanted::default())?.into_body().into_reader();
    let (mut lines, mut block) = (Lines::new(io::stdout(), paint().colors), vec![0; BLOCK]);
    loop {
        let read = body.read(&mut block).map_err(|error| CallError::broke_off(http.url(), &error))?;
        let written = match (read, arguments.raw) {
            (0, _) => return Ok(lines.finish()),
            (_, true) => io::stdout().write_all(&block[..read]),
            (_, false) => lines.feed(&block[..read]),
        };
        if written.is_err() {
            return Ok(written);
        }
    }
}

/// Lines as the server gives them, with their step.
fn json_lines(http: &Http, job: &Job, arguments: &LogsArgs) -> Result<io::Result<()>, CallError> {
    let (id, wanted) = (part(&job.id), arguments.step);
    let newest: JobDetail = http.get(&format!("jobs/{id}"))?;
    // All of it is of one attempt, also when another one begins meanwhile.
    let attempt = arguments.attempt.unwrap_or(newest.job.attempt).max(1);
    let detail: JobDetail = match newest.job.attempt == attempt {
        true => newest,
        false => http.get(&format!("jobs/{id}?attempt={attempt}"))?,
    };
    let numbers = detail.steps.iter().map(|step| step.number);
    for step in numbers.filter(|number| wanted.is_none_or(|wanted| wanted == *number)) {
        let mut from = 0;
        loop {
            let path = format!("jobs/{id}/steps/{step}/lines?from={from}&count={LINES}&attempt={attempt}");
            let page: Value = http.get(&path)?;
            let lines = page["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
            if lines.is_empty() {
                break;
            }
            from += lines.len();
            if let Err(error) = write_lines(step, lines) {
                return Ok(Err(error));
            }
        }
    }
    Ok(Ok(()))
}

fn write_lines(step: u32, lines: &[Value]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        let mut object = json!({"step": step});
        if let (Some(object), Some(line)) = (object.as_object_mut(), line.as_object()) {
            object.extend(line.clone());
        }
        writeln!(out, "{object}")?;
    }
    out.flush()
}
