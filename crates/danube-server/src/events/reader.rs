//! One reader of a job's stream.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use danube_engine::master::LiveJob;
use danube_store::steps::StepKey;
use tokio::time::Instant;

use super::board::{Board, Facts};
use super::cursor::{Cursor, Told};
use super::event::{HEARTBEAT, event, json};
use super::pieces;
use super::told::{Next, Turn, next};
use crate::context::Ctx;
use crate::model::Step;
use crate::problem::Problem;

/// A line that says nothing is sent after this much silence.
const HEARTBEAT_AFTER: Duration = Duration::from_secs(15);
/// Readers look at most so often at what changes all the time.
const PACE: Duration = Duration::from_millis(20);
/// Pieces of running output after which the rows are looked at again, however much more there is.
const PIECES_PER_LOOK: u32 = 64;

/// One reader of a job's stream.
pub(crate) struct Reader {
    ctx: Ctx,
    cursor: Cursor,
    board: Arc<Board>,
    live: LiveJob,
    /// What the rows said; none when it is time to look again.
    facts: Option<Arc<Facts>>,
    looked: Option<Instant>,
    pieces: u32,
    turn: Turn,
}

/// Why a reader that waited goes on.
enum Woken {
    Changed,
    Silence,
    Shutdown,
}

impl Reader {
    /// Goes on after the cursor.
    pub(crate) fn new(ctx: Ctx, cursor: Cursor) -> Self {
        let (board, live) = (ctx.boards.of(&cursor.job), ctx.master.live().follow(&cursor.job));
        Self { ctx, cursor, board, live, facts: None, looked: None, pieces: 0, turn: Turn::default() }
    }

    /// The next event; none at the end, and when the server stops.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while !self.cursor.ended && !self.ctx.shutdown.is_cancelled() {
            let facts = self.look().await?;
            if let Some(told) = self.tell(&facts).await? {
                return Ok(Some(told));
            }
            self.facts = None;
            match self.wait().await {
                Woken::Changed => {}
                Woken::Silence => return Ok(Some(HEARTBEAT)),
                Woken::Shutdown => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn look(&mut self) -> Result<Arc<Facts>, Problem> {
        if let Some(facts) = &self.facts {
            return Ok(facts.clone());
        }
        // What comes from here on wakes the reader again.
        self.live.mark();
        let facts = self.board.facts(&self.ctx, &self.cursor.job).await?;
        self.looked = Some(Instant::now());
        self.pieces = 0;
        self.turn.dry.clear();
        self.facts = Some(facts.clone());
        Ok(facts)
    }

    async fn wait(&mut self) -> Woken {
        let woken = tokio::select! {
            () = self.live.changed() => Woken::Changed,
            () = tokio::time::sleep(HEARTBEAT_AFTER) => Woken::Silence,
            () = self.ctx.shutdown.cancelled() => Woken::Shutdown,
        };
        if let Some(looked) = self.looked {
            tokio::time::sleep_until(looked + PACE).await;
        }
        woken
    }

    /// The next event, if there is one at hand.
    async fn tell(&mut self, facts: &Facts) -> Result<Option<Bytes>, Problem> {
        if facts.attempt.number != self.cursor.attempt {
            self.cursor.go_to(facts.attempt.number);
        }
        loop {
            let (name, data) = match next(facts, &self.cursor, &self.turn) {
                Next::Nothing => return Ok(None),
                Next::Job => {
                    self.cursor.state = facts.state;
                    ("job", facts.job.clone())
                }
                Next::Begin(step) => {
                    self.cursor.begin(step.number);
                    ("step", json(&step.clone().begun()))
                }
                Next::Artifact(place) => {
                    self.cursor.artifacts = facts.orders[place + 1];
                    ("artifact", json(&facts.artifacts[place]))
                }
                Next::End => {
                    self.cursor.ended = true;
                    ("end", facts.job.clone())
                }
                Next::Output { step, offset, over } => match self.output(facts, step, offset, over).await? {
                    Some(told) => told,
                    None => continue,
                },
            };
            return Ok(Some(event(name, &self.cursor, &data)));
        }
    }

    /// The next piece of a step's output, or its end.
    async fn output(
        &mut self,
        facts: &Facts,
        step: &Step,
        offset: u64,
        over: bool,
    ) -> Result<Option<(&'static str, String)>, Problem> {
        let key = StepKey { attempt: facts.attempt.clone(), number: step.number };
        let logs = self.ctx.master.logs();
        let piece = if over {
            pieces::read(logs, &key, offset, over).await?.map(Arc::new)
        } else {
            self.board.pieces.get(logs, &key, offset).await?
        };
        self.turn.last = step.number;
        let Some(piece) = piece else { return Ok(self.nothing_more(step, over)) };
        self.cursor.open.insert(step.number, Told::Output(piece.end));
        self.pieces += 1;
        if !facts.is_final && self.pieces == PIECES_PER_LOOK {
            self.facts = None;
        }
        Ok(Some(("output", piece.data.clone())))
    }

    fn nothing_more(&mut self, step: &Step, over: bool) -> Option<(&'static str, String)> {
        if !over {
            self.turn.dry.insert(step.number);
            return None;
        }
        self.cursor.open.remove(&step.number);
        // A step may have no end of its own when its job has one.
        step.finished_ms.map(|_| ("step", json(step)))
    }
}
