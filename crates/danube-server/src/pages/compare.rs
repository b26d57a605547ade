//! `/pipelines/{name}/compare/{a}...{b}`: what differs between two runs.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use danube_engine::master::{SubmitError, given_params};
use danube_store::jobs::JobRow;
use danube_store::{containers, runs, steps};
use serde::Deserialize;

use super::job::find;
use super::shell::{Crumb, Shell, Tab};
use super::state::State;
use super::time::duration;
use super::visitor::Visitor;
use super::{job_page, link};
use crate::api::jobs::{attempt_of, refused};
use crate::context::Ctx;
use crate::model::Container;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};

/// Tests that are named.
const TESTS: u32 = 200;

/// The two, as a form sends them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Two {
    a: i64,
    b: i64,
}

/// One of the two.
struct Side {
    number: i64,
    href: String,
    state: State,
    sha: String,
    title: String,
}

struct Fact {
    name: &'static str,
    left: String,
    right: String,
    same: bool,
}

struct StepTimes {
    name: String,
    left: String,
    right: String,
    change: String,
}

/// What the repository says.
#[derive(Default)]
struct Sources {
    commits: Vec<(String, String)>,
    no_commits: String,
    diff: Vec<(&'static str, String)>,
    no_diff: String,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Compare {
    shell: Shell,
    name: String,
    left: Side,
    right: Side,
    swapped: String,
    facts: Vec<Fact>,
    commits: Vec<(String, String)>,
    no_commits: String,
    diff: Vec<(&'static str, String)>,
    no_diff: String,
    steps: Vec<StepTimes>,
    tests: Vec<(String, String, String)>,
}

/// From the form's two numbers to the page, which has them in its path.
pub(crate) async fn choose(InPath(name): InPath<String>, InQuery(two): InQuery<Two>) -> Result<Response, Problem> {
    let place = format!("{}/compare/{}...{}", link::pipeline(&name), two.a, two.b);
    let place = HeaderValue::from_str(&place).map_err(Problem::internal)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response())
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, pair)): InPath<(String, String)>,
) -> Result<Response, Problem> {
    let (a, b) = numbers(&pair).ok_or_else(|| Problem::not_found("Name two runs: compare/12...15."))?;
    let (left, right) = (find(&ctx, &name, a).await?, find(&ctx, &name, b).await?);
    let sources = Sources::of(&ctx, &left, &right).await?;
    let tests = tests(&ctx, &left, &right).await?;
    let shell = Shell::new(&ctx, &visitor, format!("{name} #{a} and #{b}"), Tab::Pipelines).await?;
    let home = link::pipeline(&name);
    let way = [Crumb::new("Pipelines", "/"), Crumb::new(&name, &home), Crumb::new(format!("#{a} and #{b}"), "")];
    job_page(&Compare {
        shell: shell.under(way),
        swapped: format!("{home}/compare/{b}...{a}"),
        facts: facts(&ctx, &left, &right).await?,
        steps: step_times(&ctx, &left, &right).await?,
        left: Side::new(left),
        right: Side::new(right),
        commits: sources.commits,
        no_commits: sources.no_commits,
        diff: sources.diff,
        no_diff: sources.no_diff,
        tests,
        name,
    })
}

fn numbers(pair: &str) -> Option<(i64, i64)> {
    let (a, b) = pair.split_once("...")?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

impl Side {
    fn new(row: JobRow) -> Self {
        Self {
            number: row.number,
            href: link::run(&row.pipeline, row.number),
            state: State::of_job(&row.status, row.reason_kind.as_deref()),
            sha: row.source_sha.unwrap_or_default().chars().take(7).collect(),
            title: row.source_title.unwrap_or_default(),
        }
    }
}

impl Sources {
    async fn of(ctx: &Ctx, left: &JobRow, right: &JobRow) -> Result<Self, Problem> {
        let (Some(from), Some(to)) = (&left.source_sha, &right.source_sha) else {
            let words = "One of them ran on files that are in no commit.".to_owned();
            return Ok(Self { no_commits: words.clone(), no_diff: words, ..Self::default() });
        };
        if from == to {
            let words = "Both ran on the same commit.".to_owned();
            return Ok(Self { no_commits: words.clone(), no_diff: words, ..Self::default() });
        }
        match ctx.master.between(&left.pipeline, from.clone(), to.clone()).await {
            Ok(between) => Ok(Self {
                commits: between.commits.into_iter().map(|(id, title)| (id.chars().take(7).collect(), title)).collect(),
                no_commits: format!("#{} has no commit that #{} has not.", right.number, left.number),
                diff: between.danubefile.lines().map(|line| (kind(line), line.to_owned())).collect(),
                no_diff: "It is the same.".to_owned(),
            }),
            Err(SubmitError::Invalid(wrong)) => {
                Ok(Self { no_commits: wrong.message.clone(), no_diff: wrong.message, ..Self::default() })
            }
            Err(other) => Err(refused(other)),
        }
    }
}

fn kind(line: &str) -> &'static str {
    match line.as_bytes().first() {
        Some(b'+') if !line.starts_with("+++") => "add",
        Some(b'-') if !line.starts_with("---") => "del",
        _ => "",
    }
}

