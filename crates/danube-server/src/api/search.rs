//! Search in the logs of a job: plain text, whatever its case, in what lines show. The search ends when nobody waits for it
//! any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use danube_engine::logs::{LogDir, LogError, TextStep};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::chosen_attempt;
use super::logs::{open, steps_of};
use crate::answer::{Json, blocking};
use crate::context::Ctx;
use crate::logview::{Case, Needle, scan};
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};

/// Matches, unless the query says otherwise.
const MATCHES: usize = 100;
/// Matches at most.
const MOST_MATCHES: usize = 1000;
/// Bytes of what is looked for.
const LONGEST: usize = 256;
/// Bytes of a line that are shown, before the match and in all.
const BEFORE: usize = 200;
const SHOWN: usize = 1000;
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
    let needle = Needle::text(&query.q, Case::Any).map_err(Problem::bad_request)?;
    let steps = steps_of(&ctx, &chosen_attempt(&ctx, &id, query.attempt).await?).await?;
    let _turn = ctx.searches.acquire().await.map_err(Problem::internal)?;
    let wanted = Arc::new(());
    let search = Search { needle, limit, wanted: Arc::downgrade(&wanted) };
    let logs = ctx.master.logs().clone();
    let found = blocking(move || search.run(&logs, &steps)).await??;
    drop(wanted);
    Ok(Json(found))
}

struct Search {
    needle: Needle,
    limit: usize,
    /// Nobody waits any more when it cannot be upgraded.
    wanted: std::sync::Weak<()>,
}

impl Search {
    fn run(&self, logs: &LogDir, steps: &[TextStep]) -> Result<Matches, LogError> {
        let (mut matches, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        let goes_on = || self.wanted.strong_count() > 0 && Instant::now() < deadline;
        for step in steps {
            let Some(log) = open(logs, &step.key)? else { continue };
            let is_whole = scan(log, &self.needle, goes_on, |found| {
                let is_room = matches.len() < self.limit;
                if is_room {
                    let text = excerpt(found.text, self.needle.place(found.text));
                    matches.push(Match { step: step.key.number, line: found.line, text });
                }
                is_room
            })?;
            if !is_whole {
                return Ok(Matches { matches, truncated: true });
            }
        }
        Ok(Matches { matches, truncated: false })
    }
}

/// A line; of a long one the part around the match.
fn excerpt(line: &[u8], place: usize) -> String {
    let from = if line.len() > SHOWN { place.saturating_sub(BEFORE) } else { 0 };
    String::from_utf8_lossy(&line[from..line.len().min(from + SHOWN)]).into_owned()
}
