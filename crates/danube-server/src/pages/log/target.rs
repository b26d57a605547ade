//! Which part of a log stands on the page.

use super::find::Hits;
use super::steps::{Step, Steps};
use super::view::{BLOCK, Place, View};

/// The line that the page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub step: u32,
    /// From 1.
    pub line: u64,
    pub at: At,
}

/// Where on the page that line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Within the page, with lines before it.
    Middle,
    Top,
    Bottom,
}

impl At {
    pub fn name(self) -> &'static str {
        match self {
            Self::Middle => "middle",
            Self::Top => "top",
            Self::Bottom => "bottom",
        }
    }
}

/// A line that tells of a failure: step and line, from 1.
pub(super) type Mark = (u32, u64);

impl Target {
    /// What the address says, else the first failure, else the end of what runs, else the beginning.
    pub fn of(view: &View, steps: &Steps, hits: Option<&Hits>, marks: &[Mark]) -> Option<Self> {
        let place = |place: &Place, at| Self { step: place.step, line: *place.lines.start(), at };
        let chosen = view.at.as_ref().map(|found| place(found, At::Top));
        let chosen = chosen.or_else(|| view.chosen.as_ref().map(|found| place(found, At::Middle)));
        let hit = || hits?.lines.get(view.hit - 1).map(|&(step, line)| Self { step, line, at: At::Middle });
        chosen.or_else(hit).or_else(|| Self::of_steps(view, steps, marks))
    }

    fn of_steps(view: &View, steps: &Steps, marks: &[Mark]) -> Option<Self> {
        let end = |step: &Step| Self { step: step.number, line: step.lines.max(1), at: At::Bottom };
        let start = |step: &Step| Self { step: step.number, line: 1, at: At::Top };
        if let Some(step) = view.step.and_then(|number| steps.get(number)) {
            return Some(if step.over { start(step) } else { end(step) });
        }
        // The danubefile's own output, step 0, says that a step failed; that step says why.
        let failed = || steps.all.iter().filter(|step| step.failed);
        if let Some(failed) = failed().find(|step| step.number > 0).or_else(|| failed().next()) {
            let mark = marks.iter().find(|(step, _)| *step == failed.number);
            let marked = mark.map(|&(step, line)| Self { step, line, at: At::Middle });
            return Some(marked.unwrap_or_else(|| end(failed)));
        }
        let running = steps.all.iter().rev().find(|step| !step.over && step.lines > 0);
        running.map(end).or_else(|| steps.all.iter().find(|step| step.lines > 0).map(start))
    }

    /// The blocks that are shown of its step, which has so many lines: the first, and how many.
    pub fn blocks(self, lines: u64, most: u64) -> (u64, u64) {
        let (all, block) = (lines.div_ceil(BLOCK), (self.line - 1) / BLOCK);
        let first = match self.at {
            At::Top => block,
            At::Middle => block.saturating_sub(1).min(all.saturating_sub(most)),
            At::Bottom => all.saturating_sub(most),
        };
        (first, most.min(all.saturating_sub(first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_on_the_page_with_lines_around_it() {
        let target = |line, at| Target { step: 1, line, at };
        assert_eq!(target(1, At::Top).blocks(100, 3), (0, 1));
        assert_eq!(target(500_000, At::Middle).blocks(1_000_000, 3), (2498, 3));
        assert_eq!(target(1_000_000, At::Middle).blocks(1_000_000, 3), (4997, 3));
        assert_eq!(target(1_000_000, At::Bottom).blocks(1_000_000, 3), (4997, 3));
        assert_eq!(target(401, At::Top).blocks(1_000, 3), (2, 3));
        assert_eq!(target(9_999, At::Top).blocks(1_000, 3), (49, 0), "there is no such line");
        assert_eq!(target(1, At::Bottom).blocks(0, 3), (0, 0));
    }
}
