//! `danube pipelines` and `danube jobs`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::{Job, Pipeline};
use super::find::Instance;
use super::http::{Http, part};
use super::reference::{PAGE, path};
use super::table::{Cell, table};
use super::text::{ago, now_ms, paint, source, status, took, why};
use super::{print, print_json};
use crate::cli::client::{JobsArgs, PipelinesArgs};
use crate::error::CliError;

/// Runs `danube pipelines`.
pub fn pipelines(arguments: &PipelinesArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let document: Value = http.get("pipelines")?;
    if arguments.server.json {
        return print_json(&document);
    }
    let list: Vec<Pipeline> = members(&http, &document, "pipelines")?;
    if list.is_empty() {
        return print(b"no pipelines yet: `danube dev` in a checkout makes one of its danubefile\n");
    }
    let now = now_ms();
    let rows = list.iter().map(|pipeline| pipeline_row(pipeline, now)).collect();
    print(table(&["pipeline", "last job", "", "", "now", "folder"], rows, paint()).as_bytes())
}

fn pipeline_row(pipeline: &Pipeline, now: i64) -> Vec<Cell> {
    let last = pipeline.last_job.as_ref();
    let (words, tone) = last.map_or((String::new(), crate::view::Tone::Dim), status);
    let counts = &pipeline.counts;
    let busy = [(counts.running, "running"), (counts.waiting, "waiting")];
    let busy: Vec<String> = busy.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    vec![
        Cell::text(&pipeline.name),
        Cell::text(words).toned(tone),
        Cell::figure(last.map_or(String::new(), |job| job.number.to_string())),
        Cell::figure(last.map_or(String::new(), |job| ago(job.created_ms, now))),
        Cell::text(busy.join(", ")),
        Cell::text(pipeline.dir.as_deref().unwrap_or_default()),
    ]
}

/// Runs `danube jobs`.
pub fn jobs(arguments: &JobsArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let document = collect(&http, arguments)?;
    if arguments.server.json {
        return print_json(&document);
    }
    let list: Vec<Job> = members(&http, &document, "jobs")?;
    if list.is_empty() {
        return print(b"no such jobs\n");
    }
    let now = now_ms();
    let rows = list.iter().map(|job| job_row(job, now)).collect();
    print(table(&["status", "job", "pipeline", "source", "took", "created", "why"], rows, paint()).as_bytes())
}

fn job_row(job: &Job, now: i64) -> Vec<Cell> {
    let (words, tone) = status(job);
    vec![
        Cell::text(words).toned(tone),
        Cell::figure(job.number),
        Cell::text(&job.pipeline),
        Cell::text(source(job)),
        Cell::figure(took(job, now)),
        Cell::figure(ago(job.created_ms, now)),
        Cell::text(why(job)),
    ]
}

/// As many pages as are needed, as one document.
fn collect(http: &Http, arguments: &JobsArgs) -> Result<Value, CliError> {
    let pipeline = arguments.pipeline.as_ref().map(|name| format!("pipeline={}", part(name)));
    let status = arguments.status.map(|status| format!("status={status}"));
    let filter = pipeline.into_iter().chain(status).collect::<Vec<_>>().join("&");
    let (mut jobs, mut next) = (Vec::new(), None);
    while jobs.len() < arguments.limit as usize {
        let wanted = (arguments.limit - u32::try_from(jobs.len()).unwrap_or(0)).min(PAGE);
        let mut page: Value = http.get(&path(&filter, wanted, next.as_deref()))?;
        let more =
            page["jobs"].as_array_mut().map(std::mem::take).ok_or_else(|| http.strange("a page without jobs"))?;
        next = page["next"].as_str().map(str::to_owned);
        jobs.extend(more);
        if next.is_none() {
            break;
        }
    }
    Ok(json!({"jobs": jobs, "next": next}))
}

fn members<T: serde::de::DeserializeOwned>(http: &Http, document: &Value, name: &str) -> Result<Vec<T>, CliError> {
    Ok(serde_json::from_value(document[name].clone()).map_err(|error| http.strange(error))?)
}
