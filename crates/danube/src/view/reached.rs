//! What a job tried to reach, as far as the end can list it: a hostile step tries more names than anybody would read, and
//! this process must not grow with them.

use std::collections::HashSet;

use danube_core::egress::{EgressEvent, EgressPolicy, EgressRule, EgressVerdict, allow_list, allow_list_file};

/// Names, with port and decision, that are kept. A job that reaches more is not listed by hand any more.
const MOST: usize = 1000;

/// The distinct attempts of a job, and how many more there were.
#[derive(Default)]
pub struct Reached {
    /// The first of each kind, in order.
    events: Vec<EgressEvent>,
    kept: HashSet<(String, Option<u16>, EgressVerdict)>,
    more: u64,
}

impl Reached {
    /// Notes an attempt.
    pub fn note(&mut self, event: EgressEvent) {
        let key = (event.name.clone(), event.port, event.verdict);
        if self.kept.contains(&key) {
            return;
        }
        if self.kept.len() == MOST {
            self.more += 1;
            return;
        }
        self.kept.insert(key);
        self.events.push(event);
    }

    /// Attempts that are not in the lists. One that came again was counted again.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// The rules that allow what was reached.
    pub fn allow_list(&self, policy: &EgressPolicy) -> Vec<EgressRule> {
        allow_list(&self.events, policy)
    }

    /// The same as lines of a file, with comments. Empty when nothing was tried.
    pub fn lines(&self, policy: &EgressPolicy) -> Vec<String> {
        let mut lines: Vec<String> = allow_list_file(&self.events, policy).lines().map(str::to_owned).collect();
        if self.more > 0 {
            lines.push(format!("# and {} more, not listed: write a rule such as *.example.com", self.more));
        }
        lines
    }

    /// Whether nothing was tried.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use danube_core::egress::EgressMode;

    use super::*;

    fn event(name: String, port: Option<u16>) -> EgressEvent {
        EgressEvent { at_ms: 0, name, port, verdict: EgressVerdict::Allowed }
    }

    fn recording() -> EgressPolicy {
        EgressPolicy { mode: EgressMode::Record, rules: Vec::new() }
    }

    #[test]
    fn what_comes_again_is_kept_once() {
        let mut reached = Reached::default();
        for _ in 0..100_000 {
            reached.note(event("pip.example".to_owned(), None));
            reached.note(event("pip.example".to_owned(), Some(443)));
        }
        assert_eq!((reached.events.len(), reached.more()), (2, 0));
        assert_eq!(reached.lines(&recording()), ["pip.example"]);
    }

    #[test]
    fn of_a_flood_of_names_the_first_are_listed_and_the_rest_counted() {
        let mut reached = Reached::default();
        for n in 0..100_000 {
            reached.note(event(format!("n{n}.example"), Some(443)));
        }
        assert_eq!((reached.events.len(), reached.kept.len(), reached.more()), (MOST, MOST, 99_000));
        let lines = reached.lines(&recording());
        assert_eq!((lines.len(), lines[0].as_str()), (MOST + 1, "n0.example"));
        assert!(lines[MOST].starts_with("# and 99000 more"), "{}", lines[MOST]);
        assert_eq!(reached.allow_list(&recording()).len(), MOST);
    }
}
