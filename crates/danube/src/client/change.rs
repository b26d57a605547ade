//! `danube trigger`, `cancel` and `rerun`.

use std::process::ExitCode;

use danube_core::job::ExitClass;
use serde_json::{Map, Value, json};

use super::api::Job;
use super::find::Instance;
use super::follow::{self, Shown};
use super::http::{Http, part};
use super::shown::Screen;
use super::text::{self, why};
use super::{print, print_json, reference};
use crate::cli::client::{CancelArgs, RerunArgs, Server, Stay, TriggerArgs};
use crate::error::CliError;
use crate::view::harmless;

/// Runs `danube trigger`.
pub fn trigger(arguments: &TriggerArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let pipeline = match &arguments.pipeline {
        Some(name) => name.clone(),
        None => reference::only_pipeline(&http)?,
    };
    let params: Map<String, Value> =
        arguments.params.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let body = json!({"ref": arguments.reference, "params": params});
    let document = http.post(&format!("pipelines/{}/jobs", part(&pipeline)), &body)?;
    started(&http, document, arguments.stay, &arguments.server)
}

/// Runs `danube rerun`.
pub fn rerun(arguments: &RerunArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let job = reference::job(&http, &arguments.job)?;
    let document = http.post(&format!("jobs/{}/rerun", part(&job.id)), &json!({}))?;
    started(&http, document, arguments.stay, &arguments.server)
}

/// Runs `danube cancel`.
pub fn cancel(arguments: &CancelArgs) -> Result<ExitCode, CliError> {
    let http = Http::new(Instance::find(&arguments.server)?);
    let job = reference::job(&http, &arguments.job)?;
    let document = http.post(&format!("jobs/{}/cancel", part(&job.id)), &json!({}))?;
    if arguments.server.json {
        return print_json(&document);
    }
    print(format!("{} is being stopped; its cleanup may still run\n", name(&job)).as_bytes())
}

/// `tests #12`.
fn name(job: &Job) -> String {
    format!("{} #{}", harmless(&job.pipeline), job.number)
}

/// Says which job it is now, and stays with it if that was asked for.
fn started(http: &Http, document: Value, stay: Stay, server: &Server) -> Result<ExitCode, CliError> {
    let job: Job = serde_json::from_value(document.clone()).map_err(|error| http.strange(error))?;
    if stay.follow {
        let shown = if server.json { Shown::Json } else { Shown::Screen(Box::new(Screen::new(text::paint()))) };
        return Ok(exit(&follow::follow(http, &job, shown)?));
    }
    if !stay.wait {
        return if server.json { print_json(&document) } else { print(next_words(&job).as_bytes()) };
    }
    if !server.json {
        print(format!("{}: waiting for its end\n", name(&job)).as_bytes())?;
    }
    let ended = follow::follow(http, &job, Shown::Nothing)?;
    if server.json {
        print_json(&http.get(&format!("jobs/{}", part(&job.id)))?)?;
    } else {
        print(end_words(&ended).as_bytes())?;
    }
    Ok(exit(&ended))
}

fn next_words(job: &Job) -> String {
    let why = match why(job) {
        why if why.is_empty() => String::new(),
        why => format!(" ({})", harmless(&why)),
    };
    let started = format!("{} is {}{why}", name(job), harmless(&job.status));
    format!("{started}\n  danube logs -f {0}\n  danube cancel {0}\n", harmless(&job.handle()))
}

fn end_words(job: &Job) -> String {
    let (status, tone) = text::status(job);
    let took = text::took(job, text::now_ms());
    let why = match why(job) {
        why if why.is_empty() => String::new(),
        why => format!(": {}", harmless(&why)),
    };
    format!("{} in {took}{why}\n", text::paint().text(tone, &harmless(&status)))
}

fn exit(job: &Job) -> ExitCode {
    let class: ExitClass = job.exit_class();
    ExitCode::from(class.code())
}
