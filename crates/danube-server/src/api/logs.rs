//! Logs: a whole job as text, a step's exact bytes, a window of lines.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use danube_core::id::AttemptId;
use danube_engine::logs::{Line, LogDir, LogError, LogReader, TextLog, TextStep};
use danube_store::steps::{self, StepKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::chosen_attempt;
use crate::answer::{self, Blocks, Json, blocking};
use crate::context::Ctx;
use crate::problem::Problem;
use crate::range::{Download, Source};
use crate::request::extract::{InPath, InQuery, Of};

/// Lines of a window, unless the query says otherwise, and at most.
const MOST_LINES: usize = 1000;
/// Lines that are read at once.
const LINES_AT_ONCE: usize = 50;
/// Bytes of text in a window, about: fewer lines come when they are long.
const WINDOW_BYTES: usize = 1024 * 1024;

/// A window of a step's lines.
#[derive(Serialize, ToSchema)]
pub(crate) struct Lines {
    /// As many as were asked for; fewer at the end, or when they are long.
    lines: Vec<LogLine>,
    /// Lines of the step so far.
    total: u64,
}

/// A line.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogLine {
    /// From 0.
    number: u64,
    /// When its first byte was read.
    at_ms: u64,
    /// `stdout` (or both, merged), `stderr`, or `danube`.
    stream: &'static str,
    /// What is not UTF-8 is replaced; `raw` has the exact bytes.
    text: String,
    /// It was longer than 16 KiB; the rest is left out.
    cut: bool,
}

/// Which lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    #[serde(default)]
    from: u64,
    count: Option<usize>,
    attempt: Option<u32>,
}

pub(crate) async fn text(
    State(ctx): State<Ctx>,
    InPath(id): InPath<String>,
    InQuery(of): InQuery<Of>,
) -> Result<Response, Problem> {
    let steps = steps_of(&ctx, &chosen_attempt(&ctx, &id, of.attempt).await?).await?;
    let logs = ctx.master.logs().clone();
    let text = blocking(move || {
        // A step whose log is not there yet has said nothing yet.
        let there = steps.into_iter().filter(|step| !matches!(open(&logs, &step.key), Ok(None)));
        TextLog::new(&logs, there.collect::<Vec<_>>())
    });
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], answer::body(text.await?)).into_response())
}

impl Blocks for TextLog {
    fn next_block(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut block = Vec::new();
        let more = TextLog::next_block(self, &mut block)?;
        Ok(more.then(|| block.into()))
    }
}

pub(crate) async fn raw(
    State(ctx): State<Ctx>,
    InPath((id, number)): InPath<(String, u32)>,
    InQuery(of): InQuery<Of>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = step_key(&ctx, chosen_attempt(&ctx, &id, of.attempt).await?, number).await?;
    let name = format!("{}-{number}.log", key.attempt.job);
    let etag = format!("{}-{}-{number}", key.attempt.job, key.attempt.number);
    let logs = ctx.master.logs().clone();
    let Some(log) = blocking(move || open(&logs, &key)).await?? else {
        return Err(Problem::not_found(format!("The step {number} has no output yet.")));
    };
    let len = log.len();
    // The file only grows, so its length names its bytes.
    Ok(Download { bytes: Source::Log(log), len, etag: format!("{etag}-{len}"), name }.answer(&headers))
}

pub(crate) async fn lines(
    State(ctx): State<Ctx>,
    InPath((id, number)): InPath<(String, u32)>,
    InQuery(window): InQuery<Window>,
) -> Result<Json<Lines>, Problem> {
    let count = window.count.unwrap_or(MOST_LINES);
    if count > MOST_LINES {
        return Err(Problem::bad_request(format!("The count is a number from 0 to {MOST_LINES}.")));
    }
    let key = step_key(&ctx, chosen_attempt(&ctx, &id, window.attempt).await?, number).await?;
    let logs = ctx.master.logs().clone();
    Ok(Json(blocking(move || read_lines(&logs, &key, window.from, count)).await??))
}

fn read_lines(logs: &LogDir, key: &StepKey, from: u64, count: usize) -> Result<Lines, LogError> {
    let Some(log) = open(logs, key)? else { return Ok(Lines { lines: Vec::new(), total: 0 }) };
    let (total, mut lines, mut bytes) = (log.line_count()?, Vec::new(), 0);
    while lines.len() < count && bytes < WINDOW_BYTES {
        let Some(log) = open(logs, key)? else { break };
        let at_once = LINES_AT_ONCE.min(count - lines.len());
        let some = log.lines(from.saturating_add(lines.len() as u64), at_once)?;
        let ends = some.len() < at_once;
        bytes += some.iter().map(|line| line.text.len()).sum::<usize>();
        lines.extend(some.into_iter().map(LogLine::from));
        if ends {
            break;
        }
    }
    Ok(Lines { total: total.max(lines.last().map_or(0, |line| line.number + 1)), lines })
}

impl From<Line> for LogLine {
    fn from(line: Line) -> Self {
        let stream = match line.stream {
            1 => "stdout",
            2 => "stderr",
            _ => "danube",
        };
        let text = String::from_utf8_lossy(&line.text).into_owned();
        Self { number: line.number, at_ms: line.at_ms, stream, text, cut: line.cut }
    }
}

/// A step's log; none when it was not made yet.
pub(crate) fn open(logs: &LogDir, key: &StepKey) -> Result<Option<LogReader>, LogError> {
    use std::io::ErrorKind::{NotFound, UnexpectedEof};
    match logs.reader(key) {
        Ok(log) => Ok(Some(log)),
        // Its files are made after its row, and their header after them.
        Err(LogError::Io { source, .. }) if matches!(source.kind(), NotFound | UnexpectedEof) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The steps of an attempt, in order of start.
pub(crate) async fn steps_of(ctx: &Ctx, attempt: &AttemptId) -> Result<Vec<TextStep>, Problem> {
    let rows = steps::list(ctx.store().read(), attempt).await?;
    let step = |row: steps::StepRow| {
        let key = StepKey { attempt: attempt.clone(), number: row.number };
        TextStep { key, name: row.name }
    };
    Ok(rows.into_iter().map(step).collect())
}

/// A step of an attempt.
async fn step_key(ctx: &Ctx, attempt: AttemptId, number: u32) -> Result<StepKey, Problem> {
    let id = attempt.job.clone();
    let key = StepKey { attempt, number };
    let there = steps::log_commit(ctx.store().read(), &key).await?.is_some();
    there.then_some(key).ok_or_else(|| Problem::not_found(format!("The job {id} has no step {number}.")))
}
