//! `/pipelines/{name}/run`: a form made from the danubefile's parameters, which starts a job.

use askama::Template;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use danube_engine::master::{Asked, Description, Submission, SubmitError, given_params};
use danube_store::{pipelines, runs};
use serde::Deserialize;

use super::job::find;
use super::shell::{Crumb, Shell, Tab};
use super::time::duration;
use super::visitor::Visitor;
use super::{link, page, see_after};
use crate::api::jobs::refused;
use crate::api::pipelines::no_pipeline;
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};
use crate::request::form::Form;

/// Runs whose branches are proposed.
const BRANCHES_OF: u32 = 500;
/// Before the name of a parameter, in the form.
const PARAM: &str = "p.";

/// With which values the form begins.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Those of this run.
    from: Option<i64>,
}

/// A parameter in the form.
struct Field {
    name: String,
    hint: String,
    value: String,
    choices: Vec<String>,
    is_switch: bool,
    wrong: Option<String>,
}

/// What is wrong with what was typed.
struct Wrong {
    words: String,
    /// The field that it is about.
    field: Option<String>,
}

/// What the form's fields hold.
struct Filled {
    reference: String,
    params: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunForm {
    shell: Shell,
    name: String,
    href: String,
    problems: Vec<Wrong>,
    unreadable: Option<String>,
    image: String,
    timeout: Option<String>,
    reference: String,
    branches: Vec<String>,
    fields: Vec<Field>,
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response, Problem> {
    let filled = match wanted.from {
        Some(number) => {
            let row = find(&ctx, &name, number).await?;
            let reference = row.source_sha.filter(|_| !row.source_dirty).unwrap_or_default();
            Filled { reference, params: given_params(&row.params) }
        }
        None => Filled { reference: String::new(), params: Vec::new() },
    };
    form(&ctx, &visitor, name, filled, Vec::new()).await
}

pub(crate) async fn start(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    sent: Form,
) -> Result<Response, Problem> {
    let described = ctx.master.describe(&name).await.map_err(refused)?;
    let filled = Filled { reference: sent.get("ref").trim().to_owned(), params: given(&described, &sent) };
    let submission = Submission {
        pipeline: name.clone(),
        params: filled.params.clone(),
        reference: Some(filled.reference.clone()).filter(|reference| !reference.is_empty()),
        trigger: "manual",
        actor: visitor.actor(),
    };
    match ctx.master.submit(submission).await {
        Ok(accepted) => see_after(&link::run(&name, accepted.number), "started", accepted.number),
        Err(SubmitError::Invalid(wrong)) => {
            let problems = wrong.message.lines().map(str::to_owned).collect();
            let mut response = form(&ctx, &visitor, name, filled, problems).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(other) => Err(refused(other)),
    }
}

/// The values that were typed. A box without a tick is not sent by a browser: it means `false`.
fn given(described: &Description, sent: &Form) -> Vec<(String, String)> {
    let typed = sent.pairs().filter_map(|(name, value)| Some((name.strip_prefix(PARAM)?, value)));
    let typed: Vec<_> = typed.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let is_sent = |name: &str| typed.iter().any(|(sent, _)| sent == name);
    let unticked = described.params.iter().filter(|asked| asked.is_switch && !is_sent(&asked.name));
    let unticked: Vec<_> = unticked.map(|asked| (asked.name.clone(), "false".to_owned())).collect();
    typed.into_iter().chain(unticked).collect()
}

async fn form(
    ctx: &Ctx,
    visitor: &Visitor,
    name: String,
    filled: Filled,
    problems: Vec<String>,
) -> Result<Response, Problem> {
    let db = ctx.store().read();
    pipelines::get(db, &name).await?.ok_or_else(|| no_pipeline(&name))?;
    let (described, unreadable) = match ctx.master.describe(&name).await {
        Ok(described) => (described, None),
        Err(SubmitError::Invalid(wrong)) => (Description::default(), Some(wrong.message)),
        Err(other) => return Err(refused(other)),
    };
    let title = if problems.is_empty() { format!("Run {name}") } else { format!("Error: run {name}") };
    let href = link::pipeline(&name);
    let shell = Shell::new(ctx, visitor, title, Tab::Pipelines).await?;
    page(&RunForm {
        shell: shell.under([Crumb::new("Pipelines", "/"), Crumb::new(&name, &href), Crumb::new("Run", "")]),
        branches: runs::branches(db, &name, BRANCHES_OF).await?,
        fields: described.params.iter().map(|asked| Field::new(asked, &filled, &problems)).collect(),
        problems: problems.into_iter().map(|words| Wrong::new(words, &described.params)).collect(),
        timeout: described.timeout.map(|timeout| duration(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX))),
        image: described.image,
        reference: filled.reference,
        unreadable,
        name,
        href,
    })
}

/// Whether a sentence is about a parameter: they name them so.
fn is_about(words: &str, name: &str) -> bool {
    words.contains(&format!("`{name}`"))
}

impl Wrong {
    fn new(words: String, params: &[Asked]) -> Self {
        let field = params.iter().find(|asked| is_about(&words, &asked.name)).map(|asked| asked.name.clone());
        Self { words, field }
    }
}

impl Field {
    fn new(asked: &Asked, filled: &Filled, problems: &[String]) -> Self {
        let given = filled.params.iter().find(|(name, _)| *name == asked.name).map(|(_, value)| value.clone());
        let needed = if asked.default.is_none() { "A value is needed." } else { "" };
        Self {
            name: asked.name.clone(),
            hint: format!("{} {needed}", asked.description).trim().to_owned(),
            value: given.or_else(|| asked.default.clone()).unwrap_or_default(),
            choices: asked.choices.clone(),
            is_switch: asked.is_switch,
            wrong: problems.iter().find(|words| is_about(words, &asked.name)).cloned(),
        }
    }
}
