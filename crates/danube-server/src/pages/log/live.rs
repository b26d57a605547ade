//! `…/events`: what is new in a run's log, as rows for its page. Like every live stream it is pulled: rows and log files
//! are read from where the reader is, when there is room to send. The cursor has, of each step that is open, the lines that
//! were told; so going on is a look at the index, and what was missed is on the page like everything else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use danube_core::id::JobId;
use danube_engine::master::LiveJob;
use danube_store::steps::StepKey;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::live_parts::{HeadPart, StepPart};
use super::steps::{Step, Steps};
use super::view::{Search, Time};
use super::window::Painter;
use crate::answer::blocking;
use crate::api::events::{answer, told};
use crate::api::logs::open;
use crate::context::Ctx;
use crate::events::{Board, Cursor, Facts, HEARTBEAT, Told, event};
use crate::model;
use crate::pages::Visitor;
use crate::pages::job::{RunPath, find as find_run};
use crate::problem::Problem;
use crate::request::extract::{InPath, InQuery};

const HEARTBEAT_AFTER: Duration = Duration::from_secs(15);
/// Readers look at most so often at what changes all the time.
const PACE: Duration = Duration::from_millis(50);
/// A line that is rewritten is told at most so often.
const PACE_OF_LAST: Duration = Duration::from_millis(250);
/// Lines in an event.
const ROWS: u64 = 200;
/// Who is more than so many lines behind is told of the newest ones only: the others are on the page when it is scrolled.
const BEHIND: u64 = 1000;

/// What to tell.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    after: Option<String>,
    t: Option<String>,
    q: Option<String>,
    re: Option<String>,
    /// `count`: how many lines there are, and not the lines.
    mode: Option<String>,
}

/// New lines, as rows.
#[derive(Serialize)]
struct RowsPart {
    step: u32,
    /// The first one's number, from 1.
    from: u64,
    /// Lines of the step so far.
    lines: u64,
    html: String,
}

/// Lines that are not told.
#[derive(Serialize)]
struct Gap {
    step: u32,
    from: u64,
    to: u64,
}

#[derive(Serialize)]
struct Count {
    step: u32,
    lines: u64,
}

