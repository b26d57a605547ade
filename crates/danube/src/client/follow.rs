//! A job's live stream until the job ends, whatever happens to the connection. It is read by a thread of its own; a slow
//! screen makes it wait. Ctrl-C ends only the looking on.

use std::io::{self, BufReader, IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use danube_core::job::ExitClass;
use tokio::sync::mpsc;

use super::api::{Artifact, Job, Output, Step};
use super::error::CallError;
use super::http::{Http, Wanted, part};
use super::shown::Screen;
use super::sse::{Event, Events};
use super::text::Lines;
use crate::error::CliError;

/// Events under way to the screen at most.
const WAITING: usize = 64;
/// Waits between attempts to connect that got nothing. After the last one it is given up.
const PAUSES_MS: [u64; 9] = [0, 100, 300, 1000, 2000, 4000, 8000, 8000, 8000];
/// After so many of them the user is told.
const WORTH_A_WORD: usize = 2;
/// A connection that lasted so long was a good one, even if nothing came.
const OLD: Duration = Duration::from_secs(10);
/// How often what takes long is shown anew.
const TICK: Duration = Duration::from_secs(1);

/// How a stream is shown.
pub enum Shown {
    /// As `danube run` shows a job.
    Screen(Box<Screen>),
    /// The lines of one step.
    Step(u32, Lines<io::Stdout>),
    /// The bytes of one step.
    Raw(u32),
    /// Events as the server gives them, one a line.
    Json,
    /// Only its end matters.
    Nothing,
}

/// What the thread tells.
enum Told {
    Event(Event),
    /// The connection broke, and is made again.
    Broke(String),
    Failed(CallError),
}

/// Follows a job to its end; gives the job as it ended.
pub fn follow(http: &Http, job: &Job, shown: Shown) -> Result<Job, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(CliError::infra)?;
    let ended = runtime.block_on(async {
        tokio::spawn(leave_on_interrupt(job.handle()));
        look_on(http, job, shown).await
    });
    // The thread may still wait for the server.
    runtime.shutdown_background();
    ended
}

/// The same for whoever has a runtime, and an own mind about Ctrl-C.
pub async fn look_on(http: &Http, job: &Job, mut shown: Shown) -> Result<Job, CliError> {
    let (sender, mut told) = mpsc::channel(WAITING);
    let reader = Reader { http: http.clone(), id: job.id.clone(), told: sender, after: String::new(), fails: 0 };
    thread::spawn(move || reader.read());
    let mut ticks = tokio::time::interval(TICK);
    let mut looks = true;
    loop {
        let seen = tokio::select! {
            told = told.recv() => match told {
                Some(Told::Event(event)) => {
                    let ended = end_of(http, &event)?;
                    let seen = if looks { shown.event(http, &event) } else { Ok(()) };
                    if let Some(job) = ended {
                        return Ok(job);
                    }
                    seen
                }
                Some(Told::Broke(why)) => shown.broke(&why),
                Some(Told::Failed(error)) => return Err(error.into()),
                None => return Err(http.strange("the stream ended before the job did").into()),
            },
            _ = ticks.tick() => shown.tick(),
        };
        // Whoever read our output left. The job's end still decides the exit code.
        looks &= seen.is_ok();
    }
}

/// The job itself goes on.
async fn leave_on_interrupt(job: String) {
    if tokio::signal::ctrl_c().await.is_ok() {
        let erase = if io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
        let words = format!("{erase}the job goes on: danube logs -f {job} looks again, danube cancel {job} stops it\n");
        // Nobody may be listening. Nothing is left to be written: what was shown stands there already.
        let _ = io::stderr().write_all(words.as_bytes());
        std::process::exit(i32::from(ExitClass::Cancelled.code()));
    }
}

fn end_of(http: &Http, event: &Event) -> Result<Option<Job>, CliError> {
    if event.name != "end" {
        return Ok(None);
    }
    Ok(Some(parsed(http, event)?))
}

fn parsed<T: serde::de::DeserializeOwned>(http: &Http, event: &Event) -> Result<T, CallError> {
    serde_json::from_str(&event.data).map_err(|error| http.strange(error))
}

/// Reads until the end of the job, over as many connections as that takes.
struct Reader {
    http: Http,
    id: String,
    told: mpsc::Sender<Told>,
    /// The last event that came whole.
    after: String,
    /// Connections in a row that brought nothing.
    fails: usize,
}

