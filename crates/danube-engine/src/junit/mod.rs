//! Reports of tests in JUnit's XML, which has as many dialects as writers: pytest, Maven's Surefire, go-junit-report, Jest,
//! cargo-nextest, googletest and others. One case comes after the other; what a file says about its own totals does not
//! count.

mod xml;

use std::io::BufRead;

use danube_core::report::CaseStatus;

pub use xml::XmlError;
use xml::{Element, Token, Xml};

/// Bytes of the name of a suite, a class or a test.
const LONGEST_NAME: usize = 1024;
/// Bytes of a message.
const LONGEST_MESSAGE: usize = 4 * 1024;
/// Bytes of the details of one case.
const LONGEST_DETAILS: usize = 64 * 1024;
/// Suites within each other that are named.
const DEEPEST_NAMED: usize = 8;
/// The longest time that a test can have taken: a year, in seconds.
const LONGEST_TIME: f64 = 31_536_000.0;

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The names of its suites, outermost first, with ` › ` between them.
    pub suite: Short,
    /// Its class, or what stands for one.
    pub class: Short,
    /// Its own name.
    pub name: Short,
    /// How it ended.
    pub status: CaseStatus,
    /// How long it took.
    pub duration_us: Option<u64>,
    /// Why it failed or was left out, in short.
    pub message: Option<Short>,
    /// The rest that there is to read about a test that did not simply pass: its failures, then its output.
    pub details: Option<Short>,
}

/// A text that is no longer than it may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Short {
    /// What is kept of it.
    pub text: String,
    /// There was more.
    pub cut: bool,
}

impl Short {
    /// Adds what fits.
    fn push(&mut self, more: &str, most: usize) {
        if self.cut {
            // Nothing may follow what was left out.
            return;
        }
        let mut end = more.len().min(most.saturating_sub(self.text.len()));
        while !more.is_char_boundary(end) {
            end -= 1;
        }
        self.cut = end < more.len();
        self.text.push_str(&more[..end]);
    }

    fn of(text: &str, most: usize) -> Self {
        let mut short = Self::default();
        short.push(text.trim(), most);
        short
    }

    fn some(self) -> Option<Self> {
        (!self.text.is_empty()).then_some(self)
    }
}

/// The cases of one file.
pub struct Junit<R> {
    xml: Xml<R>,
    /// A name for each open element that is no case: of a suite its own, of others none.
    suites: Vec<Option<String>>,
}

impl<R: BufRead> Junit<R> {
    /// Looks whether this is such a report at all.
    pub fn new(input: R) -> Result<Self, XmlError> {
        let mut xml = Xml::new(input)?;
        match xml.next()? {
            Token::Begin(element) if element.name == "testsuites" => Ok(Self { xml, suites: vec![None] }),
            Token::Begin(element) if element.name == "testsuite" => {
                Ok(Self { xml, suites: vec![element.attribute("name").map(str::to_owned)] })
            }
            Token::Begin(element) => {
                let name = element.name;
                Err(xml.wrong(format!("<{name}> is no report of tests in JUnit's form: that begins with <testsuites>")))
            }
            _ => Err(xml.wrong("there is no XML element in it")),
        }
    }

    /// The next case; none at the end of the file.
    pub fn next(&mut self) -> Result<Option<Case>, XmlError> {
        loop {
            match self.xml.next()? {
                Token::Begin(element) if element.name == "testcase" => return self.case(&element).map(Some),
                Token::Begin(element) => {
                    let suite = element.attribute("name").filter(|_| element.name == "testsuite");
                    self.suites.push(suite.map(str::to_owned));
                }
                Token::End => drop(self.suites.pop()),
                Token::Text(_) => {}
                Token::Eof => return Ok(None),
            }
        }
    }

    /// Reads a case up to its end.
    fn case(&mut self, element: &Element) -> Result<Case, XmlError> {
        let mut found = Found::default();
        let mut places = vec![Place::Nowhere];
        while let Some(place) = places.last().copied() {
            match self.xml.next()? {
                Token::Begin(part) => places.push(found.begin(&part, place)),
                Token::Text(text) => found.text(place, &text),
                Token::End => {
                    places.pop();
                    found.say_rest();
                }
                Token::Eof => break,
            }
        }
        let suites = self.suites.iter().flatten().map(|name| name.trim());
        let named: Vec<&str> = suites.filter(|name| !name.is_empty()).take(DEEPEST_NAMED).collect();
        let class = element.attribute("classname").or_else(|| element.attribute("class")).unwrap_or_default();
        let name = element.attribute("name").filter(|name| !name.trim().is_empty()).unwrap_or("unnamed");
        let (status, message, details) = found.end(was_left_out(element));
        Ok(Case {
            suite: Short::of(&named.join(" › "), LONGEST_NAME),
            class: Short::of(class, LONGEST_NAME),
            name: Short::of(name, LONGEST_NAME),
            status,
            duration_us: element.attribute("time").and_then(microseconds),
            message,
            details,
        })
    }
}

