//! What a canary's attempts prove. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One attempt of a canary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Its number.
    pub id: usize,
    /// `tcp`, `tls` or `dns`.
    pub how: &'static str,
    /// What it is given.
    pub to: Vec<serde_json::Value>,
    /// In words: what it tries.
    #[serde(skip)]
    pub what: String,
    /// Whether it is to come about.
    #[serde(skip)]
    pub allowed: bool,
    /// Whether it would come about if nothing forbade it, as far as is known.
    #[serde(skip)]
    pub is_there: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    /// Whose.
    pub id: usize,
    /// Whether the connection came about.
    pub open: bool,
    /// What the canary's system said otherwise.
    pub said: String,
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What is allowed works, and nothing else does, though it is there.
    Enforced,
    /// Something that is not allowed came about.
    NotEnforced,
    /// Nothing that is not allowed came about, and something that is allowed does not either.
    Closed,
    /// Nothing came about; but it is not known that anything would have.
    Unproven,
}

impl Verdict {
    /// Whether jobs are held to their list.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Enforced)
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Enforced => "enforced: what is allowed works, and nothing else does",
            Self::NotEnforced => "not enforced: a job can reach what it may not",
            Self::Closed => "closed: nothing that is forbidden works, and not all that is allowed does",
            Self::Unproven => "unproven: nothing that is forbidden works, but nothing shows that it would otherwise",
        }
    }
}

/// Weighs what came of the attempts. One that the canary says nothing of has not been tried.
#[must_use]
pub fn judge(tried: &[Attempt], outcomes: &[Outcome]) -> Verdict {
    let open: BTreeMap<usize, bool> = outcomes.iter().map(|outcome| (outcome.id, outcome.open)).collect();
    let is_open = |attempt: &&Attempt| open.get(&attempt.id).copied();
    let (allowed, forbidden): (Vec<&Attempt>, Vec<&Attempt>) = tried.iter().partition(|attempt| attempt.allowed);
    if forbidden.iter().any(|attempt| is_open(attempt) == Some(true)) {
        return Verdict::NotEnforced;
    }
    // A door that is known to be there, and was found shut.
    if !forbidden.iter().any(|attempt| attempt.is_there && is_open(attempt) == Some(false)) {
        return Verdict::Unproven;
    }
    if allowed.iter().all(|attempt| is_open(attempt) == Some(true)) { Verdict::Enforced } else { Verdict::Closed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: usize, allowed: bool, is_there: bool) -> Attempt {
        Attempt { id, how: "tcp", to: Vec::new(), what: String::new(), allowed, is_there }
    }

    fn outcome(id: usize, open: bool) -> Outcome {
        Outcome { id, open, said: String::new() }
    }

    #[test]
    fn only_a_shut_door_that_is_there_proves_anything() {
        let tried = [attempt(0, true, true), attempt(1, false, true), attempt(2, false, false)];
        let judged = |open: [bool; 3]| {
            judge(&tried, &open.iter().enumerate().map(|(id, open)| outcome(id, *open)).collect::<Vec<_>>())
        };
        assert_eq!(judged([true, false, false]), Verdict::Enforced);
        assert_eq!(judged([false, false, false]), Verdict::Closed);
        assert_eq!(judged([true, true, false]), Verdict::NotEnforced);
        assert_eq!(judged([true, false, true]), Verdict::NotEnforced, "also what was not known to be there");
        assert_eq!(
            judge(&tried, &[outcome(0, true), outcome(2, false)]),
            Verdict::Unproven,
            "the door that is there was not tried"
        );
        assert_eq!(judge(&tried, &[]), Verdict::Unproven);
        let forbidden_only = [attempt(1, false, true)];
        assert_eq!(judge(&forbidden_only, &[outcome(1, false)]), Verdict::Enforced, "an empty list allows nothing");
    }
}