async fn facts(ctx: &Ctx, left: &JobRow, right: &JobRow) -> Result<Vec<Fact>, Problem> {
    let db = ctx.store().read();
    let mut images = Vec::new();
    for row in [left, right] {
        let containers = containers::list(db, &attempt_of(row, None)?).await?.into_iter();
        let workers = containers.map(Container::from).filter(|one| one.role != "coordinator");
        let workers = workers.map(|container| container.image);
        images.push(workers.collect::<Vec<_>>().join(", "));
    }
    let took =
        |row: &JobRow| row.started_ms.zip(row.finished_ms).map(|(from, to)| duration(to - from)).unwrap_or_default();
    let fact = |name, left: String, right: String| Fact { name, same: left == right, left, right };
    Ok(vec![
        fact("Branch", left.source_ref.clone().unwrap_or_default(), right.source_ref.clone().unwrap_or_default()),
        fact("Started by", started_by(left), started_by(right)),
        fact("Parameters", params(left), params(right)),
        fact("Images", images.remove(0), images.remove(0)),
        fact("Took", took(left), took(right)),
    ])
}

fn started_by(row: &JobRow) -> String {
    format!("{} {}", row.actor.as_deref().unwrap_or_default(), row.trigger).trim().to_owned()
}

fn params(row: &JobRow) -> String {
    let pairs = given_params(&row.params).into_iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}

async fn step_times(ctx: &Ctx, left: &JobRow, right: &JobRow) -> Result<Vec<StepTimes>, Problem> {
    let mut rows: Vec<(String, [Option<i64>; 2])> = Vec::new();
    for (side, job) in [left, right].into_iter().enumerate() {
        for step in
            steps::list(ctx.store().read(), &attempt_of(job, None)?).await?.into_iter().filter(|step| step.number > 0)
        {
            // The same name twice is matched in order.
            match rows.iter_mut().find(|(name, times)| *name == step.name && times[side].is_none() && side == 1) {
                Some((_, times)) => times[1] = step.duration_ms,
                None => {
                    let mut times = [None, None];
                    times[side] = step.duration_ms;
                    rows.push((step.name, times));
                }
            }
        }
    }
    Ok(rows.into_iter().map(|(name, times)| StepTimes::new(name, times)).collect())
}

impl StepTimes {
    fn new(name: String, [left, right]: [Option<i64>; 2]) -> Self {
        let said = |time: Option<i64>| time.map_or_else(|| "–".to_owned(), duration);
        let change = left.zip(right).map(|(left, right)| {
            let sign = if right >= left { "+" } else { "−" };
            format!("{sign}{}", duration((right - left).abs()))
        });
        Self { name, left: said(left), right: said(right), change: change.unwrap_or_default() }
    }
}

/// Tests that ended differently: those that did badly in either, looked up in both.
async fn tests(ctx: &Ctx, left: &JobRow, right: &JobRow) -> Result<Vec<(String, String, String)>, Problem> {
    let db = ctx.store().read();
    let both = [left.id.clone(), right.id.clone()];
    let names = runs::often_failed(db, &both, TESTS).await?.into_iter().map(|test| test.name).collect::<Vec<_>>();
    let mut ends: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    for fate in runs::fates(db, &both, &names).await? {
        let side = usize::from(fate.job == right.id);
        ends.entry(format!("{} {}", fate.class, fate.name)).or_default()[side] = Some(fate.status);
    }
    let changed = ends.into_iter().filter(|(_, [left, right])| left != right);
    let said = |end: Option<String>| end.unwrap_or_else(|| "–".to_owned());
    Ok(changed.map(|(name, [left, right])| (name.trim().to_owned(), said(left), said(right))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_or_nothing() {
        assert_eq!(numbers("12...15"), Some((12, 15)));
        assert_eq!([numbers("12"), numbers("12..15"), numbers("a...b")], [None, None, None]);
    }

    #[test]
    fn a_step_of_one_side_only_has_no_change() {
        let row = StepTimes::new("build".into(), [Some(2_000), Some(5_500)]);
        assert_eq!((row.left.as_str(), row.right.as_str(), row.change.as_str()), ("2.0s", "5.5s", "+3.5s"));
        let row = StepTimes::new("new".into(), [None, Some(10)]);
        assert_eq!((row.left.as_str(), row.change.as_str()), ("–", ""));
    }
}