/// Writers that have no element for it say so in attributes: googletest, CTest.
fn was_left_out(element: &Element) -> bool {
    matches!(element.attribute("status"), Some("notrun" | "disabled" | "skipped"))
        || matches!(element.attribute("result"), Some("suppressed" | "skipped"))
}

/// Seconds, as `0.25`, `1,234.5` or `0,25`.
fn microseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = if text.contains('.') { text.replace(',', "") } else { text.replacen(',', ".", 1) };
    let seconds: f64 = number.parse().ok()?;
    let sane = seconds.is_finite() && (0.0..=LONGEST_TIME).contains(&seconds);
    // Neither negative nor large.
    sane.then(|| (seconds * 1e6).round() as u64)
}

/// Where a text within a case belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Failure,
    Reason,
    Output,
}

/// What was found in a case so far.
#[derive(Default)]
struct Found {
    failed: bool,
    error: bool,
    skipped: bool,
    flaky: bool,
    message: Option<Short>,
    /// Words of a further failure, which its text mostly repeats.
    unsaid: Option<String>,
    failures: Short,
    output: Short,
}

impl Found {
    /// An element within the case, or within one of those.
    fn begin(&mut self, part: &Element, around: Place) -> Place {
        let (found, place) = match part.name.as_str() {
            "system-out" | "system-err" => return Place::Output,
            "failure" | "rerunFailure" => (&mut self.failed, Place::Failure),
            "error" | "rerunError" => (&mut self.error, Place::Failure),
            "flakyFailure" | "flakyError" => (&mut self.flaky, Place::Failure),
            "skipped" => (&mut self.skipped, Place::Reason),
            // Such as <stackTrace> within <rerunFailure>.
            _ => return around,
        };
        *found = true;
        self.say(part);
        place
    }

    /// The words of its attributes.
    fn say(&mut self, part: &Element) {
        let words =
            part.attribute("message").filter(|words| !words.trim().is_empty()).or_else(|| part.attribute("type"));
        let Some(words) = words.and_then(|words| Short::of(words, LONGEST_MESSAGE).some()) else { return };
        if self.message.is_none() {
            self.message = Some(words);
        } else {
            self.failures.push("\n\n", LONGEST_DETAILS);
            self.unsaid = part.attribute("message").map(str::to_owned);
        }
    }

    /// The words of a further failure that has no text.
    fn say_rest(&mut self) {
        if let Some(words) = self.unsaid.take() {
            self.failures.push(&words, LONGEST_DETAILS);
        }
    }

    fn text(&mut self, place: Place, text: &str) {
        if !text.trim().is_empty() {
            self.unsaid = None;
        }
        match place {
            Place::Nowhere => {}
            Place::Failure | Place::Reason => self.failures.push(text, LONGEST_DETAILS),
            Place::Output => self.output.push(text, LONGEST_DETAILS),
        }
    }

    /// How the case ended, with its message and its details.
    fn end(self, left_out: bool) -> (CaseStatus, Option<Short>, Option<Short>) {
        let status = match () {
            () if self.failed => CaseStatus::Failed,
            () if self.error => CaseStatus::Error,
            () if self.skipped => CaseStatus::Skipped,
            () if self.flaky => CaseStatus::Flaky,
            () if left_out => CaseStatus::Skipped,
            () => CaseStatus::Passed,
        };
        if status == CaseStatus::Passed {
            return (status, None, None);
        }
        let message = self.message.or_else(|| first_line(&self.failures));
        let (mut details, output) = (trimmed(self.failures), trimmed(self.output));
        if status != CaseStatus::Skipped && !output.text.is_empty() {
            let heading = if details.text.is_empty() { "" } else { "\n\n--- output ---\n" };
            details.push(heading, LONGEST_DETAILS);
            details.push(&output.text, LONGEST_DETAILS);
            details.cut |= output.cut;
        }
        (status, message, details.some())
    }
}

/// Stands for a message where a writer has none: Jest.
fn first_line(text: &Short) -> Option<Short> {
    let line = text.text.lines().find(|line| !line.trim().is_empty())?;
    Short::of(line, LONGEST_MESSAGE).some()
}

/// Without blank lines around it; the first line's indentation stays.
fn trimmed(text: Short) -> Short {
    let kept = text.text.trim_end();
    let from = kept.len() - kept.trim_start().len();
    let from = kept[..from].rfind('\n').map_or(0, |at| at + 1);
    Short { text: kept[from..].to_owned(), cut: text.cut }
}

#[cfg(test)]
mod tests;
