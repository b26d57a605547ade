//! Search in the logs of a job: plain text, whatever its case. The files are read once, a block at a time, and the search
//! ends when nobody waits for it any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use axum::extract::State;
use danube_engine::logs::{LogDir, LogError, LogReader, TextStep};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::chosen_attempt;
use super::logs::{open, steps_of};
use crate::answer::{BLOCK, Json, blocking};
use crate::context::Ctx;
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};

/// Matches, unless the query says otherwise.
const MATCHES: usize = 100;
/// Matches at most.
const MOST_MATCHES: usize = 1000;
/// Bytes of what is looked for.
const LONGEST: usize = 256;
/// Bytes of a line that are shown, before the match and in all.
const BEFORE: u64 = 200;
const SHOWN: u64 = 1000;
/// After this time the matches so far are the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lines that have the text.
#[derive(Serialize, ToSchema)]
pub(crate) struct Matches {
    /// In order, each line once.
    matches: Vec<Match>,
    /// There may be more.
    truncated: bool,
}

/// A line that has the text.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Match {
    step: u32,
    /// From 0.
    line: u64,
    /// The line; of a long one the part around the match.
    text: String,
}

/// What to look for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    q: String,
    limit: Option<usize>,
    attempt: Option<u32>,
}

pub(crate) async fn search(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    InQuery(query): InQuery<Query>,
) -> Result<Json<Matches>, Problem> {
    let limit = query.limit.unwrap_or(MATCHES);
    let fits = (1..=LONGEST).contains(&query.q.len()) && !query.q.contains('\n');
    if !fits || !(1..=MOST_MATCHES).contains(&limit) {
        return Err(Problem::bad_request(format!(
            "The text `q` has 1 to {LONGEST} bytes and no line end, the limit is a number from 1 to {MOST_MATCHES}."
        )));
    }
    let steps = steps_of(&ctx, &chosen_attempt(&ctx, &id, query.attempt).await?).await?;
    let _turn = ctx.searches.acquire().await.map_err(Problem::internal)?;
    let wanted = Arc::new(());
    let search = Search { finder: finder(&query.q)?, longest: query.q.len(), limit, wanted: Arc::downgrade(&wanted) };
    let logs = ctx.master.logs().clone();
    let found = blocking(move || search.run(&logs, &steps)).await??;
    drop(wanted);
    Ok(Json(found))
}

/// Finds the text in any case: ASCII letter by letter, others where the whole text has one case.
fn finder(text: &str) -> Result<AhoCorasick, Problem> {
    let forms = [text.to_owned(), text.to_lowercase(), text.to_uppercase()];
    AhoCorasickBuilder::new().ascii_case_insensitive(true).build(forms).map_err(Problem::internal)
}

struct Search {
    finder: AhoCorasick,
    longest: usize,
    limit: usize,
    /// Nobody waits any more when it cannot be upgraded.
    wanted: std::sync::Weak<()>,
}

impl Search {
    fn run(&self, logs: &LogDir, steps: &[TextStep]) -> Result<Matches, LogError> {
        let (mut matches, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        for step in steps {
            let Some(log) = open(logs, &step.key)? else { continue };
            if !self.step(step.key.number, &log, deadline, &mut matches)? {
                return Ok(Matches { matches, truncated: true });
            }
        }
        Ok(Matches { matches, truncated: false })
    }

    /// Adds the matches of a step; false when there may be more than were looked for.
    fn step(&self, step: u32, log: &LogReader, deadline: Instant, out: &mut Vec<Match>) -> Result<bool, LogError> {
        let mut window = Window::new(self.longest);
        while window.read(log)? {
            while let Some(found) = self.finder.find(window.unsearched()) {
                if out.len() == self.limit {
                    return Ok(false);
                }
                let (line, place) = window.take(found.start());
                out.push(Match { step, line, text: excerpt(log, place)? });
            }
            window.searched();
            if self.wanted.strong_count() == 0 || Instant::now() > deadline {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A piece of a log, and where it is.
struct Window {
    bytes: Vec<u8>,
    /// The offset of the first byte.
    offset: u64,
    /// The line of the byte at `at`.
    line: u64,
    /// Where to look from.
    at: usize,
    /// Where the line of the byte at `at` begins.
    line_start: u64,
    /// The rest of this line was found already: look from the next one on.
    skip_line: bool,
    /// Bytes kept for a match that goes on in the next block.
    overlap: usize,
}

/// Where a match is.
struct Place {
    line_start: u64,
    offset: u64,
}

impl Window {
    fn new(longest: usize) -> Self {
        // Other cases of a letter may have more bytes.
        let overlap = 3 * longest;
        Self { bytes: Vec::new(), offset: 0, line: 0, at: 0, line_start: 0, skip_line: false, overlap }
    }

    /// Goes on by a block; false at the end.
    fn read(&mut self, log: &LogReader) -> Result<bool, LogError> {
        self.bytes.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + BLOCK, 0);
        let read = log.read(self.offset + before as u64, &mut self.bytes[before..])?;
        self.bytes.truncate(before + read);
        if self.skip_line {
            self.skip();
        }
        Ok(read > 0)
    }

    fn unsearched(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Goes to the line after the match at `start` of what is unsearched, and tells the line and the place.
    fn take(&mut self, start: usize) -> (u64, Place) {
        self.advance(self.at + start);
        let found = (self.line, Place { line_start: self.line_start, offset: self.offset + self.at as u64 });
        self.skip();
        found
    }

    /// Nothing more is in here, but a match may begin in the last bytes.
    fn searched(&mut self) {
        if !self.skip_line {
            self.advance(self.bytes.len().saturating_sub(self.overlap).max(self.at));
        }
    }

    fn advance(&mut self, to: usize) {
        for end in memchr::memchr_iter(b'\n', &self.bytes[self.at..to]) {
            self.line += 1;
            self.line_start = self.offset + (self.at + end) as u64 + 1;
        }
        self.at = to;
    }

    /// To the beginning of the next line, when it is here already.
    fn skip(&mut self) {
        let end = memchr::memchr(b'\n', self.unsearched());
        self.skip_line = end.is_none();
        self.advance(end.map_or(self.bytes.len(), |end| self.at + end + 1));
    }
}

/// The line around a match.
fn excerpt(log: &LogReader, place: Place) -> Result<String, LogError> {
    let from = place.line_start.max(place.offset.saturating_sub(BEFORE));
    let mut bytes = vec![0; usize::try_from(SHOWN).unwrap_or_default()];
    let read = log.read(from, &mut bytes)?;
    let end = memchr::memchr(b'\n', &bytes[..read]).unwrap_or(read);
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}
