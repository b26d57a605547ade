//! What a reader has been told, as text that it gives back to go on. It does not grow with the job: steps that were told
//! to their end are counted only.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use danube_core::id::JobId;
use sha2::{Digest, Sha256};

/// Characters of a cursor that is read.
const LONGEST: usize = 48 * 1024;

/// What a reader has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub job: JobId,
    /// Steps and artifacts are this attempt's; 0 before there is one.
    pub attempt: u32,
    /// The hash of the job as it was told last; 0 before.
    pub state: u64,
    /// Steps from this number on were not told of.
    pub next: u32,
    /// Of the steps below, those that are not told to their end.
    pub open: BTreeMap<u32, Told>,
    pub artifacts: Artifacts,
    /// The end was told.
    pub ended: bool,
}

/// What was told of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing: it came after one with a higher number.
    Nothing,
    /// That it began, and its output up to here.
    Output(u64),
}

/// Which artifacts were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Artifacts {
    pub count: usize,
    /// Over their names in the order in which they were told.
    pub names: u64,
}

/// A text that is no cursor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoCursor;

impl Cursor {
    /// The beginning.
    pub(crate) fn new(job: JobId) -> Self {
        Self {
            job,
            attempt: 0,
            state: 0,
            next: 0,
            open: BTreeMap::new(),
            artifacts: Artifacts::default(),
            ended: false,
        }
    }

    /// Goes to the beginning of another attempt.
    pub(crate) fn go_to(&mut self, attempt: u32) {
        *self = Self { attempt, state: self.state, ..Self::new(self.job.clone()) };
    }

    /// A step begins. Those before it that are not there yet may still come.
    pub(crate) fn begin(&mut self, step: u32) {
        for missing in self.next..step {
            self.open.insert(missing, Told::Nothing);
        }
        self.next = self.next.max(step.saturating_add(1));
        self.open.insert(step, Told::Output(0));
    }
}

impl Artifacts {
    /// One more was told.
    pub(crate) fn add(&mut self, name: &str) {
        let mut hash = Sha256::new();
        hash.update(self.names.to_be_bytes());
        hash.update(name);
        *self = Self { count: self.count + 1, names: first_bytes(&hash.finalize()) };
    }
}

/// A short hash, to tell whether something changed.
pub(crate) fn short_hash(bytes: &[u8]) -> u64 {
    first_bytes(&Sha256::digest(bytes))
}

fn first_bytes(hash: &[u8]) -> u64 {
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// `JOB.ATTEMPT.STATE.NEXT.OPEN.COUNT-NAMES.ENDED`, where `OPEN` is `NUMBER-OFFSET` or `NUMBER-`, with `_` between.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:x}.{}.", self.job, self.attempt, self.state, self.next)?;
        for (at, (step, told)) in self.open.iter().enumerate() {
            let between = if at == 0 { "" } else { "_" };
            match told {
                Told::Nothing => write!(f, "{between}{step}-")?,
                Told::Output(offset) => write!(f, "{between}{step}-{offset}")?,
            }
        }
        write!(f, ".{}-{:x}.{}", self.artifacts.count, self.artifacts.names, u8::from(self.ended))
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        if text.len() > LONGEST {
            return Err(NoCursor);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [job, attempt, state, next, open, artifacts, ended] = parts[..] else { return Err(NoCursor) };
        let cursor = Self {
            job: job.parse().map_err(|_| NoCursor)?,
            attempt: number(attempt)?,
            state: u64::from_str_radix(state, 16).map_err(|_| NoCursor)?,
            next: number(next)?,
            open: read_open(open)?,
            artifacts: read_artifacts(artifacts)?,
            ended: ended == "1",
        };
        // Only what we write ourselves is read: one text for each cursor.
        if cursor.is_sound() && cursor.to_string() == text { Ok(cursor) } else { Err(NoCursor) }
    }
}

impl Cursor {
    fn is_sound(&self) -> bool {
        self.open.last_key_value().is_none_or(|(step, _)| *step < self.next)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, NoCursor> {
    text.parse().map_err(|_| NoCursor)
}

fn read_open(text: &str) -> Result<BTreeMap<u32, Told>, NoCursor> {
    let steps = text.split('_').filter(|step| !step.is_empty());
    steps
        .map(|step| {
            let (step, offset) = step.split_once('-').ok_or(NoCursor)?;
            let told = if offset.is_empty() { Told::Nothing } else { Told::Output(number(offset)?) };
            Ok((number(step)?, told))
        })
        .collect()
}

fn read_artifacts(text: &str) -> Result<Artifacts, NoCursor> {
    let (count, names) = text.split_once('-').ok_or(NoCursor)?;
    Ok(Artifacts { count: number(count)?, names: u64::from_str_radix(names, 16).map_err(|_| NoCursor)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        let mut cursor = Cursor::new("job-1".parse().unwrap());
        cursor.go_to(2);
        cursor.state = 0xfeed;
        cursor.begin(0);
        cursor.begin(3);
        cursor.open.insert(0, Told::Output(u64::MAX));
        cursor.artifacts.add("dist/a");
        cursor
    }

    #[test]
    fn a_cursor_survives_its_text() {
        for cursor in [Cursor::new("j".parse().unwrap()), cursor(), Cursor { ended: true, ..cursor() }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        assert!(cursor().to_string().starts_with("job-1.2.feed.4.0-18446744073709551615_1-_2-_3-0.1-"));
    }

    #[test]
    fn what_we_never_wrote_is_no_cursor() {
        let long = format!("{}0", "job-1.2.feed.4.".to_owned() + &"0-".repeat(30_000));
        let bad = [
            "",
            "job-1",
            "J.0.0.0..0-0.0",
            "j.0.0.0..0-0.2",
            "j.0.0.0.0-1.0-0.0",
            "j.-1.0.0..0-0.0",
            "j.0.0.0..0-0",
            "j.0.0.2.1-_0-.0-0.0",
            "j.0.0.2.1-_1-5.0-0.0",
            "j.00.0.0..0-0.0",
            "j.0.0.0..0-0.0.0",
            &long,
            "j.0.0.99999999999..0-0.0",
            "j.0.0.0.._0-0.0",
            "j.0.0.1.0-99999999999999999999999.0-0.0",
        ];
        for text in bad {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
    }
}
