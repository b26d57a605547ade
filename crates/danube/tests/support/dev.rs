//! A `danube dev` or `danube serve` of the real binary, spoken to over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{Project, Ran, binary};

/// A guard against a test that hangs; nothing is measured with it.
const HUNG: Duration = Duration::from_secs(300);

/// A running master.
pub struct Dev {
    /// None when it was waited for.
    child: Option<Child>,
    port: u16,
    token: String,
}

impl Dev {
    /// `danube dev` of the project, ready to be changed and started.
    pub fn command(project: &Project, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("dev").arg(project.dir()).args(arguments);
        command.env("DANUBE_DATA_DIR", project.data()).env_remove("DANUBE_LOG").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it.
    pub fn start(project: &Project, arguments: &[&str]) -> Self {
        Self::of(project, Self::command(project, arguments))
    }

    /// Waits until it can be spoken to.
    pub fn of(project: &Project, command: Command) -> Self {
        Self::announced(&project.data().join("dev.json"), command)
    }

    /// The same, of one that announces itself in this file.
    pub fn announced(file: &Path, mut command: Command) -> Self {
        // One that was killed has left its own.
        let _ = std::fs::remove_file(file);
        let mut child = command.spawn().expect("danube starts");
        let found = wait(|| {
            let text = std::fs::read(file).ok()?;
            serde_json::from_slice::<Value>(&text).ok()
        });
        let Some(found) = found else {
            let _ = child.kill();
            panic!("it cannot be spoken to: {:?}", Ran::of(child.wait_with_output().expect("its end")).stderr);
        };
        let url = found["url"].as_str().expect("a url");
        let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        Self { child: Some(child), port, token: found["token"].as_str().expect("a token").to_owned() }
    }

    /// Starts one that is to kill itself. None when it does not.
    pub fn dies(mut command: Command) -> Option<()> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("danube starts");
        let died = wait(|| child.try_wait().expect("it is a child of ours"));
        if died.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        died.filter(|status| status.code().is_none()).map(drop)
    }

    /// Where it is spoken to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// One request; the status and the answer.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
        self.ask_with(&self.token, method, &format!("/api/v1{path}"), body)
    }

    /// One request with this token, below no path.
    pub fn ask_with(&self, token: &str, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
        let (port, length) = (self.port, body.len());
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()))))
    }

    /// One request that goes well.
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, "").expect("an answer");
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// One wish that is fulfilled.
    pub fn post(&self, path: &str, body: &str, wanted: u16) -> Value {
        let (status, answer) = self.ask("POST", path, body).expect("an answer");
        assert_eq!(status, wanted, "{path}: {answer}");
        answer
    }

    /// Every job, oldest first.
    pub fn jobs(&self) -> Vec<Value> {
        let mut jobs = self.get("/jobs")["jobs"].as_array().expect("jobs").clone();
        jobs.reverse();
        jobs
    }

    /// Waits until a job looks as wanted.
    pub fn until(&self, job: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait(|| {
            // The first job may not be there yet.
            let (status, answer) = self.ask("GET", &format!("/jobs/{job}"), "").expect("an answer");
            last = answer;
            (status == 200 && wanted(&last)).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("it never came to that: {last}"))
    }

    /// Waits for a job's end.
    pub fn end(&self, job: &str) -> Value {
        self.until(job, |job| job["finished_ms"].is_i64())
    }

    /// Kills it as `kill -9` does.
    pub fn kill(self) {
        drop(self);
    }

    /// The same, while others speak to it.
    pub fn strike(&self) {
        if let Some(child) = &self.child {
            // It may have ended by itself.
            let _ =
                rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::KILL);
        }
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ran {
        let child = self.child.take().expect("it is waited for once");
        Ran::of(child.wait_with_output().expect("its end"))
    }

    /// Ctrl-C, and its end.
    pub fn stop(self) -> Ran {
        self.stop_by(Signal::INT)
    }

    /// A signal, and its end.
    pub fn stop_by(self, signal: Signal) -> Ran {
        let child = self.child.as_ref().expect("it is waited for once");
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).expect("it runs");
        self.wait()
    }

    /// Whether every part is well, and the parts.
    pub fn ready(&self) -> (bool, Value) {
        let (status, answer) = self.ask_with("", "GET", "/health/ready", "").expect("an answer");
        assert!(answer["parts"].is_array(), "{status}: {answer}");
        (status == 200, answer["parts"].clone())
    }

    /// Waits until the parts look as wanted.
    pub fn until_ready(&self, wanted: impl Fn(bool, &Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = wait(|| {
            let (well, parts) = self.ready();
            last = parts;
            wanted(well, &last).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("it never came to that: {last}"))
    }
}

impl Drop for Dev {
    /// A test that failed leaves none.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Looks again and again.
pub fn wait<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let since = Instant::now();
    while since.elapsed() < HUNG {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}
