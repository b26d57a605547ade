//! `…/log.txt`: a log to keep. As text, without what only colours it; with `raw=1` the exact bytes.

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use danube_engine::logs::LogReader;
use serde::Deserialize;

use super::steps::Steps;
use super::view::Place;
use crate::answer::{self, BLOCK, Blocks, attachment, blocking};
use crate::api::logs::open;
use crate::context::Ctx;
use crate::logview::{Cutter, plain};
use crate::pages::Visitor;
use crate::pages::job::{RunPath, find as find_run};
use crate::problem::Problem;
use crate::range::{Download, Source};
use crate::request::extract::{InPath, InQuery};

/// What of the log, and how.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    step: Option<u32>,
    l: Option<String>,
    raw: Option<String>,
    read: Option<String>,
    states: Option<String>,
    attempt: Option<u32>,
}

/// A part of a step's log.
struct Piece {
    /// Written before it.
    title: Option<String>,
    log: LogReader,
    from: u64,
    to: u64,
}

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Raw,
    Plain,
    /// Each state of a line that was written over is a line.
    States,
}

pub(crate) async fn text(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
    InQuery(asked): InQuery<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let is_set = |value: &Option<String>| value.as_deref() == Some("1");
    let form = match (is_set(&asked.raw), is_set(&asked.states)) {
        (true, _) => Form::Raw,
        (_, true) => Form::States,
        _ => Form::Plain,
    };
    let row = find_run(&ctx, &name, number).await?;
    let steps = Steps::of(&ctx, &visitor.clock, &row, asked.attempt).await?;
    let place = asked.l.as_deref().map(Place::parse).transpose()?;
    let step = place.as_ref().map(|place| place.step).or(asked.step);
    let pieces = pieces(&ctx, &steps, step, place).await?;
    let part = step.map(|step| format!("-{step}")).unwrap_or_default();
    let file = format!("{name}-{number}{part}.{}", if form == Form::Raw { "log" } else { "txt" });
    if let (Form::Raw, [_]) = (form, pieces.as_slice()) {
        return Ok(exact(pieces, &format!("{}-{}{part}", row.id, steps.attempt.number), file, &headers));
    }
    let mut response = answer::body(Written { pieces: pieces.into(), form, current: None }).into_response();
    let kind = if form == Form::Raw { "application/octet-stream" } else { "text/plain; charset=utf-8" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if form == Form::Raw || !(is_set(&asked.read) || form == Form::States) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, attachment(&file));
    }
    Ok(response)
}

/// The parts of the log that are asked for, with their steps' names if there are several.
async fn pieces(ctx: &Ctx, steps: &Steps, step: Option<u32>, place: Option<Place>) -> Result<Vec<Piece>, Problem> {
    let wanted: Vec<_> = match step {
        Some(number) => vec![(None, steps.key(steps.find(number)?.number))],
        None => steps.all.iter().map(|step| (Some(title(step.number, &step.name)), steps.key(step.number))).collect(),
    };
    let logs = ctx.master.logs().clone();
    let open = move || {
        let mut pieces = Vec::new();
        for (title, key) in wanted {
            let Some(log) = open(&logs, &key)? else { continue };
            let (from, to) = match &place {
                Some(place) => (log.offset_of(place.lines.start() - 1)?, log.offset_of(*place.lines.end())?),
                None => (0, log.len()),
            };
            pieces.push(Piece { title, log, from, to });
        }
        Ok::<_, Problem>(pieces)
    };
    blocking(open).await?
}

/// A step's name, which cannot end its line.
fn title(number: u32, name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("== {number} {name} ==\n")
}

/// The exact bytes of one step, or of lines of it.
fn exact(mut pieces: Vec<Piece>, tag: &str, name: String, headers: &HeaderMap) -> Response {
    let Some(Piece { log, from, to, .. }) = pieces.pop() else { return ().into_response() };
    // The file only grows, so places in it name its bytes.
    let etag = format!("{tag}-{from}-{to}");
    Download { bytes: Source::LogFrom(log, from), len: to - from, etag, name }.answer(headers)
}

/// The parts, written one after the other.
struct Written {
    pieces: VecDeque<Piece>,
    form: Form,
    current: Option<Current>,
}

enum Current {
    Raw(Piece),
    Lines(Cutter),
}

impl Blocks for Written {
    fn next_block(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut out = Vec::new();
        while out.len() < BLOCK {
            let more = match &mut self.current {
                Some(Current::Raw(piece)) => copy(piece, &mut out)?,
                Some(Current::Lines(cutter)) => write(cutter, self.form, &mut out)?,
                None => false,
            };
            if !more && !self.begin(&mut out) {
                break;
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }
}

impl Written {
    /// Goes on to the next part; false if there is none.
    fn begin(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(piece) = self.pieces.pop_front() else { return false };
        self.current = Some(if self.form == Form::Raw {
            Current::Raw(piece)
        } else {
            out.extend_from_slice(piece.title.as_deref().unwrap_or_default().as_bytes());
            Current::Lines(Cutter::new(piece.log, piece.from, piece.to))
        });
        true
    }
}

fn copy(piece: &mut Piece, out: &mut Vec<u8>) -> Result<bool, Problem> {
    let (before, left) = (out.len(), usize::try_from(piece.to - piece.from).unwrap_or(BLOCK));
    out.resize(before + left.min(BLOCK), 0);
    let read = piece.log.read(piece.from, &mut out[before..])?;
    out.truncate(before + read);
    piece.from += read as u64;
    Ok(read > 0)
}

fn write(cutter: &mut Cutter, form: Form, out: &mut Vec<u8>) -> Result<bool, Problem> {
    let mut scratch = Vec::new();
    let more = cutter.next(|line, ends| {
        if form == Form::States {
            for state in line.split(|byte| *byte == b'\r').filter(|state| !state.is_empty()) {
                out.extend_from_slice(plain(state, &mut scratch));
                out.push(b'\n');
            }
        } else {
            out.extend_from_slice(plain(line, &mut scratch));
            out.extend_from_slice(if ends { b"\n" } else { b"" });
        }
        true
    })?;
    Ok(more)
}
