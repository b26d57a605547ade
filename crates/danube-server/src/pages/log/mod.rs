//! `/pipelines/{name}/{number}/log`: every line of a run (docs/ui.md, "The log"). The page holds the blocks around what
//! its address names; the rest is a link away, and with scripts a scroll.

use askama::Template;
use axum::extract::State as Shared;
use axum::response::Response;

use super::job::{RunPath, crumbs, find as find_run};
use super::shell::{Crumb, Shell, Tab};
use super::state::State;
use super::visitor::Visitor;
use super::{job_page, link, words};
use crate::answer::blocking;
use crate::api::logs::open;
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};

mod find;
mod lines;
mod live;
mod live_parts;
mod ruler;
mod sections;
mod steps;
mod target;
mod text;
mod view;
mod window;

pub(crate) use lines::{hits, lines, summary};
pub(crate) use live::stream;
pub(crate) use text::text;

use find::Hits;
use ruler::Tick;
use sections::Section;
use steps::Steps;
use target::{Mark, Target};
use view::{Asked, Place, Time, View};

/// Failures that are looked for in each step, and in all.
const MARKS_OF_STEP: usize = 50;
const MARKS: usize = 200;
/// Lines that a page can hold at once (log.js).
const MOUNTED: u64 = 20_000;

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    shell: Shell,
    name: String,
    number: i64,
    href: String,
    state: State,
    view: View,
    over: bool,
    /// Where the live stream goes on from this page.
    after: Option<String>,
    /// Nothing but the end was asked for.
    follows: bool,
    times: Vec<(&'static str, &'static str, bool)>,
    zone: String,
    total: u64,
    /// The browser's own search does not see all of it.
    is_long: bool,
    total_words: String,
    sections: Vec<Section>,
    /// The step that the page is about, and the line.
    step: Option<u32>,
    target: Option<Target>,
    found: Option<Found>,
    /// Where the text is, to which more of the query is added.
    text: String,
    /// Lines that the address names, as it does and in words.
    chosen: Option<String>,
    chosen_words: Option<String>,
    ticks: Vec<Tick>,
}

/// What a search found.
struct Found {
    words: String,
    previous: Option<String>,
    next: Option<String>,
}

pub(crate) async fn show(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
    InQuery(asked): InQuery<Asked>,
) -> Result<Response, Problem> {
    let view = View::new(&asked)?;
    let row = find_run(&ctx, &name, number).await?;
    let steps = Steps::of(&ctx, &visitor.clock, &row, view.attempt).await?;
    let hits = match &view.search {
        Some(search) => Some(find::find(&ctx, &steps, search).await?),
        None => None,
    };
    let marks = marks(&ctx, &steps).await?;
    let target = Target::of(&view, &steps, hits.as_ref(), &marks);
    let sections = sections::all(&ctx, &visitor, &view, &steps, (target, hits.as_ref())).await?;
    let state = State::of_job(&row.status, row.reason_kind.as_deref());
    let title = format!("{} #{number} {name}, log", state.word);
    let shell = Shell { icon: state.icon(), ..Shell::new(&ctx, &visitor, title, Tab::Pipelines).await? };
    let shell =
        shell.refreshed((!steps.over).then_some(5)).with_scripts(&["live.js", "log-lines.js", "log-live.js", "log.js"]);
    let href = link::run(&name, number);
    let total = steps.lines();
    let page = LogPage {
        shell: Shell { sheets: &["ansi.css"], ..shell }
            .under(crumbs(&name, number))
            .under([Crumb::new("Log", format!("{href}/log"))]),
        state,
        over: steps.over,
        after: (!steps.over).then(|| live::cursor_after(&steps).to_string()),
        follows: !steps.over && view.chosen.is_none() && view.at.is_none() && view.step.is_none() && hits.is_none(),
        times: Time::ALL.iter().map(|&(time, name, words)| (name, words, time == view.time)).collect(),
        zone: visitor.clock.zone.iana_name().unwrap_or("UTC").to_owned(),
        total_words: words::count(usize::try_from(total).unwrap_or(usize::MAX), "line", "lines"),
        is_long: total > MOUNTED,
        total,
        step: target.map(|target| target.step),
        target,
        text: match view.attempt {
            Some(attempt) => format!("{href}/log.txt?attempt={attempt}&"),
            None => format!("{href}/log.txt?"),
        },
        chosen: view.chosen.as_ref().map(ToString::to_string),
        chosen_words: view.chosen.as_ref().map(Place::words),
        found: hits.as_ref().map(|hits| Found::new(&view, hits)),
        ticks: ruler::ticks(&view, &steps, hits.as_ref(), &marks),
        sections,
        name,
        number,
        href,
        view,
    };
    job_page(&page)
}

/// Lines that tell of a failure: those of steps that failed, else of all.
async fn marks(ctx: &Ctx, steps: &Steps) -> Result<Vec<Mark>, Problem> {
    let any_failed = steps.all.iter().any(|step| step.failed);
    let wanted = steps.all.iter().filter(|step| step.failed || !any_failed);
    let keys: Vec<_> = wanted.map(|step| steps.key(step.number)).collect();
    let logs = ctx.master.logs().clone();
    let look = move || {
        let mut marks = Vec::new();
        for key in keys {
            let Some(log) = open(&logs, &key)?.filter(|_| marks.len() < MARKS) else { continue };
            marks.extend(log.failures(MARKS_OF_STEP)?.into_iter().map(|line| (key.number, line + 1)));
        }
        Ok::<_, Problem>(marks)
    };
    blocking(look).await?
}

impl Found {
    fn new(view: &View, hits: &Hits) -> Self {
        let (all, at) = (hits.lines.len(), view.hit.min(hits.lines.len()));
        let more = if hits.more { " or more" } else { "" };
        let to = |at: usize| {
            let (step, line) = hits.lines.get(at.checked_sub(1)?)?;
            Some(view.query(&format!("hit={at}#L{step}:{line}")))
        };
        let words = match (all, hits.more) {
            (0, false) => "no line has it".to_owned(),
            (0, true) => "no line so far: the search took too long".to_owned(),
            _ => format!("{at} of {all}{more}"),
        };
        Self { words, previous: to(at.wrapping_sub(1)), next: to(at + 1) }
    }
}
