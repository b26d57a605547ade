//! The steps on the page: folds within the folds of their groups, with the lines of those that are open.

use super::find::Hits;
use super::steps::{Step, Steps};
use super::target::{At, Target};
use super::view::{BLOCK, View};
use super::window::Painter;
use crate::answer::blocking;
use crate::context::Ctx;
use crate::pages::Visitor;
use crate::pages::state::State;
use crate::problem::Problem;

/// A log with so few lines is on one page.
const SMALL: u64 = 600;

/// A step on the page.
pub(super) struct Section {
    /// Groups that end before it, and that begin.
    pub leaves: usize,
    pub enters: Vec<String>,
    pub number: u32,
    pub name: String,
    pub state: State,
    pub took: Option<String>,
    pub lines: u64,
    pub over: bool,
    pub is_open: bool,
    /// The page is about it.
    pub is_current: bool,
    pub hits: Option<u64>,
    /// To open it here, and to see it alone.
    pub open: String,
    pub alone: String,
    /// Its blocks.
    pub html: String,
    pub pages: Option<Pages>,
}

/// What of a step is not on the page.
pub(super) struct Pages {
    /// From 1.
    pub first: u64,
    pub last: u64,
    pub to_first: Option<String>,
    pub to_previous: Option<String>,
    pub to_next: Option<String>,
    pub to_last: Option<String>,
}

/// Every step, with the lines of those that are open.
pub(super) async fn all(
    ctx: &Ctx,
    visitor: &Visitor,
    view: &View,
    steps: &Steps,
    (target, hits): (Option<Target>, Option<&Hits>),
) -> Result<Vec<Section>, Problem> {
    let is_small = steps.lines() <= SMALL && view.at.is_none();
    let (mut sections, mut groups): (Vec<Section>, Vec<String>) = (Vec::new(), Vec::new());
    for step in &steps.all {
        let here = target.filter(|target| target.step == step.number);
        let mut section = Section::new(view, step, hits);
        (section.leaves, section.enters) = pass(&mut groups, &step.groups);
        section.is_current = here.is_some();
        section.is_open = is_small || here.is_some() || view.opened.contains(&step.number);
        if section.is_open && step.lines > 0 {
            let begin = Target { step: step.number, line: 1, at: At::Top };
            let most = if is_small { u64::MAX } else { view.blocks };
            let (first, count) = here.unwrap_or(begin).blocks(step.lines, most);
            let how = (view.time, &visitor.clock.zone);
            let painter = Painter::new(ctx.master.logs(), steps.key(step.number), steps.began_ms, step, how);
            let painter = painter.marking(view.search.as_ref(), view.chosen.as_ref());
            section.html = blocking(move || painter.blocks(first, count)).await??;
            section.pages = Pages::new(view, step, first, count);
        }
        sections.push(section);
    }
    Ok(sections)
}

/// How many groups end, and which begin, between two steps.
fn pass(open: &mut Vec<String>, next: &[String]) -> (usize, Vec<String>) {
    let same = open.iter().zip(next).take_while(|(a, b)| a == b).count();
    let leaves = open.drain(same..).count();
    open.extend_from_slice(&next[same..]);
    (leaves, next[same..].to_vec())
}

impl Section {
    pub fn new(view: &View, step: &Step, hits: Option<&Hits>) -> Self {
        Self {
            leaves: 0,
            enters: Vec::new(),
            number: step.number,
            name: step.name.clone(),
            state: step.state.clone(),
            took: step.took.clone(),
            lines: step.lines,
            over: step.over,
            is_open: false,
            is_current: false,
            hits: hits.map(|hits| hits.steps.get(&step.number).copied().unwrap_or(0)),
            open: view.query_to_open(step.number),
            alone: view.query(&format!("step={}#s{}", step.number, step.number)),
            html: String::new(),
            pages: None,
        }
    }

    /// Groups that are open after the last of them.
    pub fn open_groups(sections: &[Self]) -> usize {
        sections.iter().fold(0, |open, section| open + section.enters.len() - section.leaves)
    }
}

impl Pages {
    /// None if all of the step is on the page.
    fn new(view: &View, step: &Step, first: u64, count: u64) -> Option<Self> {
        let all = step.lines.div_ceil(BLOCK);
        if count == all {
            return None;
        }
        let number = step.number;
        let to = |block: u64| view.query(&format!("at={number}:{}#s{number}", block * BLOCK + 1));
        let last = all.saturating_sub(view.blocks);
        Some(Self {
            first: first * BLOCK + 1,
            last: ((first + count) * BLOCK).min(step.lines),
            to_first: (first > 0).then(|| to(0)),
            to_previous: (first > 0).then(|| to(first.saturating_sub(view.blocks))),
            to_next: (first + count < all).then(|| to(first + count)),
            to_last: (first + count < all).then(|| to(last)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_open_and_close_around_their_steps() {
        let (mut open, mut said) = (Vec::new(), Vec::new());
        for path in [&["a"][..], &["a", "b"], &["c"], &[]] {
            let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
            said.push(pass(&mut open, &path));
        }
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(said, [(0, names(&["a"])), (0, names(&["b"])), (2, names(&["c"])), (1, names(&[]))]);
    }
}
