//! What a run shows while it goes on, and at its end. Output is read from the step's log as it grows; a step's end is
//! shown after its last line. The terminal and the JSON view see the same things in the same order.

mod escapes;
mod json;
mod paint;
mod reached;
mod status_line;
mod summary;
mod terminal;
mod words;

use std::collections::HashMap;
use std::io;

use danube_core::egress::EgressEvent;
use danube_core::id::ContainerName;
use danube_core::job::{JobStatus, Verdict};
use danube_core::runtime::ContainerState;
use danube_engine::job::Progress;
use danube_engine::job::progress::{StepEnded, StepStarted, SummaryWritten, TestsReported};
use danube_engine::logs::{Line, LogTail};
use danube_store::artifacts::ArtifactRow;
use tokio::sync::mpsc;
use tokio::time::{Duration, interval};

pub use escapes::shown as printable;
pub use json::Json;
pub use paint::{Paint, Tone, columns};
pub use summary::{Outcome, StepSummary, Summary, full_name};
pub use terminal::Terminal;
pub use words::{bytes, count, duration, harmless, outcome, shortened};

/// Blocks of output under way to the view at most: a slow terminal makes readers wait, never the job.
const WAITING: usize = 64;
/// Bytes or lines read from a log at once.
const BLOCK: usize = 64 * 1024;
const LINES: usize = 512;
/// How often what takes long is shown anew.
const TICK: Duration = Duration::from_secs(1);

/// Where a run is shown.
pub enum View {
    /// For people.
    Terminal(Terminal),
    /// For programs.
    Json(Json),
}

/// A piece of a step's output.
enum Piece {
    Bytes(Vec<u8>),
    Lines(Vec<Line>),
    Closed,
}

/// Shows a job's progress until it is finished; gives what there is to sum up.
pub async fn show(mut progress: mpsc::UnboundedReceiver<Progress>, view: &mut View) -> io::Result<Summary> {
    let (sender, mut pieces) = mpsc::channel(WAITING);
    let mut shown = Shown::default();
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            told = progress.recv(), if shown.summary.verdict.is_none() => match told {
                Some(told) => shown.progress(view, told, &sender)?,
                None => return Ok(shown.into_summary()),
            },
            Some((step, piece)) = pieces.recv() => shown.piece(view, step, piece)?,
            _ = ticks.tick() => view.tick()?,
        }
        if shown.summary.verdict.is_some() && shown.open.is_empty() {
            return Ok(shown.into_summary());
        }
    }
}

#[derive(Default)]
struct Shown {
    summary: Summary,
    /// The output of each step.
    logs: HashMap<u32, LogTail>,
    /// Steps whose output is still read, with their end if it was told already.
    open: HashMap<u32, Option<StepEnded>>,
}

impl Shown {
    fn progress(&mut self, view: &mut View, told: Progress, pieces: &mpsc::Sender<(u32, Piece)>) -> io::Result<()> {
        match told {
            Progress::Status(status) => view.status(status),
            Progress::Container(name, state) => view.container(&name, &state),
            Progress::StepStarted(step, log) => {
                self.open.insert(step.number, None);
                let raw = matches!(view, View::Terminal(_));
                tokio::spawn(follow(step.number, log.clone(), raw, pieces.clone()));
                self.logs.insert(step.number, log);
                self.summary.started(&step);
                view.step_started(&step)
            }
            Progress::StepEnded(end) => {
                if let Some(waiting) = self.open.get_mut(&end.number) {
                    *waiting = Some(end);
                    return Ok(());
                }
                self.step_ended(view, end)
            }
            Progress::Artifact(artifact) => {
                view.artifact(&artifact)?;
                self.summary.artifacts.push(artifact);
                Ok(())
            }
            Progress::Tests(tests) => {
                view.tests(&tests)?;
                self.summary.tests.push(tests);
                Ok(())
            }
            Progress::Summary(written) => {
                view.written(&written)?;
                self.summary.wrote(&written);
                Ok(())
            }
            Progress::Egress(event) => {
                view.egress(&event)?;
                self.summary.egress.note(event);
                Ok(())
            }
            Progress::DiskFull(full) => {
                tell_of_room(full);
                Ok(())
            }
            Progress::Finished(verdict) => {
                self.summary.verdict = Some(verdict);
                Ok(())
            }
        }
    }

    fn piece(&mut self, view: &mut View, step: u32, piece: Piece) -> io::Result<()> {
        match piece {
            Piece::Bytes(bytes) => view.bytes(step, &bytes),
            Piece::Lines(lines) => view.lines(step, &lines),
            Piece::Closed => {
                view.closed(step)?;
                match self.open.remove(&step).flatten() {
                    Some(end) => self.step_ended(view, end),
                    None => Ok(()),
                }
            }
        }
    }

    fn step_ended(&mut self, view: &mut View, end: StepEnded) -> io::Result<()> {
        match self.summary.ended(end) {
            Some(step) => view.step_ended(step),
            None => Ok(()),
        }
    }