impl Reader {
    fn read(mut self) {
        while let Err(error) = self.connection() {
            let pause = PAUSES_MS.get(self.fails).filter(|_| error.may_pass());
            let told = match pause {
                None => Some(Told::Failed(error)),
                Some(_) if self.fails == WORTH_A_WORD => Some(Told::Broke(error.to_string())),
                Some(_) => None,
            };
            let heard = told.is_none_or(|told| self.told.blocking_send(told).is_ok());
            let (Some(pause), true) = (pause, heard) else { return };
            thread::sleep(Duration::from_millis(*pause));
        }
    }

    /// One connection. `Ok` when the end was told, or nobody listens any more.
    fn connection(&mut self) -> Result<(), CallError> {
        self.fails += 1;
        let wanted = Wanted { after: &self.after, ..Wanted::default() };
        let answer = self.http.open(&format!("jobs/{}/events", part(&self.id)), &wanted)?;
        let opened = Instant::now();
        let mut events = Events::new(BufReader::new(answer.into_body().into_reader()));
        let broke = loop {
            let event = match events.next() {
                Ok(Some(event)) => event,
                Ok(None) => break io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended before the job did"),
                Err(error) => break error,
            };
            self.fails = 0;
            if !event.id.is_empty() {
                event.id.clone_into(&mut self.after);
            }
            let is_end = event.name == "end";
            if self.told.blocking_send(Told::Event(event)).is_err() || is_end {
                return Ok(());
            }
        };
        // A job may say nothing for long, and something on the way may cut what is old.
        if opened.elapsed() > OLD {
            self.fails = 0;
        }
        Err(CallError::broke_off(self.http.url(), &broke))
    }
}

impl Shown {
    /// Shows an event. An error means that nobody looks any more.
    fn event(&mut self, http: &Http, event: &Event) -> io::Result<()> {
        match self {
            Self::Screen(screen) => show(screen, http, event),
            Self::Json => json_line(event),
            Self::Step(wanted, lines) => match (event.name.as_str(), output(event, *wanted)) {
                (_, Some(bytes)) => lines.feed(&bytes),
                ("end", None) => lines.finish(),
                _ => Ok(()),
            },
            Self::Raw(wanted) => match output(event, *wanted) {
                Some(bytes) => {
                    let mut out = io::stdout().lock();
                    out.write_all(&bytes).and_then(|()| out.flush())
                }
                None => Ok(()),
            },
            Self::Nothing => Ok(()),
        }
    }

    fn broke(&mut self, why: &str) -> io::Result<()> {
        let words = format!("note: {}; trying again", crate::view::harmless(why));
        writeln!(io::stderr(), "{words}")
    }

    fn tick(&mut self) -> io::Result<()> {
        if let Self::Screen(screen) = self { screen.tick() } else { Ok(()) }
    }
}

/// The output of one step.
fn output(event: &Event, wanted: u32) -> Option<Vec<u8>> {
    let output: Output = serde_json::from_str(&event.data).ok().filter(|_| event.name == "output")?;
    if output.step == wanted { output.into_bytes() } else { None }
}

/// What cannot be read is not shown: it may be of a newer kind.
fn show(screen: &mut Screen, http: &Http, event: &Event) -> io::Result<()> {
    let unread = |error: CallError| {
        tracing::warn!(event = event.name, %error, "an event was not understood");
        Ok(())
    };
    match event.name.as_str() {
        "job" => parsed::<Job>(http, event).map_or_else(unread, |job| screen.job(&job)),
        "step" => parsed::<Step>(http, event).map_or_else(unread, |step| screen.step(&step)),
        "output" => parsed::<Output>(http, event).map_or_else(unread, |output| screen.output(output)),
        "artifact" => parsed::<Artifact>(http, event).map_or_else(unread, |artifact| screen.artifact(&artifact)),
        "end" => parsed::<Job>(http, event).map_or_else(unread, |job| screen.end(http, &job)),
        _ => Ok(()),
    }
}

fn json_line(event: &Event) -> io::Result<()> {
    let data: serde_json::Value = serde_json::from_str(&event.data).unwrap_or_default();
    let line = serde_json::json!({"event": event.name, "id": event.id, "data": data});
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}
