//! The one table of the decorator's keywords: what is read, what is documented, what errors suggest.

use std::time::Duration;

use danube_core::egress::EgressRule;

use super::literal::{Literal, Value};
use super::param;
use super::pipeline::{Arch, Danubefile, DeclaredImage};
use super::quantity;
use super::report::{Report, Wrong};
use super::trigger;

/// A keyword of `@pipeline`.
pub struct Keyword {
    /// As it is written.
    pub name: &'static str,
    /// What it may be, in words.
    pub value: &'static str,
    /// What holds when it is absent, in words.
    pub default: &'static str,
    /// A value, as Python.
    pub example: &'static str,
    /// What it does, one sentence.
    pub meaning: &'static str,
    set: fn(&mut Danubefile, &Literal, &mut Report<'_>),
}

impl Keyword {
    /// Reads the value into the metadata, or notes what is wrong with it.
    pub(super) fn set(&self, file: &mut Danubefile, value: &Literal, report: &mut Report<'_>) {
        // `None` is how Python writes "absent".
        if value.value != Value::None {
            (self.set)(file, value, report);
        }
    }
}

/// Every keyword, in the order of the documentation.
pub const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "name",
        value: "string, at most 100 characters",
        default: "the function's name",
        example: r#""unit tests""#,
        meaning: "The pipeline's name, wherever people see it.",
        set: |file, value, report| {
            if let Some(name) = report.take(name(value)) {
                file.name = name;
            }
        },
    },
    Keyword {
        name: "image",
        value: "string",
        default: "the runtime's own (`host` in `danube run`)",
        example: r#""python:3.13""#,
        meaning: "The image in which steps run unless they name another: a reference, `oci:DIR`, `tar:FILE` or `host`.",
        set: |file, value, report| file.image = report.take(value.text("`image`", r#"image="python:3.13""#)),
    },
    Keyword {
        name: "images",
        value: "list of strings, or of dictionaries with `image`, `cpu`, `memory`, `disk`",
        default: "none",
        example: r#"["node:22", {"image": "postgres:17", "memory": "1Gi"}]"#,
        meaning: "Further images to start with the job, for steps whose `image=` is computed, each with its own limits.",
        set: |file, value, report| file.images = images(value, report),
    },
    Keyword {
        name: "triggers",
        value: "list of strings, or of dictionaries with `on`",
        default: "none: by hand",
        example: r#"["push", {"on": "cron", "schedule": "0 3 * * *"}]"#,
        meaning: "What starts a job; counts only where the pipeline's object says `triggers: from-file`.",
        set: |file, value, report| file.triggers = trigger::triggers(value, report),
    },
    Keyword {
        name: "params",
        value: "dictionary of name to default, or to a dictionary with `type`, `default`, `choices`, `description`",
        default: "none",
        example: r#"{"env": {"default": "staging", "choices": ["staging", "prod"]}, "count": 3}"#,
        meaning: "Parameters that a job can be started with; the danubefile finds them in `ctx.params`.",
        set: |file, value, report| file.params = param::params(value, report),
    },
    Keyword {
        name: "timeout",
        value: "time: seconds, or a string of numbers with `s`, `m`, `h`, `d`",
        default: "the instance's",
        example: r#""10m""#,
        meaning: "How long the job may take.",
        set: |file, value, report| file.timeout = report.take(quantity::duration(value, "`timeout`")),
    },
    Keyword {
        name: "cleanup_timeout",
        value: "time",
        default: "60 seconds",
        example: r#""2m""#,
        meaning: "How long `finally` and `except` may still run steps after a cancel or the job's timeout.",
        set: |file, value, report| {
            if let Some(time) = report.take(cleanup(value)) {
                file.cleanup_timeout = time;
            }
        },
    },
    Keyword {
        name: "cpu",
        value: "number of CPUs, or a string of thousandths with `m`",
        default: "the runtime's",
        example: "2",
        meaning: "How many CPUs each container may use.",
        set: |file, value, report| file.resources.cpu_millis = report.take(quantity::cpu_millis(value, "`cpu`")),
    },
    Keyword {
        name: "memory",
        value: "size: a string with `Ki`, `Mi`, `Gi`, `Ti` (1024) or `K`, `M`, `G`, `T` (1000), or bytes",
        default: "the runtime's",
        example: r#""2Gi""#,
        meaning: "How much memory each container may use.",
        set: |file, value, report| file.resources.memory_bytes = report.take(quantity::bytes(value, "`memory`")),
    },
    Keyword {
        name: "disk",
        value: "size",
        default: "the runtime's",
        example: r#""10Gi""#,
        meaning: "How much each container may write.",
        set: |file, value, report| file.resources.disk_bytes = report.take(quantity::bytes(value, "`disk`")),
    },
    Keyword {
        name: "arch",
        value: r#""amd64" or "arm64""#,
        default: "any",
        example: r#""arm64""#,
        meaning: "The processor that the job needs.",
        set: |file, value, report| file.arch = report.take(arch(value)),
    },
    Keyword {
        name: "egress",
        value: "list of names, each with optional ports and the word `private`",
        default: "the runtime's policy",
        example: r#"["packages.example.com", "*.example.com:443", "db.local:5432 private"]"#,
        meaning: "The only names that steps may reach; a pipeline's object can only narrow it.",
        set: |file, value, report| file.egress = egress(value, report),
    },
    Keyword {
        name: "retries",
        value: "whole number from 0 to 10",
        default: "2 while no step has started, else 0",
        example: "1",
        meaning: "How often a job that failed by infrastructure, never by its script, is tried again by a server, also after steps have started. `danube run` tries once.",
        set: |file, value, report| file.retries = report.take(retries(value)),
    },
    Keyword {
        name: "concurrency",
        value: "string, at most 100 characters; `{branch}` in it stands for the branch",
        default: "none",
        example: r#""deploy-{branch}""#,
        meaning: "Of the jobs with the same group, whatever their pipeline, one runs at a time; a newer job of the pipeline takes the place of those of the group that wait.",
        set: |file, value, report| file.concurrency = report.take(concurrency(value)),
    },
    Keyword {
        name: "cancel_superseded",
        value: "`True` or `False`",
        default: "`False`",
        example: "True",
        meaning: "A newer job of the pipeline also cancels those of its `concurrency` group that run.",
        set: |file, value, report| {
            file.cancel_superseded = report.take(flag(value, "`cancel_superseded`")).unwrap_or(false)
        },
    },
];

fn name(value: &Literal) -> Result<String, Wrong> {
    let name = value.text("`name`", r#"name="unit tests""#)?;
    match name.chars().count() {
        ..=100 => Ok(name.trim().to_owned()),
        _ => Err(value.not("`name`", "at most 100 characters", r#"name="unit tests""#)),
    }
}

fn cleanup(value: &Literal) -> Result<Duration, Wrong> {
    let time = quantity::duration(value, "`cleanup_timeout`")?;
    if time > Duration::from_secs(3600) {
        return Err(value.not("`cleanup_timeout`", "at most one hour", r#"cleanup_timeout="2m""#));
    }
    Ok(time)
}

fn arch(value: &Literal) -> Result<Arch, Wrong> {
    match &value.value {
        Value::Text(text) if text == "amd64" => Ok(Arch::Amd64),
        Value::Text(text) if text == "arm64" => Ok(Arch::Arm64),
        Value::Text(text) if text == "x86_64" => Err(value.not("`arch`", "\"amd64\" or \"arm64\"", "arch=\"amd64\"")),
        _ => Err(value.not("`arch`", "\"amd64\" or \"arm64\"", "arch=\"arm64\"")),
    }
}

fn retries(value: &Literal) -> Result<u32, Wrong> {
    match value.value {
        Value::Int(number @ 0..=10) => Ok(u32::try_from(number).unwrap_or(0)),
        _ => Err(value.not("`retries`", "a whole number from 0 to 10", "retries=1")),
    }
}

fn concurrency(value: &Literal) -> Result<String, Wrong> {
    let example = r#"concurrency="deploy-{branch}""#;
    let group = value.text("`concurrency`", example)?;
    if group.chars().count() > 100 {
        return Err(value.not("`concurrency`", "at most 100 characters", example));
    }
    match group.replace("{branch}", "").contains(['{', '}']) {
        true => Err(value.not("`concurrency`", "a string with no braces but `{branch}`", example)),
        false => Ok(group.trim().to_owned()),
    }
}

fn flag(value: &Literal, what: &str) -> Result<bool, Wrong> {
    match value.value {
        Value::Bool(flag) => Ok(flag),
        _ => Err(value.not(what, "True or False", "cancel_superseded=True")),
    }
}

fn egress(value: &Literal, report: &mut Report<'_>) -> Option<Vec<EgressRule>> {
    let members = report.take(value.list("`egress`", r#"egress=["files.example.com"]"#))?;
    Some(members.iter().filter_map(|member| report.take(rule(member))).collect())
}

fn rule(member: &Literal) -> Result<EgressRule, Wrong> {
    let text = member.text("an egress rule", r#""packages.example.com""#)?;
    EgressRule::try_from(text).map_err(|error| {
        Wrong::new(member.range, error.to_string(), "for example \"packages.example.com\" or \"db.local:5432 private\"")
    })
}

fn images(value: &Literal, report: &mut Report<'_>) -> Vec<DeclaredImage> {
    match report.take(value.list("`images`", r#"images=["node:22"]"#)) {
        Some(members) => members.iter().filter_map(|member| report.take(declared(member))).collect(),
        None => Vec::new(),
    }
}

fn declared(member: &Literal) -> Result<DeclaredImage, Wrong> {
    let example = r#"{"image": "postgres:17", "memory": "1Gi"}"#;
    let Value::Dict(items) = &member.value else {
        return Ok(DeclaredImage { image: member.text("an image", example)?, ..DeclaredImage::default() });
    };
    let mut declared = DeclaredImage::default();
    for (key, value) in items {
        match &key.value {
            Value::Text(name) if name == "image" => declared.image = value.text("`image`", example)?,
            Value::Text(name) if name == "cpu" => {
                declared.resources.cpu_millis = Some(quantity::cpu_millis(value, "`cpu`")?)
            }
            Value::Text(name) if name == "memory" => {
                declared.resources.memory_bytes = Some(quantity::bytes(value, "`memory`")?)
            }
            Value::Text(name) if name == "disk" => {
                declared.resources.disk_bytes = Some(quantity::bytes(value, "`disk`")?)
            }
            _ => return Err(param::unknown_key(key, "an image", &["image", "cpu", "memory", "disk"])),
        }
    }
    if declared.image.is_empty() {
        return Err(Wrong::new(member.range, "an image needs the key `image`", format!("for example {example}")));
    }
    Ok(declared)
}
