//! What the live stream puts into a page: the state of the run, and its steps as they begin and end.

use askama::Template;
use serde::Serialize;

use super::sections::Section;
use super::steps::Step;
use super::view::View;
use crate::assets;
use crate::events::Facts;
use crate::model;
use crate::pages::state::State;
use crate::pages::time::Clock;
use crate::problem::Problem;

#[derive(Template)]
#[template(
    ext = "html",
    source = "{%- import \"parts/state.html\" as states -%}{% call states::badge(state, assets) %}{% endcall %}"
)]
struct Badge {
    state: State,
    assets: &'static str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = "{%- import \"parts/logstep.html\" as steps -%}{% call steps::summary(section, assets) %}{% endcall %}"
)]
struct Summary<'a> {
    section: &'a Section,
    assets: &'static str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = "{%- import \"parts/logstep.html\" as steps -%}{% call steps::item(section, assets) %}{% endcall %}"
)]
struct Item<'a> {
    section: &'a Section,
    assets: &'static str,
}

/// The run's state.
#[derive(Serialize)]
pub(super) struct HeadPart {
    badge: String,
    word: String,
    icon: String,
    over: bool,
}

/// A step that began or ended.
#[derive(Serialize)]
pub(super) struct StepPart {
    number: u32,
    name: String,
    word: String,
    over: bool,
    failed: bool,
    lines: u64,
    summary: String,
    item: String,
    href: String,
}

impl HeadPart {
    pub fn of(facts: &Facts) -> Result<Self, Problem> {
        let job: serde_json::Value = serde_json::from_str(&facts.job).map_err(Problem::internal)?;
        let reason = job["reason"]["kind"].as_str();
        let state = State::of_job(job["status"].as_str().unwrap_or_default(), reason);
        let (word, icon) = (state.word.clone(), format!("{}/{}", assets::base(), state.icon()));
        let badge = Badge { state, assets: assets::base() }.render().map_err(Problem::internal)?;
        Ok(Self { badge, word, icon, over: facts.is_final })
    }
}

impl StepPart {
    pub fn of(step: &model::Step, clock: &Clock, (over, lines): (bool, u64)) -> Result<Self, Problem> {
        // How long a running step took so far is out of date before it is read.
        let took =
            if over { step.duration_ms.or(clock.between(Some(step.started_ms), step.finished_ms)) } else { None };
        let step = Step { lines, ..Step::without_lines(step.clone(), took, over) };
        let (section, assets) = (Section::new(&View::default(), &step, None), assets::base());
        Ok(Self {
            number: step.number,
            name: step.name.clone(),
            word: section.state.word.clone(),
            over: step.over,
            failed: step.failed,
            lines,
            summary: Summary { section: &section, assets }.render().map_err(Problem::internal)?,
            item: Item { section: &section, assets }.render().map_err(Problem::internal)?,
            href: section.alone,
        })
    }
}