    fn into_summary(mut self) -> Summary {
        let lines = self.summary.culprit().and_then(|step| {
            let log = self.logs.get(&step.number)?;
            log.reader().and_then(|reader| reader.last_lines(step.last_lines())).ok()
        });
        self.summary.last_lines = lines.unwrap_or_default().into_iter().map(|line| line.text).collect();
        self.summary
    }
}

/// On stderr, so that both views have it.
fn tell_of_room(full: bool) {
    let text = if full {
        "note: the data directory's disk is full: the job waits; make room, and it goes on"
    } else {
        "note: the disk has room again: the job goes on"
    };
    // Nobody may be listening.
    let _ = io::Write::write_all(&mut io::stderr(), format!("{text}\n").as_bytes());
}

/// Reads a step's log as it grows. Ends when it is closed, or when nobody looks.
async fn follow(step: u32, tail: LogTail, raw: bool, pieces: mpsc::Sender<(u32, Piece)>) {
    let read = if raw { follow_bytes(step, tail, &pieces).await } else { follow_lines(step, tail, &pieces).await };
    if let Err(error) = read {
        tracing::warn!(step, %error, "the step's log cannot be shown");
    }
    let _ = pieces.send((step, Piece::Closed)).await;
}

async fn follow_bytes(
    step: u32,
    mut tail: LogTail,
    pieces: &mpsc::Sender<(u32, Piece)>,
) -> Result<(), danube_engine::logs::LogError> {
    let mut seen = 0;
    while let Some(written) = tail.beyond(seen).await {
        let reader = tail.reader()?;
        while seen < written {
            let mut block = vec![0; BLOCK];
            let read = reader.read(seen, &mut block)?;
            block.truncate(read);
            seen += read as u64;
            if read == 0 || pieces.send((step, Piece::Bytes(block))).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Complete lines as they come; the unfinished last one when the log is closed.
async fn follow_lines(
    step: u32,
    mut tail: LogTail,
    pieces: &mpsc::Sender<(u32, Piece)>,
) -> Result<(), danube_engine::logs::LogError> {
    let (mut seen, mut next) = (0, 0);
    loop {
        let more = tail.beyond(seen).await;
        seen = more.unwrap_or(seen);
        loop {
            let complete = tail.reader()?.line_ends()?;
            let wanted =
                if more.is_none() { LINES } else { usize::try_from(complete - next).unwrap_or(LINES).min(LINES) };
            let lines = if wanted == 0 { Vec::new() } else { tail.reader()?.lines(next, wanted)? };
            next += lines.len() as u64;
            if lines.is_empty() {
                break;
            }
            if pieces.send((step, Piece::Lines(lines))).await.is_err() {
                return Ok(());
            }
        }
        if more.is_none() {
            return Ok(());
        }
    }
}

impl View {
    fn status(&mut self, status: JobStatus) -> io::Result<()> {
        match self {
            Self::Terminal(_) => Ok(()),
            Self::Json(json) => json.status(status),
        }
    }

    fn container(&mut self, name: &ContainerName, state: &ContainerState) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.container(name, state),
            Self::Json(_) => Ok(()),
        }
    }

    fn step_started(&mut self, step: &StepStarted) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.step_started(step),
            Self::Json(json) => json.step_started(step),
        }
    }

    fn bytes(&mut self, step: u32, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.output(step, bytes),
            Self::Json(_) => Ok(()),
        }
    }

    fn lines(&mut self, step: u32, lines: &[Line]) -> io::Result<()> {
        match self {
            Self::Terminal(_) => Ok(()),
            Self::Json(json) => json.lines(step, lines),
        }
    }

    fn closed(&mut self, step: u32) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.closed(step),
            Self::Json(_) => Ok(()),
        }
    }

    fn step_ended(&mut self, step: &StepSummary) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.step_ended(step),
            Self::Json(json) => json.step_ended(step),
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.tick(),
            Self::Json(_) => Ok(()),
        }
    }

    fn artifact(&mut self, artifact: &ArtifactRow) -> io::Result<()> {
        match self {
            Self::Terminal(_) => Ok(()),
            Self::Json(json) => json.artifact(artifact),
        }
    }

    fn tests(&mut self, tests: &TestsReported) -> io::Result<()> {
        match self {
            Self::Terminal(_) => Ok(()),
            Self::Json(json) => json.tests(tests),
        }
    }

    fn written(&mut self, written: &SummaryWritten) -> io::Result<()> {
        match self {
            Self::Terminal(_) => Ok(()),
            Self::Json(json) => json.written(written),
        }
    }

    fn egress(&mut self, event: &EgressEvent) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.egress(event),
            Self::Json(json) => json.egress(event),
        }
    }

    /// The last word about the job.
    pub fn finished(&mut self, summary: &Summary, verdict: &Verdict, duration_ms: u64) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.finished(summary, verdict, duration_ms),
            Self::Json(json) => json.finished(summary, verdict, duration_ms),
        }
    }
}