/// What is told of a step's growth.
struct Growth {
    /// Lines that were told after it.
    told: u64,
    /// Each with the lines that were told after it.
    events: Vec<(&'static str, String, u64)>,
    /// There is more at hand.
    more: bool,
    /// The length of the log, when its last line is not finished.
    open: Option<u64>,
}

/// Where the stream goes on from a page of these steps.
pub(super) fn cursor_after(steps: &Steps) -> Cursor {
    let mut cursor = Cursor::new(steps.attempt.job.clone());
    cursor.go_to(steps.attempt.number);
    for step in &steps.all {
        cursor.begin(step.number);
        cursor.open.remove(&step.number);
        if !step.over {
            cursor.open.insert(step.number, Told::Output(step.ends));
        }
    }
    cursor
}

pub(crate) async fn stream(
    Shared(ctx): Shared<Ctx>,
    visitor: Visitor,
    InPath((name, number)): RunPath,
    InQuery(asked): InQuery<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job: JobId = find_run(&ctx, &name, number).await?.id.parse().map_err(Problem::internal)?;
    let cursor = told(&headers, asked.after.as_deref(), &job)?.unwrap_or_else(|| Cursor::new(job));
    if cursor.ended {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let reader = Reader {
        board: ctx.boards.of(&cursor.job),
        live: ctx.master.live().follow(&cursor.job),
        time: Time::parse(asked.t.as_deref())?,
        search: Search::parse(asked.q.as_deref(), asked.re.as_deref())?,
        counts: asked.mode.as_deref() == Some("count"),
        queue: VecDeque::new(),
        seen: BTreeMap::new(),
        lasts: BTreeMap::new(),
        owed: BTreeSet::new(),
        looked: None,
        more: false,
        cursor,
        visitor,
        ctx,
    };
    Ok(answer(reader, |mut reader| async move { Ok(reader.next().await?.map(|bytes| (bytes, reader))) }))
}

/// One who looks at a log.
struct Reader {
    ctx: Ctx,
    visitor: Visitor,
    cursor: Cursor,
    board: Arc<Board>,
    live: LiveJob,
    time: Time,
    search: Option<Search>,
    counts: bool,
    queue: VecDeque<Bytes>,
    /// Bytes of the logs that were looked at, by step.
    seen: BTreeMap<u32, u64>,
    /// When the unfinished last line of a step was told, and how long its log was then.
    lasts: BTreeMap<u32, (Instant, u64)>,
    /// Steps whose last line was not told, for its pace.
    owed: BTreeSet<u32>,
    looked: Option<Instant>,
    /// There is more to tell than was queued.
    more: bool,
}

/// Why a reader that waited goes on.
enum Woken {
    Changed,
    Silence,
    Shutdown,
}

impl Reader {
    /// The next event; none at the end, and when the server stops.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            if let Some(told) = self.queue.pop_front() {
                return Ok(Some(told));
            }
            if self.cursor.ended || self.ctx.shutdown.is_cancelled() {
                return Ok(None);
            }
            if let Some(looked) = self.looked.filter(|_| !self.more) {
                tokio::time::sleep_until(looked + PACE).await;
            }
            // What comes from here on wakes the reader again.
            self.live.mark();
            let facts = self.board.facts(&self.ctx, &self.cursor.job).await?;
            self.looked = Some(Instant::now());
            self.tell(&facts).await?;
            if self.queue.is_empty() && !self.cursor.ended {
                match self.wait().await {
                    Woken::Changed => {}
                    Woken::Silence => return Ok(Some(HEARTBEAT)),
                    Woken::Shutdown => return Ok(None),
                }
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let owes = !self.owed.is_empty();
        tokio::select! {
            () = self.live.changed() => Woken::Changed,
            () = tokio::time::sleep(if owes { PACE_OF_LAST } else { HEARTBEAT_AFTER }) => {
                if owes { Woken::Changed } else { Woken::Silence }
            }
            () = self.ctx.shutdown.cancelled() => Woken::Shutdown,
        }
    }

    fn say(&mut self, name: &str, what: &impl Serialize) -> Result<(), Problem> {
        let data = serde_json::to_string(what).map_err(Problem::internal)?;
        self.queue.push_back(event(name, &self.cursor, &data));
        Ok(())
    }

    /// Queues what the facts have beyond the cursor: at most one event's worth of lines of each step.
    async fn tell(&mut self, facts: &Facts) -> Result<(), Problem> {
        if facts.attempt.number != self.cursor.attempt {
            self.cursor.go_to(facts.attempt.number);
            self.say("attempt", &facts.attempt.number)?;
        }
        if facts.state != self.cursor.state {
            self.cursor.state = facts.state;
            self.say("head", &HeadPart::of(facts)?)?;
        }
        for step in &facts.steps {
            let is_new = step.number >= self.cursor.next || self.cursor.open.get(&step.number) == Some(&Told::Nothing);
            if is_new {
                self.cursor.begin(step.number);
                self.say("step", &StepPart::of(step, &self.visitor.clock, (false, 0))?)?;
            }
        }
        self.more = false;
        for step in &facts.steps {
            if let Some(Told::Output(told)) = self.cursor.open.get(&step.number).copied() {
                self.more |= self.step(facts, step, told).await?;
            }
        }
        if facts.is_final && !self.more {
            self.cursor.ended = true;
            self.say("end", &HeadPart::of(facts)?)?;
        }
        Ok(())
    }

    /// Queues the new lines of a step; then its end, if it has one. Says whether there is more at hand.
    async fn step(&mut self, facts: &Facts, step: &model::Step, told: u64) -> Result<bool, Problem> {
        let over = facts.is_final || step.finished_ms.is_some();
        let written = facts.written.get(&step.number).copied();
        let grew = written.is_none_or(|written| self.seen.get(&step.number) != Some(&written));
        if grew || self.owed.contains(&step.number) {
            let growth = self.growth(facts, step, told, over).await?;
            for (name, data, told) in growth.events {
                self.cursor.open.insert(step.number, Told::Output(told));
                self.queue.push_back(event(name, &self.cursor, &data));
            }
            self.cursor.open.insert(step.number, Told::Output(growth.told));
            if growth.more {
                return Ok(true);
            }
            self.seen.extend(written.map(|written| (step.number, written)));
        }
        if over {
            let told = self.cursor.open.remove(&step.number);
            self.lasts.remove(&step.number);
            self.owed.remove(&step.number);
            let lines = if let Some(Told::Output(lines)) = told { lines } else { 0 };
            self.say("step", &StepPart::of(step, &self.visitor.clock, (true, lines))?)?;
        }
        Ok(false)
    }

    /// Reads what is new in a step's log.
    async fn growth(&mut self, facts: &Facts, step: &model::Step, told: u64, over: bool) -> Result<Growth, Problem> {
        let key = StepKey { attempt: facts.attempt.clone(), number: step.number };
        let began_ms = facts.steps.iter().map(|step| step.started_ms).min().unwrap_or(step.started_ms);
        let of = Step::without_lines(step.clone(), None, over);
        let how = (self.time, &self.visitor.clock.zone);
        let painter = Painter::new(self.ctx.master.logs(), key, began_ms, &of, how).marking(self.search.as_ref(), None);
        let last = self.lasts.get(&step.number).copied();
        let may_tell_last = last.is_none_or(|(at, _)| at.elapsed() >= PACE_OF_LAST);
        let growth = if self.counts {
            blocking(move || count(&painter, told, over)).await??
        } else {
            blocking(move || rows(&painter, told, over, may_tell_last)).await??
        };
        match growth.open.filter(|len| last.is_none_or(|(_, before)| before != *len)) {
            Some(len) if may_tell_last => {
                self.lasts.insert(step.number, (Instant::now(), len));
                self.owed.remove(&step.number);
            }
            Some(_) => {
                self.owed.insert(step.number);
            }
            None => {
                self.owed.remove(&step.number);
            }
        }
        Ok(growth)
    }
}

/// How many lines there are.
fn count(painter: &Painter, told: u64, over: bool) -> Result<Growth, Problem> {
    let Some(log) = open(&painter.logs, &painter.key)? else { return Ok(Growth::none(told)) };
    let ends = if over { log.line_count()? } else { log.line_ends()? };
    let mut growth = Growth::none(ends);
    if ends != told {
        growth.add("count", &Count { step: painter.key.number, lines: ends })?;
    }
    Ok(growth)
}

/// New lines; and if there is room and time for it, the last one that is not finished.
fn rows(painter: &Painter, told: u64, over: bool, may_tell_last: bool) -> Result<Growth, Problem> {
    let Some(log) = open(&painter.logs, &painter.key)? else { return Ok(Growth::none(told)) };
    let (step, lines) = (painter.key.number, log.line_count()?);
    let ends = if over { lines } else { log.line_ends()? };
    let mut growth = Growth::none(told);
    if ends.saturating_sub(told) > BEHIND {
        growth.told = ends - ROWS;
        growth.add("gap", &Gap { step, from: told + 1, to: growth.told })?;
    }
    let (from, count) = (growth.told, ends.saturating_sub(growth.told).min(ROWS));
    growth.told = from + count;
    growth.more = growth.told < ends;
    if count > 0 {
        let mut html = String::new();
        painter.rows(from, count, &mut html)?;
        growth.add("rows", &RowsPart { step, from: from + 1, lines, html })?;
    }
    growth.open = (lines > ends && !growth.more).then(|| log.len());
    if growth.open.is_some() && may_tell_last {
        let mut html = String::new();
        painter.rows(ends, 1, &mut html)?;
        growth.add("last", &RowsPart { step, from: ends + 1, lines, html })?;
    }
    Ok(growth)
}

impl Growth {
    fn none(told: u64) -> Self {
        Self { told, events: Vec::new(), more: false, open: None }
    }

    fn add(&mut self, name: &'static str, what: &impl Serialize) -> Result<(), Problem> {
        self.events.push((name, serde_json::to_string(what).map_err(Problem::internal)?, self.told));
        Ok(())
    }
}
