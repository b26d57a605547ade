//! The whole log on the height of the screen: where steps begin, where something failed, where a search found something.

use super::find::Hits;
use super::steps::Steps;
use super::target::Mark;
use super::view::View;

/// Parts of its height.
const HEIGHT: u64 = 1000;
/// Hits that are drawn.
const HITS: usize = 200;

/// A mark on the ruler.
pub(super) struct Tick {
    /// `e` a failure, `h` a hit, `b` the beginning of a step.
    pub class: &'static str,
    pub y: u64,
    pub href: String,
}

/// The ruler's marks.
pub(super) fn ticks(view: &View, steps: &Steps, hits: Option<&Hits>, marks: &[Mark]) -> Vec<Tick> {
    let all = steps.lines().max(1);
    let before =
        |wanted: u32| -> u64 { steps.all.iter().take_while(|step| step.number != wanted).map(|step| step.lines).sum() };
    let tick = |class, step: u32, line: u64, place: String| {
        let y = (before(step) + line - 1) * HEIGHT / all;
        Tick { class, y: y.min(HEIGHT - 2), href: view.query(&place) }
    };
    let begins = steps.all.iter().filter(|step| step.lines > 0);
    let begins = begins.map(|step| tick("b", step.number, 1, format!("step={}", step.number)));
    let found = hits.map(|hits| hits.lines.as_slice()).unwrap_or_default();
    // Of many, every so manieth: they would lie upon each other.
    let nth = found.len().div_ceil(HITS).max(1);
    let found = found.iter().enumerate().step_by(nth);
    let found = found.map(|(at, &(step, line))| tick("h", step, line, format!("hit={}#L{step}:{line}", at + 1)));
    let failed = marks.iter().map(|&(step, line)| tick("e", step, line, format!("l={step}:{line}#L{step}:{line}")));
    begins.chain(found).chain(failed).collect()
}
