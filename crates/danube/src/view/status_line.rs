//! The last line of a terminal that somebody watches: what is under way for more than a second. It is taken away before
//! anything else is printed, so nothing of it stays.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::words::{duration, shortened};

/// What is over sooner is not worth a line.
const WORTH: Duration = Duration::from_secs(1);

/// What is under way.
#[derive(Default)]
pub struct StatusLine {
    steps: BTreeMap<u32, (String, Instant)>,
    waits: BTreeMap<String, Wait>,
}

/// Something that is waited for before steps can start.
struct Wait {
    message: String,
    since: Instant,
    told: bool,
}

impl StatusLine {
    /// A step began.
    pub fn step_started(&mut self, number: u32, name: &str) {
        self.steps.insert(number, (name.to_owned(), Instant::now()));
    }

    /// A step ended.
    pub fn step_ended(&mut self, number: u32) {
        self.steps.remove(&number);
    }

    /// A container is waited for.
    pub fn waits(&mut self, container: &str, message: &str) {
        let (since, told) = self.waits.get(container).map_or((Instant::now(), false), |wait| (wait.since, wait.told));
        self.waits.insert(container.to_owned(), Wait { message: message.to_owned(), since, told });
    }

    /// A container is there, or gone.
    pub fn waits_no_more(&mut self, container: &str) {
        self.waits.remove(container);
    }

    /// What is to be shown now, in at most so many characters.
    pub fn text(&self, now: Instant, columns: usize) -> Option<String> {
        let long = |since: &Instant| Some(now.saturating_duration_since(*since)).filter(|took| *took >= WORTH);
        let steps =
            self.steps.iter().filter_map(|(number, (name, since))| Some((format!("{number} {name}"), long(since)?)));
        let waits = self.waits.values().filter_map(|wait| Some((wait.message.clone(), long(&wait.since)?)));
        let parts: Vec<String> = waits.chain(steps).map(|(what, took)| format!("{what} {}", seconds(took))).collect();
        if parts.is_empty() { None } else { Some(shortened(&format!("… {}", parts.join(", ")), columns)) }
    }

    /// What takes long and was not told yet, for an output that keeps its lines.
    pub fn untold(&mut self, now: Instant) -> Vec<String> {
        let untold = self.waits.iter_mut().filter(|(_, wait)| !wait.told && now - wait.since >= WORTH);
        untold
            .map(|(container, wait)| {
                wait.told = true;
                format!("{container}: {}", wait.message)
            })
            .collect()
    }
}

/// Whole seconds: tenths would only flicker.
fn seconds(took: Duration) -> String {
    if took.as_secs() < 60 { format!("{} s", took.as_secs()) } else { duration(took.as_secs() * 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_shown_and_only_while_it_does() {
        let mut line = StatusLine::default();
        line.step_started(2, "lint");
        line.step_started(3, "unit tests");
        line.waits("worker-1", "unpacking the image: 3 %");
        let start = Instant::now();
        assert_eq!(line.text(start, 80), None);
        let later = start + Duration::from_secs(75);
        assert_eq!(
            line.text(later, 100).as_deref(),
            Some("… unpacking the image: 3 % 1 min 15 s, 2 lint 1 min 15 s, 3 unit tests 1 min 15 s")
        );
        assert_eq!(line.text(later, 20).as_deref(), Some("… unpacking the ima…"));
        assert_eq!(line.untold(later), ["worker-1: unpacking the image: 3 %"]);
        line.waits("worker-1", "unpacking the image: 9 %");
        assert!(line.untold(later).is_empty(), "it is told once");
        line.waits_no_more("worker-1");
        line.step_ended(2);
        line.step_ended(3);
        assert_eq!(line.text(later, 80), None);
    }
}
