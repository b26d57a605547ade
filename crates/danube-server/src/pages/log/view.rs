//! What an address of a log asks to see. Every state of the page is an address, and makes the links to the others.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::logview::{Case, Needle};
use crate::pages::link::segment;
use crate::problem::Problem;

/// Lines of a block. Blocks begin at multiples.
pub(super) const BLOCK: u64 = 200;
/// Blocks on a page.
const BLOCKS: u64 = 3;
const MOST_BLOCKS: u64 = 25;

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub attempt: Option<u32>,
    step: Option<u32>,
    l: Option<String>,
    at: Option<String>,
    q: Option<String>,
    re: Option<String>,
    hit: Option<String>,
    t: Option<String>,
    wrap: Option<String>,
    fold: Option<String>,
    n: Option<u64>,
}

/// What to show.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub attempt: Option<u32>,
    pub step: Option<u32>,
    /// Lines that the address names.
    pub chosen: Option<Place>,
    /// Where the page begins.
    pub at: Option<Place>,
    pub search: Option<Search>,
    /// From 1.
    pub hit: usize,
    pub time: Time,
    pub wrap: bool,
    /// Steps that were opened.
    pub opened: BTreeSet<u32>,
    pub blocks: u64,
}

/// Lines of a step, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub step: u32,
    pub lines: RangeInclusive<u64>,
}

/// What is searched for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub text: String,
    pub is_expression: bool,
    pub needle: Needle,
}

/// What stands beside the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Time {
    Off,
    Clock,
    #[default]
    Start,
    Step,
    Delta,
}

impl Time {
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Off, "off", "no times"),
        (Self::Clock, "clock", "time of day"),
        (Self::Start, "start", "since the start"),
        (Self::Step, "step", "since the step"),
        (Self::Delta, "delta", "since the line before"),
    ];

    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::default()) };
        let found = Self::ALL.iter().find(|(_, name, _)| *name == text).map(|(time, ..)| *time);
        found.ok_or_else(|| Problem::bad_request("The times `t` are off, clock, start, step or delta."))
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(time, ..)| *time == self).map_or("", |(_, name, _)| name)
    }
}

impl Place {
    /// `4:812` or `4:812-820`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let read = || {
            let (step, lines) = text.split_once(':')?;
            let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            let range = if first <= last { first..=last } else { last..=first };
            (*range.start() > 0).then(|| Some(Self { step: step.parse().ok()?, lines: range }))?
        };
        read().ok_or_else(|| Problem::bad_request("Lines are named by step and number, such as 4:812 or 4:812-820."))
    }

    /// For people.
    pub fn words(&self) -> String {
        match (self.lines.start(), self.lines.end()) {
            (first, last) if first == last => format!("Line {first} of step {}", self.step),
            (first, last) => format!("Lines {first} to {last} of step {}", self.step),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.step, self.lines.start())?;
        if self.lines.start() < self.lines.end() { write!(out, "-{}", self.lines.end()) } else { Ok(()) }
    }
}

impl Search {
    /// None for an empty text.
    pub fn parse(text: Option<&str>, expression: Option<&str>) -> Result<Option<Self>, Problem> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let is_expression = expression.is_some_and(|value| value == "1");
        let needle = if is_expression { Needle::expression(text) } else { Needle::text(text, Case::Smart) };
        Ok(Some(Self { text: text.to_owned(), is_expression, needle: needle.map_err(Problem::bad_request)? }))
    }
}

impl View {
    /// Reads a query. Empty fields of a form are as if they were not there.
    pub fn new(asked: &Asked) -> Result<Self, Problem> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let place = |text: &Option<String>| given(text).map(|text| Place::parse(&text)).transpose();
        Ok(Self {
            attempt: asked.attempt,
            step: asked.step,
            chosen: place(&asked.l)?,
            at: place(&asked.at)?,
            search: Search::parse(asked.q.as_deref(), asked.re.as_deref())?,
            hit: given(&asked.hit).and_then(|hit| hit.parse().ok()).unwrap_or(1).max(1),
            time: Time::parse(asked.t.as_deref())?,
            wrap: asked.wrap.as_deref() == Some("1"),
            opened: given(&asked.fold).map(|list| list.split(',').flat_map(str::parse).collect()).unwrap_or_default(),
            blocks: asked.n.map_or(BLOCKS, |lines| lines.div_ceil(BLOCK)).clamp(1, MOST_BLOCKS),
        })
    }

    /// A query with the same looks and another place.
    pub fn query(&self, place: &str) -> String {
        let mut parts = Vec::new();
        if let Some(attempt) = self.attempt {
            parts.push(format!("attempt={attempt}"));
        }
        if let Some(search) = &self.search {
            parts.push(format!("q={}", segment(&search.text)));
            parts.extend(search.is_expression.then(|| "re=1".to_owned()));
        }
        if self.time != Time::default() {
            parts.push(format!("t={}", self.time.name()));
        }
        parts.extend(self.wrap.then(|| "wrap=1".to_owned()));
        parts.extend((self.blocks != BLOCKS).then(|| format!("n={}", self.blocks * BLOCK)));
        parts.extend(Some(place.to_owned()).filter(|place| !place.is_empty()));
        format!("?{}", parts.join("&"))
    }

    /// The query that opens one more step.
    pub fn query_to_open(&self, step: u32) -> String {
        let opened: Vec<String> = self.opened.iter().chain([&step]).map(u32::to_string).collect();
        self.query(&format!("step={step}&fold={}", opened.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(query: &str) -> Result<View, Problem> {
        View::new(&serde_urlencoded::from_str(query).unwrap())
    }

    #[test]
    fn lines_are_named_by_step_and_number() {
        let place = |text: &str| Place::parse(text).ok().map(|place| (place.step, place.lines));
        assert_eq!(place("4:812"), Some((4, 812..=812)));
        assert_eq!(place("4:820-812"), Some((4, 812..=820)));
        let said = |text: &str| Place::parse(text).map(|place| (place.to_string(), place.words())).unwrap();
        assert_eq!(said("4:7-7"), ("4:7".into(), "Line 7 of step 4".into()));
        assert_eq!(said("4:820-812"), ("4:812-820".into(), "Lines 812 to 820 of step 4".into()));
        for wrong in ["", "4", "4:", ":1", "4:0", "a:1", "4:1-", "4:-1", "4:1-2-3"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_view_is_an_address_again() {
        let view = view("q=a%26b&re=1&t=delta&wrap=1&n=1000&attempt=2&fold=3,5&hit=x&l=").unwrap();
        assert_eq!(view.query("l=4:1"), "?attempt=2&q=a%26b&re=1&t=delta&wrap=1&n=1000&l=4:1");
        assert!(view.query_to_open(4).ends_with("&step=4&fold=3,5,4"));
        assert_eq!((view.hit, view.chosen), (1, None));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for wrong in ["l=x", "t=now", "q=a(&re=1"] {
            assert!(view(wrong).is_err(), "{wrong}");
        }
        assert_eq!(view("n=99999999").unwrap().blocks, MOST_BLOCKS);
        assert!(view("q=a(").is_ok());
    }
}
