//! Which job is meant: its id, `latest`, or the number that people see.

use serde::Deserialize;

use super::api::{Job, Pipeline};
use super::error::CallError;
use super::http::{Http, part};
use crate::error::CliError;

/// Jobs asked for at once: the most that a server gives.
pub const PAGE: u32 = 200;
/// Pages that are looked through for a number.
const MOST_PAGES: usize = 50;

/// A page of jobs.
#[derive(Deserialize)]
pub struct Page {
    pub jobs: Vec<Job>,
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Pipelines {
    pipelines: Vec<Pipeline>,
}

/// Finds the job.
pub fn job(http: &Http, text: &str) -> Result<Job, CliError> {
    if let Ok(number) = text.parse() {
        return numbered(http, &only_pipeline(http)?, number);
    }
    match text.rsplit_once('/').map(|(pipeline, number)| (pipeline, number.parse())) {
        Some((pipeline, Ok(number))) => numbered(http, pipeline, number),
        Some((_, Err(_))) => Err(CliError::config(format!("`{text}` names no job")).hint(FORMS)),
        None => Ok(http.get(&format!("jobs/{}", part(text)))?),
    }
}

const FORMS: &str = "a job is named by its id, NUMBER, PIPELINE/NUMBER, or latest";

/// The pipeline that needs no name.
pub fn only_pipeline(http: &Http) -> Result<String, CliError> {
    let Pipelines { pipelines } = http.get("pipelines")?;
    let names: Vec<&str> = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    match names[..] {
        [name] => Ok(name.to_owned()),
        [] => Err(CliError::config("the server has no pipeline")
            .hint("`danube dev` in a checkout makes one of its danubefile")),
        _ => Err(CliError::config("the server has several pipelines").hint(format!("name one: {}", names.join(", ")))),
    }
}

/// Newest first, so the numbers fall.
fn numbered(http: &Http, pipeline: &str, number: i64) -> Result<Job, CliError> {
    let none = || {
        CliError::config(format!("there is no job {number} of `{pipeline}`")).hint("`danube jobs` lists what there is")
    };
    let mut before = None;
    for _ in 0..MOST_PAGES {
        let page = page(http, &format!("pipeline={}", part(pipeline)), PAGE, before.as_deref())?;
        if let Some(job) = page.jobs.iter().find(|job| job.number <= number) {
            return if job.number == number { Ok(job.clone()) } else { Err(none()) };
        }
        before = Some(page.next.ok_or_else(none)?);
    }
    Err(CliError::config(format!("job {number} of `{pipeline}` is too old to be found by its number"))
        .hint("name it by its id"))
}

fn page(http: &Http, filter: &str, limit: u32, before: Option<&str>) -> Result<Page, CallError> {
    http.get(&path(filter, limit, before))
}

/// The path of a page of jobs.
pub fn path(filter: &str, limit: u32, before: Option<&str>) -> String {
    let before = before.map_or(String::new(), |id| format!("&before={}", part(id)));
    let filter = if filter.is_empty() { String::new() } else { format!("&{filter}") };
    format!("jobs?limit={limit}{filter}{before}")
}
