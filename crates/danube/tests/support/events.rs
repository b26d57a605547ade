//! What a run with `--json` says, and a run that is watched while it goes on.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Project, Ran};

impl Ran {
    /// Why the job did not succeed, as data; empty when it did.
    pub fn reason(&self) -> String {
        self.job()["reason"]["kind"].as_str().unwrap_or_default().to_owned()
    }

    /// Fails with everything it printed unless this was why the job did not succeed.
    pub fn because(self, reason: &str) -> Self {
        assert_eq!(self.reason(), reason, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// A step as the job's object has it; steps count from 1.
    pub fn step(&self, number: usize) -> Value {
        self.job()["steps"][number - 1].clone()
    }

    /// The names of all steps, in order of start.
    pub fn names(&self) -> Vec<String> {
        let job = self.job();
        let steps = job["steps"].as_array().expect("steps");
        steps.iter().map(|step| step["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// The lines of a step, or of the danubefile itself (0), one stream or all.
    pub fn lines(&self, step: u64, stream: Option<&str>) -> Vec<String> {
        let mine = |event: &Value| event["type"] == "log" && event["step"] == step;
        let wanted = |event: &Value| stream.is_none_or(|stream| event["stream"] == stream);
        let events = self.events().into_iter().filter(|event| mine(event) && wanted(event));
        events.map(|event| event["text"].as_str().expect("text").to_owned()).collect()
    }
}

impl Project {
    /// The log of a step of the last run, byte for byte.
    pub fn raw_log(&self, step: u32) -> Vec<u8> {
        let path = self.raw_log_path(step);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Where that log is.
    pub fn raw_log_path(&self, step: u32) -> PathBuf {
        let run = self.runs().pop().expect("a run");
        let job = run.file_name().expect("a name").to_owned();
        run.join("logs").join(job).join("1").join(format!("{step}.raw"))
    }

    /// Starts a run with `--json` whose events are waited for one by one.
    pub fn watch(&self, arguments: &[&str]) -> Watched {
        Watched::of(self.start(&[&["--json"], arguments].concat()))
    }
}

/// A run under way. Dropped before its end, as by a test that failed, it is cancelled.
pub struct Watched {
    /// The process.
    pub child: Child,
    lines: BufReader<ChildStdout>,
    seen: String,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
            let _ = self.child.wait();
        }
    }
}

impl Watched {
    /// A run that was started with `--json`.
    pub fn of(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, lines, seen: String::new() }
    }

    /// Reads events until one is as wanted.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("its output") == 0 {
                let mut stderr = String::new();
                let _ = self.child.stderr.take().expect("its complaints").read_to_string(&mut stderr);
                panic!("the run ended before that\n--- stdout\n{}\n--- stderr\n{stderr}", self.seen);
            }
            self.seen.push_str(&line);
            let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Reads until a step, or the danubefile, printed this line.
    pub fn until_line(&mut self, text: &str) -> &mut Self {
        self.until(|event| event["type"] == "log" && event["text"] == text);
        self
    }

    /// Sends the process a signal.
    pub fn signal(&mut self, signal: Signal) -> &mut Self {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
        self
    }

    /// Reads the rest.
    pub fn end(mut self) -> Ran {
        self.lines.read_to_string(&mut self.seen).expect("its output");
        let mut stderr = String::new();
        self.child.stderr.take().expect("its complaints").read_to_string(&mut stderr).expect("its complaints");
        let status = self.child.wait().expect("its end");
        Ran { code: status.code().unwrap_or(-1), stdout: std::mem::take(&mut self.seen), stderr }
    }
}
