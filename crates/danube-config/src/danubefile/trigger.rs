//! Triggers: `triggers=["push", {"on": "cron", "schedule": "0 3 * * *"}]`.

use serde::Serialize;

use super::literal::{Literal, Value};
use super::param::unknown_key;
use super::report::{Report, Wrong};

const EXAMPLE: &str = r#"triggers=["push", {"on": "cron", "schedule": "0 3 * * *"}]"#;

/// The kinds of trigger, each with the keys it may have besides `on`.
const KINDS: [(&str, &[&str]); 7] = [
    ("push", &["branches", "paths", "paths_ignore"]),
    ("tag", &["tags"]),
    ("pull_request", &["branches", "paths", "paths_ignore"]),
    ("merge_group", &["branches"]),
    ("manual", &[]),
    ("cron", &["schedule", "timezone"]),
    ("pipeline", &["pipeline"]),
];

/// What starts a job. Counts only where the pipeline's object says `triggers: from-file`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trigger {
    /// `push`, `tag`, `pull_request`, `merge_group`, `manual`, `cron` or `pipeline`.
    pub on: String,
    /// Globs of branches; empty means all.
    pub branches: Vec<String>,
    /// Globs of tags; empty means all.
    pub tags: Vec<String>,
    /// Globs of changed paths, one of which must match.
    pub paths: Vec<String>,
    /// Globs of changed paths that do not count.
    pub paths_ignore: Vec<String>,
    /// Five fields, for `cron`.
    pub schedule: Option<String>,
    /// An IANA zone, for `cron`; none means UTC.
    pub timezone: Option<String>,
    /// The pipeline whose success starts this one.
    pub pipeline: Option<String>,
}

/// Reads `triggers=`.
pub(super) fn triggers(literal: &Literal, report: &mut Report<'_>) -> Vec<Trigger> {
    match report.take(literal.list("`triggers`", EXAMPLE)) {
        Some(members) => members.iter().filter_map(|member| trigger(member, report)).collect(),
        None => Vec::new(),
    }
}

fn trigger(literal: &Literal, report: &mut Report<'_>) -> Option<Trigger> {
    match &literal.value {
        Value::Text(_) => {
            let (on, _) = report.take(kind(literal))?;
            report.take(complete(literal, Trigger { on: on.to_owned(), ..Trigger::default() }))
        }
        Value::Dict(items) => with_keys(literal, items, report),
        _ => {
            report.wrong(literal.not("a trigger", "a string or a dictionary", EXAMPLE));
            None
        }
    }
}

fn kind(literal: &Literal) -> Result<(&'static str, &'static [&'static str]), Wrong> {
    let known = KINDS.iter().find(|(name, _)| literal.value == Value::Text((*name).to_owned()));
    let names = KINDS.map(|(name, _)| name).join(", ");
    known.copied().ok_or_else(|| literal.not("a trigger", &format!("one of {names}"), EXAMPLE))
}

fn with_keys(literal: &Literal, items: &[(Literal, Literal)], report: &mut Report<'_>) -> Option<Trigger> {
    let Some((_, on)) = items.iter().find(|(key, _)| key.value == Value::Text("on".into())) else {
        report.wrong(Wrong::new(literal.range, "a trigger needs the key `on`", format!("for example {EXAMPLE}")));
        return None;
    };
    let (on, known) = report.take(kind(on))?;
    let mut trigger = Trigger { on: on.to_owned(), ..Trigger::default() };
    for (key, value) in items {
        report.take(set(&mut trigger, key, value, known));
    }
    report.take(complete(literal, trigger))
}

fn set(trigger: &mut Trigger, key: &Literal, value: &Literal, known: &[&str]) -> Result<(), Wrong> {
    let name = match &key.value {
        Value::Text(name) if name == "on" => return Ok(()),
        Value::Text(name) if known.contains(&name.as_str()) => name.as_str(),
        _ => {
            let known: Vec<&str> = std::iter::once("on").chain(known.iter().copied()).collect();
            return Err(unknown_key(key, &format!("the trigger `{}`", trigger.on), &known));
        }
    };
    let what = format!("`{name}`");
    match name {
        "branches" => trigger.branches = value.texts(&what, r#"["main", "release/*"]"#)?,
        "tags" => trigger.tags = value.texts(&what, r#"["v*"]"#)?,
        "paths" => trigger.paths = value.texts(&what, r#"["src/**"]"#)?,
        "paths_ignore" => trigger.paths_ignore = value.texts(&what, r#"["docs/**"]"#)?,
        "schedule" => trigger.schedule = Some(schedule(value)?),
        "timezone" => trigger.timezone = Some(value.text(&what, "\"Europe/Vienna\"")?),
        _ => trigger.pipeline = Some(value.text(&what, "\"build\"")?),
    }
    Ok(())
}

/// Five fields of the characters that cron knows; the scheduler reads the rest.
fn schedule(literal: &Literal) -> Result<String, Wrong> {
    let text = literal.text("`schedule`", "\"0 3 * * *\"")?;
    let plausible = |field: &str| field.chars().all(|c| c.is_ascii_alphanumeric() || "*,-/#?".contains(c));
    if text.split_whitespace().count() == 5 && text.split_whitespace().all(plausible) {
        return Ok(text);
    }
    Err(literal.not(
        "`schedule`",
        "five fields: minute, hour, day, month, weekday",
        "\"0 3 * * *\" for every night at three",
    ))
}

fn complete(literal: &Literal, trigger: Trigger) -> Result<Trigger, Wrong> {
    let missing = match trigger.on.as_str() {
        "cron" if trigger.schedule.is_none() => r#""schedule": "0 3 * * *""#,
        "pipeline" if trigger.pipeline.is_none() => r#""pipeline": "build""#,
        _ => return Ok(trigger),
    };
    let message = format!("the trigger `{}` is not complete", trigger.on);
    Err(Wrong::new(literal.range, message, format!(r#"write {{"on": "{}", {missing}}}"#, trigger.on)))
}
